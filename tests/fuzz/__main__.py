"""Fuzz every target, one after the other: `python -m tests.fuzz [--seconds N] [--target NAME …] [--folder DIR]`.

What was found before is kept in the folder and searched on from there. The report says what was run, what was reached,
and what was found; the exit code is 1 where there is a finding.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import click

from tests.fuzz.reach import ROOT, lines_of
from tests.fuzz.targets import TARGETS

_STATISTICS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERED = re.compile(r"cov: (\d+) ft: (\d+)")


@dataclass(slots=True)
class Run:
    """What one target's run came to. edges, features: as libFuzzer counts them, of instrumented code."""

    name: str
    inputs: int = 0
    edges: int = 0
    features: int = 0
    corpus: int = 0
    cpu: float = 0.0
    findings: list[str] = field(default_factory=list)
    lines: dict[str, list[int]] = field(default_factory=dict)


def run(name: str, folder: Path, seconds: int) -> Run:
    """Fuzz one target, and return what came of it."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    log = place / "log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "tests.fuzz.guided", name, str(place), str(seconds)]
        subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = Run(name, cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    text = log.read_text(errors="replace")
    done.inputs = int(found[-1]) if (found := _STATISTICS.findall(text)) else 0
    done.edges, done.features = map(int, _COVERED.findall(text)[-1]) if _COVERED.search(text) else (0, 0)
    done.corpus = sum(1 for _ in (place / "corpus").glob("*"))
    done.findings = [file.read_text().partition("\n")[0] for file in sorted((place / "findings").glob("*.txt"))]
    # What libFuzzer itself stopped at.
    done.findings += [f.name for f in sorted((place / "findings").iterdir()) if f.suffix not in (".bin", ".txt")]
    command = [sys.executable, "-m", "tests.fuzz.reach", name, str(place)]
    done.lines = json.loads(subprocess.run(command, capture_output=True, cwd=ROOT, check=True).stdout)
    return done


def report(runs: list[Run]) -> str:
    """Return a report as Markdown."""
    rows = [
        "| target | inputs | CPU, s | edges | features | corpus | findings |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    rows += [
        f"| {r.name} | {r.inputs:,} | {r.cpu:.0f} | {r.edges:,} | {r.features:,} | {r.corpus:,} | {len(r.findings)} |"
        for r in runs
    ]
    reached: dict[str, set[int]] = {}
    for r in runs:
        for module, lines in r.lines.items():
            reached.setdefault(module, set()).update(lines)
    rows += ["", "| module | lines reached | of | share |", "|---|---:|---:|---:|"]
    for module, found in sorted(reached.items()):
        whole = lines_of(str(ROOT / module)) or {0}
        rows.append(f"| {module} | {len(found & whole)} | {len(whole)} | {len(found & whole) / len(whole):.0%} |")
    rows += ["", *(f"- {r.name}: {what}" for r in runs for what in r.findings)]
    return "\n".join(rows) + "\n"


@click.command()
@click.option("--seconds", default=600, show_default=True, help="In all, shared by the targets.")
@click.option("--target", "names", multiple=True, type=click.Choice(sorted(TARGETS)), help="Only these.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=ROOT / ".cache" / "fuzz", help="Corpora and findings."
)
def main(seconds: int, names: tuple[str, ...], folder: Path) -> None:
    """Fuzz the doors of Reprieve."""
    os.nice(19)
    chosen = list(names or TARGETS)
    runs = []
    for name in chosen:
        done = run(name, folder, max(seconds // len(chosen), 1))
        click.echo(f"{name}: {done.inputs:,} inputs, {done.edges:,} edges, {len(done.findings)} findings")
        runs.append(done)
    text = report(runs)
    (folder / "report.md").write_text(text)
    click.echo(text)
    sys.exit(1 if any(r.findings for r in runs) else 0)


if __name__ == "__main__":
    main()
