"""`python -m tests.chaos --faults N --seed N [--brokers 1|3]`: inject faults, a hundred a run."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.chaos.chaos_run import ChaosRun
from tests.support.faulty_proxy import FaultyProxy
from tests.support.servers import KafkaTestCluster

_FAULTS_A_RUN = 100


def main() -> int:
    """Run trials; returns 1 where one was not exact, and then keeps its folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    given = parser.parse_args()
    done: Counter[str] = Counter()
    seed, left = given.seed, given.faults
    while left > 0:
        folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        began = time.monotonic()
        with (
            FaultyProxy(given.brokers) as proxy,
            KafkaTestCluster(folder / "kafka", given.brokers, fronts=proxy.ports) as cluster,
        ):
            proxy.set_targets(cluster.behind)
            run = ChaosRun(folder, cluster, proxy, seed)
            with run.workers:
                try:
                    run.run(min(left, _FAULTS_A_RUN))
                except AssertionError as error:
                    print(f"seed {seed}: not exact; everything is kept in {folder}\n{error}", file=sys.stderr)
                    return 1
        shutil.rmtree(folder, ignore_errors=True)
        done += run.done
        left -= run.injected
        print(f"seed {seed}: exact after {run.injected} faults, {time.monotonic() - began:.0f} s", flush=True)
        seed += 1
    print(f"{given.faults} faults, nothing lost, nothing twice: {dict(done)} {run.skipped_faults}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
