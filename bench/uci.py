"""The UCI card data, 30,000 real accounts over six months, through the local runtime.

`python -m bench.uci [--runs N]`: takes the events in, processes them and closes every day, durably; prints the
seconds of each part. The data set is fetched into a cache the first time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bench.measure import machine, peak_mib, spread
from schemas import events as ev
from simulator.uci import uci_csv, uci_events
from state.pack import book_for
from streams.local.runtime import LocalRuntime

CHUNK = 20_000


def run_once(lines: list[str]) -> tuple[int, float, float]:
    """Return the number of events, the seconds that taking them in took, and those of processing them."""
    taking = processing = 0.0
    count = 0
    events: Iterator[ev.Event] = uci_events(lines)
    with tempfile.TemporaryDirectory() as folder, LocalRuntime.open(Path(folder), book_for("house")) as runtime:
        while chunk := list(islice(events, CHUNK)):
            began = time.perf_counter()
            count += runtime.publish(chunk)
            middle = time.perf_counter()
            runtime.run()
            taking += middle - began
            processing += time.perf_counter() - middle
    return count, taking, processing


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = [run_once(uci_csv()) for _ in range(parser.parse_args().runs)]
    count = runs[0][0]
    print(machine())
    print(f"{count:,} events of 30,000 accounts, day closes included")
    print(f"seconds to take them in: {spread([r[1] for r in runs])}")
    print(f"seconds to process them: {spread([r[2] for r in runs])}")
    print(f"seconds in all: {spread([r[1] + r[2] for r in runs])}; target < 60")
    print(f"peak memory {peak_mib():,.0f} MiB")


if __name__ == "__main__":
    main()
