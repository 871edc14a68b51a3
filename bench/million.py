"""A million accounts on the local runtime in bounded memory.

`python -m bench.million [--accounts N]`: opens them, takes one month's payments and closes the month, in chunks;
prints the time of each part and the peak resident memory of the process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path

from bench.local import START, closes, opening, payments
from bench.measure import machine, note, peak_mib
from schemas.events import Event
from state.calendars import add_months
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime

CHUNK = 20_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    accounts = parser.parse_args().accounts
    due = add_months(START, 1)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with LocalRuntime.open(path, default_book(), cached=20_000) as runtime:

            def timed(label: str, events: Iterator[Event], count: int) -> None:
                began = time.perf_counter()
                while chunk := list(islice(events, CHUNK)):
                    runtime.feed(chunk)
                seconds = time.perf_counter() - began
                print(
                    f"{label}: {seconds:,.1f} s, {count / seconds:,.0f}/s, peak memory {peak_mib():,.0f} MiB",
                    flush=True,
                )

            timed("accounts opened", opening(accounts), accounts)
            timed("first close, all accounts due", closes(START, START), accounts)
            timed(
                "closes of a month in which nothing is due",
                closes(START + timedelta(days=1), due - timedelta(days=1)),
                30,
            )
            timed("payments taken", payments(accounts, 1), accounts * 49 // 50)
            timed("close of the due day, all accounts due", closes(due, due), accounts)
            timed(
                "close of the day after, one in fifty due",
                closes(due + timedelta(days=1), due + timedelta(days=1)),
                accounts // 50,
            )
        size = sum(f.stat().st_size for f in path.iterdir()) / 2**20
        note(f"memory of the local runtime, {accounts:,} accounts", "MiB", [peak_mib()])
        print(f"{accounts:,} accounts, {size:,.0f} MiB on disk, peak memory {peak_mib():,.0f} MiB")


if __name__ == "__main__":
    main()
