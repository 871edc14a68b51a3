"""`make bench`: every benchmark, one behind the other, each in its own process; it ends with one table of all figures.

`python -m bench [--small] [NAME …]` runs those that are named, or all; `--small` with so little that all can be tried.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measure import FIGURES, machine, table

# By module, what makes it small.
BENCHES = {
    "bench.local": "--accounts 2000 4000 --runs 2",
    "bench.task": "--accounts 2000 8000 --months 2 --rounds 1",
    "bench.offers": "--borrowers 40",
    "bench.promises": "--offers 2000",
    "bench.uci": "--runs 1",
    "bench.million": "--accounts 20000",
    "bench.learning": "--seeds 2 --offers 400 --judged 5",
    "bench.kafka": "--accounts 2000 --payments 10000",
    "bench.worker": "--accounts 20000",
    "bench.peers": "--accounts 2000 --payments 40000 --rounds 1",
}


def main() -> int:
    """Run the benchmarks named as arguments, or all; return 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="with little: whether they run, not how fast it is")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(n.removeprefix("bench.") for n in BENCHES))
    given = parser.parse_args()
    chosen = [f"bench.{name.removeprefix('bench.')}" for name in given.names] or list(BENCHES)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures"
        figures.touch()
        for name in chosen:
            print(f"== {name}", flush=True)
            environment = os.environ | {FIGURES: str(figures)}
            command = [sys.executable, "-m", name, *(BENCHES[name].split() if given.small else [])]
            failed |= subprocess.run(command, check=False, env=environment).returncode
        print(f"== all\n{machine()}\n\n{table(figures)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
