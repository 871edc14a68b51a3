"""What the benchmarks share: repeated timings, what they were taken on, and the table in which `make bench` ends."""

from __future__ import annotations

import json
import os
import platform
import random
import resource
import statistics
import subprocess
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# Names the file to which figures are appended, a JSON line each.
FIGURES = "BENCH_FIGURES"
_VERSIONS = ("aiokafka", "faust-streaming", "msgspec", "rocksdict")


def spread(values: Sequence[float]) -> str:
    """Return median and range of repeated measurements."""
    return f"median {statistics.median(values):,.1f} (min {min(values):,.1f}, max {max(values):,.1f}, n={len(values)})"


def repeated(runs: int, measure: Callable[[], float]) -> list[float]:
    """Return the measurements of so many runs."""
    return [measure() for _ in range(runs)]


def shuffled(items: Iterable[T], seed: int) -> list[T]:
    """Return items in a random order, the same for the same seed: senders do not go by the order of accounts."""
    found = list(items)
    random.Random(seed).shuffle(found)
    return found


def peak_mib() -> float:
    """Return the peak resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine() -> str:
    """Return on what it was measured: the machine, the commit, and the versions of what the hot path is made of."""
    installed = ", ".join(f"{name} {version(name)}" for name in _VERSIONS)
    cores = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    return (
        f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}, {cores}; commit {_commit()}; "
        f"{installed}"
    )


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude", "*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def note(figure: str, unit: str, values: Sequence[float], *, beside: Sequence[float] = ()) -> None:
    """Have a figure in the table of `make bench`. beside: what it is compared with, from the same run."""
    if FIGURES in os.environ:
        line = {"figure": figure, "unit": unit, "values": list(values), "beside": list(beside)}
        with Path(os.environ[FIGURES]).open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")


def table(file: Path) -> str:
    """Return the figures that were noted in a file, as a Markdown table."""
    lines = ["| figure | unit | median | range | runs | × of the first beside it |", "|---|---|---:|---:|---:|---:|"]
    for text in file.read_text("utf-8").splitlines():
        noted = json.loads(text)
        values, beside = noted["values"], noted["beside"]
        middle = statistics.median(values)
        ratio = f"{middle / statistics.median(beside):.2f}" if beside else ""
        lines.append(
            f"| {noted['figure']} | {noted['unit']} | {middle:,.1f} | {min(values):,.1f}–{max(values):,.1f} | "
            f"{len(values)} | {ratio} |"
        )
    return "\n".join(lines)
