"""`make bench`: every benchmark, one behind the other, each in its own process."""

from __future__ import annotations

import subprocess
import sys

BENCHES = (
    "bench.local",
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
    for name in chosen:
        print(f"== {name}", flush=True)
        failed |= subprocess.run([sys.executable, "-m", name], check=False).returncode
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
