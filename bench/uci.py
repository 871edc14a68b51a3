"""The UCI card data through the local runtime: 30,000 accounts, half a year, 331,249 events with 183 day closes.

`python -m bench.uci [--runs N] [--memory]`. Timed is everything from events to durable state, day by day as they
would arrive: framing, the log, decoding, both agents, every day's close, and a transaction a batch
(synchronous=FULL) in a temporary folder; with `--memory` nothing is written to disk. Fetching and reading the data
set are not timed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import machine, peak_mib, spread
from schemas import events as ev
from schemas.errors import UsageError
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.real_data.uci import uci_csv, uci_events

TARGET_SECONDS = 60.0


def timed(events: list[ev.Event], folder: Path | None) -> float:
    """Return the seconds in which a runtime takes the events, a day at a time."""
    with LocalRuntime.open(folder, default_book()) as runtime:
        began = time.perf_counter()
        first = 0
        for at, event in enumerate(events, 1):
            if isinstance(event, ev.DayClosed):
                runtime.feed(events[first:at])
                first = at
        return time.perf_counter() - began


def on_disk(events: list[ev.Event]) -> float:
    """Return the seconds in which a runtime takes the events durably."""
    with tempfile.TemporaryDirectory(prefix="reprieve-bench-") as folder:
        return timed(events, Path(folder))


def main() -> int:
    """Print the medians; return 1 where the data cannot be had or the target is missed."""
    parser = argparse.ArgumentParser(prog="bench.uci", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="keep all in memory")
    given = parser.parse_args()
    try:
        lines = uci_csv()
    except UsageError as error:
        print(error, file=sys.stderr)
        return 1
    events = list(uci_events(lines))
    seconds = [timed(events, None) if given.memory else on_disk(events) for _ in range(given.runs)]
    rates = [len(events) / s for s in seconds]
    print(f"{machine()}; {len(events):,} events, {'in memory' if given.memory else 'on disk'}")
    print(f"seconds     {spread(seconds)}; target below {TARGET_SECONDS:.0f}")
    print(f"events/s    {spread(rates)}")
    print(f"peak memory {peak_mib():,.0f} MiB, of which the events themselves are a part")
    return 0 if sorted(seconds)[len(seconds) // 2] < TARGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
