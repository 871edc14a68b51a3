"""`make bench`: every benchmark, one behind the other, each in its own process; it ends with one table of all figures.

`python -m bench [NAME …]` runs those that are named.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measure import FIGURES, machine, table

BENCHES = (
    "bench.local",
    "bench.task",
    "bench.offers",
    "bench.promises",
    "bench.uci",
    "bench.million",
    "bench.learning",
    "bench.kafka",
    "bench.worker",
    "bench.peers",
)


def main() -> int:
    """Run the benchmarks named as arguments, or all; return 1 where one failed."""
    chosen = [f"bench.{name.removeprefix('bench.')}" for name in sys.argv[1:]] or BENCHES
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures"
        figures.touch()
        for name in chosen:
            print(f"== {name}", flush=True)
            environment = os.environ | {FIGURES: str(figures)}
            failed |= subprocess.run([sys.executable, "-m", name], check=False, env=environment).returncode
        print(f"== all\n{machine()}\n\n{table(figures)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
