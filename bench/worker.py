"""One worker on Apache Kafka with many accounts: a day's close, memory, recovery from an empty disk, latency.

`python -m bench.worker [--accounts N]`. Loans fall due on a hundred days, so one in a hundred is due a day.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.kafka import committed
from bench.local import START, closes, opening, payment
from bench.measure import machine, note, peak_mib
from deploy.local.kafka import KafkaCluster
from schemas import events as ev
from schemas.codec import Codec
from state.calendars import add_months
from streams.settings import Settings
from tests.support.worker_cluster import WorkerCluster

PARTITIONS = 4
DAYS = 100
_PATIENCE = 1_200.0
# Events a second, and for how long, where latency is measured.
_RATE, _SECONDS = 1_000, 8


def spread_out(accounts: int) -> Iterator[ev.Event]:
    """Yield loans of twelve months, a hundredth of them due on each of a hundred days."""
    schedules: dict[int, tuple[ev.Instalment, ...]] = {}
    for n, event in enumerate(opening(accounts)):
        assert isinstance(event, ev.AccountOpened)
        late = n % DAYS
        if late not in schedules:
            schedules[late] = tuple(
                msgspec.structs.replace(i, due_on=i.due_on + timedelta(days=late)) for i in event.instalments
            )
        yield msgspec.structs.replace(event, instalments=schedules[late])


def close(workers: WorkerCluster, first: date, last: date) -> float:
    """Close days one by one; returns the seconds that the last took."""
    taken = 0.0
    for event in closes(first, last):
        before = closes_processed(workers)
        began = time.monotonic()
        workers.publish([event])
        workers.wait(lambda before=before: closes_processed(workers) > before, "a close", _PATIENCE, 0.02)  # type: ignore[misc]
        taken = time.monotonic() - began
    return taken


def closes_processed(workers: WorkerCluster) -> int:
    """Return how many closes all tasks have behind them."""
    return min((offset for place, offset in workers.committed().items() if place.topic.endswith("clock")), default=0)


async def latencies(settings: Settings, accounts: Sequence[int], day: date) -> list[float]:
    """Pay arrears at a steady rate; returns the milliseconds until each catch-up could be read, committed."""
    codec = Codec()
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    prefix = settings.topics.prefix
    places = [TopicPartition(f"{prefix}delinquency", part) for part in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(
        **settings.kafka.client_options(), isolation_level="read_committed", fetch_max_wait_ms=20
    )
    producer = AIOKafkaProducer(**settings.kafka.client_options())
    async with consumer, producer:
        consumer.assign(places)
        await consumer.seek_to_end(*places)

        async def read() -> None:
            while len(seen) < len(accounts):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    now = time.monotonic()
                    for record in records:
                        event = codec.decode(record.value)
                        if isinstance(event, ev.InstalmentCaughtUp):
                            seen.setdefault(event.account_id, now)

        reading = asyncio.create_task(read())
        began = time.monotonic()
        for number, n in enumerate(accounts):
            await asyncio.sleep(max(0.0, began + number / _RATE - time.monotonic()))
            account = f"A{n:07d}"
            late = payment(account, f"late-{n}", 150_000, day)
            sent[account] = time.monotonic()
            await producer.send(f"{prefix}payments", codec.encode(late), key=account.encode())
        await asyncio.wait_for(reading, 60)
    return sorted((seen[account] - sent[account]) * 1000 for account in sent)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    accounts = parser.parse_args().accounts
    print(machine())
    due = add_months(START, 1)
    with (
        tempfile.TemporaryDirectory() as temporary,
        KafkaCluster(Path(temporary) / "kafka") as cluster,
        WorkerCluster(cluster.bootstrap, Path(temporary), "bench", partitions=PARTITIONS) as workers,
    ):
        worker = workers.start(session_timeout_seconds=10)
        began = time.monotonic()
        workers.publish(spread_out(accounts))
        settings = workers.settings()
        workers.wait(lambda: asyncio.run(committed(settings)) >= accounts, "all loans", _PATIENCE)
        print(f"{accounts:,} loans published and taken in {time.monotonic() - began:,.0f} s", flush=True)
        close(workers, START, due - timedelta(days=1))
        taken = close(workers, due, due)
        print(f"close of a day on which {accounts // DAYS:,} of {accounts:,} fall due: {taken:.2f} s", flush=True)
        note(f"close on Kafka, {accounts // DAYS:,} of {accounts:,} accounts due", "s", [taken])
        peak = peak_mib(worker.pid)
        print(f"peak resident memory of the worker: {peak:,.0f} MiB", flush=True)
        note(f"memory of a worker with {accounts:,} accounts", "MiB", [peak])
        late = list(range(0, accounts, DAYS))[: _RATE * _SECONDS]
        close(workers, due + timedelta(days=1), due + timedelta(days=4))
        times = asyncio.run(latencies(settings, late, due + timedelta(days=5)))
        p50, p99 = statistics.median(times), times[int(len(times) * 0.99)]
        print(f"{len(times):,} payments at {_RATE:,}/s, until the catch-up is read: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
        note(f"payment to report on Kafka at {_RATE:,}/s, p99", "ms", [p99])
        workers.kill()
        shutil.rmtree(workers.data_dir())
        before = len(workers.log_lines("restored"))
        workers.start(session_timeout_seconds=10)
        workers.wait(lambda: len(workers.log_lines("restored")) > before, "its state", _PATIENCE)
        restored = workers.log_lines("restored")[-1]
        rows, seconds = restored["rows"], restored["seconds"]
        note("rows restored to an empty disk", "rows/s", [rows / seconds])
        print(f"{rows:,} rows read back into an empty disk in {seconds:.1f} s: {rows / seconds:,.0f} rows/s")
        workers.stop()


if __name__ == "__main__":
    main()
