"""Account events through one worker on Apache Kafka, exactly once: from the input topics to committed outputs.

`python -m bench.kafka [--accounts N] [--partitions N] [--workers N …] [--rounds N]`. Loans are opened and five months
of payments are appended before workers start. What is timed is running workers: from a fifth of all that there is to
the last record, by the group's committed offsets; their CPU time over the same span tells more on a shared machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.local import opening, payments
from bench.measure import machine
from deploy.local.kafka import KafkaCluster, group_offsets
from schemas import events as ev
from schemas.codec import Codec
from streams.kafka.publishing import publish
from streams.settings import Settings
from tests.support.worker_cluster import WorkerCluster

# Seconds after which a run is given up.
_PATIENCE = 600.0


def events(accounts: int, months: int) -> Iterator[ev.Event]:
    """Yield loans and their payments."""
    yield from opening(accounts)
    for month in range(1, months + 1):
        yield from payments(accounts, month)


async def committed(settings: Settings) -> int:
    """Return how many input records the group has behind it."""
    found = await group_offsets(",".join(settings.kafka.bootstrap_servers), settings.worker.application_id)
    names = {settings.topics.prefix + name for name in ("accounts", "payments")}
    return sum(offset for tp, offset in found.items() if tp.topic in names)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, so many workers after the other and round by round, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=40_000)
    parser.add_argument("--months", type=int, default=5)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    print(machine())
    rates: dict[int, list[float]] = {count: [] for count in given.workers}
    cpus: dict[int, list[float]] = {count: [] for count in given.workers}
    with tempfile.TemporaryDirectory() as temporary, KafkaCluster(Path(temporary) / "kafka") as cluster:
        for number in range(given.rounds):
            for count in given.workers:
                folder = Path(temporary) / f"{number}-{count}"
                folder.mkdir()
                with WorkerCluster(
                    cluster.bootstrap, folder, f"bench-{number}-{count}", partitions=given.partitions
                ) as workers:
                    settings = workers.settings()
                    total = asyncio.run(publish(settings, Codec(), events(given.accounts, given.months)))
                    processes = [
                        workers.start(f"worker-{n}", session_timeout_seconds=10, log_level="WARNING")
                        for n in range(count)
                    ]
                    rate, cpu = _timed(settings, total, [worker.pid for worker in processes])
                rates[count].append(rate)
                cpus[count].append(cpu * 1e6)
    print(f"{total:,} events, {given.partitions} partitions, exactly once, {given.rounds} rounds")
    for count in given.workers:
        rate = statistics.median(rates[count])
        print(
            f"{count} workers: {rate:,.0f} events/s ({min(rates[count]):,.0f}–{max(rates[count]):,.0f}), "
            f"{rate / statistics.median(rates[given.workers[0]]):.2f} × that of {given.workers[0]}; "
            f"{statistics.median(cpus[count]):.1f} µs of CPU an event"
        )


def _timed(settings: Settings, total: int, pids: list[int]) -> tuple[float, float]:
    deadline = time.monotonic() + _PATIENCE
    started: tuple[float, int, float] | None = None
    while time.monotonic() < deadline:
        done = asyncio.run(committed(settings))
        now, spent = time.monotonic(), sum(map(cpu_seconds, pids))
        if started is None and done >= total // 5:
            started = (now, done, spent)
        if done >= total and started is not None:
            return (done - started[1]) / (now - started[0]), (spent - started[2]) / (done - started[1])
        time.sleep(0.2)
    raise SystemExit(f"{done:,} of {total:,} events after {_PATIENCE:.0f} s")


if __name__ == "__main__":
    main()
