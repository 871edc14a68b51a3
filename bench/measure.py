"""What the benchmarks share: repeated timings, what they were taken on, and the table in which `make bench` ends."""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

# Names the file to which figures are appended, a JSON line each.
FIGURES = "BENCH_FIGURES"
_VERSIONS = ("aiokafka", "faust-streaming", "msgspec", "rocksdict")


def spread(values: Sequence[float]) -> str:
    """Return median and range of repeated measurements."""
    return f"median {statistics.median(values):,.1f} (min {min(values):,.1f}, max {max(values):,.1f}, n={len(values)})"


def shuffled(items: Iterable[T], seed: int) -> list[T]:
    """Return items in a random order, the same for the same seed: senders do not go by the order of accounts."""
    found = list(items)
    random.Random(seed).shuffle(found)
    return found


def peak_mib(pid: int | None = None) -> float:
    """Return the peak resident memory of a process so far, in MiB; None is this one."""
    lines = Path(f"/proc/{pid or 'self'}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


@contextmanager
def chart(file: Path, height: float) -> Iterator[Any]:
    """Draw into an SVG file, which has the same bytes for the same figures; yields the axes. height: inches."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "reprieve"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, height), layout="constrained")
    yield axes
    figure.savefig(file, metadata={"Date": None})


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
