"""`python -m chaos --faults N --seed N [--brokers 1|3]`: faults for as long as one likes, in trials of a hundred."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from chaos.proxy import Proxy
from chaos.trial import Trial
from deploy.local.kafka import KafkaCluster

_A_TRIAL = 100


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
            Proxy(given.brokers) as proxy,
            KafkaCluster(folder / "kafka", given.brokers, fronts=proxy.ports) as cluster,
        ):
            proxy.aim(cluster.behind)
            trial = Trial(folder, cluster, proxy, seed)
            with trial.stage:
                try:
                    trial.run(min(left, _A_TRIAL))
                except AssertionError as error:
                    print(f"seed {seed}: not exact; everything is kept in {folder}\n{error}", file=sys.stderr)
                    return 1
        shutil.rmtree(folder, ignore_errors=True)
        done += trial.done
        left -= trial.struck
        print(f"seed {seed}: exact after {trial.struck} faults, {time.monotonic() - began:.0f} s", flush=True)
        seed += 1
    print(f"{given.faults} faults, nothing lost, nothing twice: {dict(done)} {trial.left_out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
