"""Payments through workers on Apache Kafka, exactly once: from the input topics to committed outputs.

`python -m bench.kafka [--accounts N …] [--payments N] [--partitions N] [--workers N …] [--rounds N]`. Loans are taken
first; then workers are started anew on payments that wait for them, in random order, month by month. What is timed is
running workers: from a twentieth of the payments to the last one, by the group's committed offsets; their CPU time over
the same span tells more on a shared machine. A worker caches 80,000 states, so 300,000 accounts are beyond its cache.
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
from bench.measure import machine, note, shuffled
from deploy.local.kafka import KafkaCluster
from schemas import events as ev
from schemas.codec import Codec
from streams.kafka.publishing import publish
from streams.settings import Settings
from tests.support.servers import group_offsets
from tests.support.worker_cluster import WorkerCluster

# Seconds after which a run is given up.
_PATIENCE = 600.0


def months_of(accounts: int, wanted: int) -> Iterator[ev.Event]:
    """Yield so many payments or more, month by month, each in random order."""
    for month in range(1, max(1, wanted // accounts) + 1):
        yield from shuffled(payments(accounts, month), month)


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
    """Measure, so many accounts and workers after the other and round by round, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, nargs="+", default=[40_000, 300_000])
    parser.add_argument("--payments", type=int, default=200_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    print(machine())
    ways = [(accounts, count) for accounts in given.accounts for count in given.workers]
    rates: dict[tuple[int, int], list[float]] = {way: [] for way in ways}
    cpus: dict[tuple[int, int], list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as temporary, KafkaCluster(Path(temporary) / "kafka") as cluster:
        for number in range(given.rounds):
            for accounts, count in ways:
                name = f"bench-{number}-{accounts}-{count}"
                folder = Path(temporary) / name
                folder.mkdir()
                with WorkerCluster(cluster.bootstrap, folder, name, partitions=given.partitions) as workers:
                    rate, cpu = _measured(workers, accounts, given.payments, count)
                rates[accounts, count].append(rate)
                cpus[accounts, count].append(cpu * 1e6)
                print(f"round {number + 1}: {accounts:,} accounts, {count} workers: {rate:,.0f}/s, {cpu * 1e6:.1f} µs")
    print(f"{given.partitions} partitions, exactly once, {given.rounds} rounds")
    for accounts, count in ways:
        found, first = rates[accounts, count], rates[accounts, given.workers[0]]
        what = f"payments on Kafka, {accounts:,} accounts, {count} workers"
        note(what, "events/s", found, beside=() if count == given.workers[0] else first)
        note(what, "µs of CPU an event", cpus[accounts, count])
        rate = statistics.median(found)
        print(
            f"{what}: {rate:,.0f} events/s ({min(found):,.0f}–{max(found):,.0f}), "
            f"{rate / statistics.median(first):.2f} × that of {given.workers[0]}; "
            f"{statistics.median(cpus[accounts, count]):.1f} µs of CPU an event"
        )


def _measured(workers: WorkerCluster, accounts: int, wanted: int, count: int) -> tuple[float, float]:
    """Have workers take loans, and time them on payments; returns events and seconds of CPU an event."""
    settings = workers.settings()
    names = [f"worker-{n}" for n in range(count)]

    def start() -> list[int]:
        return [workers.start(name, session_timeout_seconds=10, log_level="WARNING").pid for name in names]

    opened = asyncio.run(publish(settings, Codec(), opening(accounts)))
    start()
    workers.wait(lambda: asyncio.run(committed(settings)) >= opened, "all loans", _PATIENCE)
    for name in names:
        workers.stop(name)
    paid = asyncio.run(publish(settings, Codec(), months_of(accounts, wanted)))
    return _timed(settings, opened, paid, start())


def _timed(settings: Settings, before: int, total: int, pids: list[int]) -> tuple[float, float]:
    deadline = time.monotonic() + _PATIENCE
    started: tuple[float, int, float] | None = None
    while time.monotonic() < deadline:
        done = asyncio.run(committed(settings)) - before
        now, spent = time.monotonic(), sum(map(cpu_seconds, pids))
        if started is None and done >= total // 20:
            started = (now, done, spent)
        if done >= total and started is not None:
            return (done - started[1]) / (now - started[0]), (spent - started[2]) / (done - started[1])
        time.sleep(0.2)
    raise SystemExit(f"{done:,} of {total:,} events after {_PATIENCE:.0f} s")


if __name__ == "__main__":
    main()
