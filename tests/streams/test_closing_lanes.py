"""All lanes of a deployment over a log in memory: whatever their clocks say, no close stalls.

The lanes and their runners are the real ones; the log stands for Kafka, whose own part is tested in `tests/kafka`.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import TOPIC_OF, TOPICS, key_of
from state.pack import default_book
from streams.at_work import agents_at_work
from streams.kafka.lane import Lane
from streams.kafka.lane_rows import LaneRows
from streams.kafka.partitioning import partition_of
from streams.kafka.runner import Runner
from streams.kafka.seat import Seat
from streams.kafka.store import PartitionStore

PARTITIONS = 3
START = date(2026, 1, 1)
# Seconds that a run may take on a slow machine before it counts as stalled; a run takes a tenth of one.
PATIENCE = 30.0
CODEC = Codec()


@dataclass
class Given:
    """A record as a consumer hands it over."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes], ...] = ()


class Log:
    """Topics in memory, whose broker stamps every record with the next millisecond."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], list[Given]] = defaultdict(list)
        self._now = count(1)

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        records = self.records[topic, partition]
        records.append(Given(topic, partition, len(records), key, value, next(self._now)))

    async def commit(self, lane: Lane) -> dict[str, int]:
        """Take what a lane said."""
        for saying in lane.batch.said:
            for partition in range(PARTITIONS) if saying.partition is None else (saying.partition,):
                self.append(saying.topic, partition, saying.key, saying.value)
        return {seat.agent.name: next(self._now) for seat in lane.seats}

    async def ends(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """Return the offsets behind the last records."""
        return {topic: len(self.records[topic, partition]) for topic in topics}

    def letters(self) -> list[str]:
        """Return the codes of dead letters."""
        found = [
            CODEC.decode(r.value or b"")
            for (topic, _), some in self.records.items()
            if topic == "dead-letters"
            for r in some
        ]
        return [letter.code for letter in found if isinstance(letter, ev.DeadLetter)]


def at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 23, tzinfo=UTC)


def close(number: int) -> bytes:
    """Return the close of a day so many days after the start."""
    day = START + timedelta(days=number)
    made = ev.DayClosed(event_id=f"c{number}", occurred_at=at(START), source="t", business_date=day, calendar="none")
    return CODEC.encode(made)


def opened(number: int) -> ev.AccountOpened:
    due = START + timedelta(days=1 + number % 5)
    return ev.AccountOpened(
        event_id=f"o{number}",
        occurred_at=at(START),
        source="t",
        account_id=f"A{number}",
        borrower_id=f"B{number}",
        product="personal_loan",
        jurisdiction="US",
        currency="USD",
        opened_on=START,
        annual_rate_bps=1_000,
        principal=10_000,
        instalments=(ev.Instalment(number=1, due_on=due, principal=10_000, interest=0, fees=0),),
    )


def ran(clocks: Sequence[Sequence[bytes]], folder: Path) -> tuple[Log, list[Lane]]:
    """Let lanes work through accounts and the clocks of their partitions; fails where one stalls."""
    log = Log()
    for number in range(12):
        event = opened(number)
        key = (key_of(event) or "").encode()
        log.append(TOPIC_OF[type(event)].name, partition_of(key, PARTITIONS), key, CODEC.encode(event))
    for step in range(max(map(len, clocks))):
        for partition, clock in enumerate(clocks):
            if step < len(clock):
                log.append("clock", partition, None, clock[step])
    book, stores, lanes = default_book(), [], []
    for partition in range(PARTITIONS):
        seats = []
        for agent, kind in agents_at_work():
            stores.append(PartitionStore(folder / f"{agent.name}-{partition}"))
            seats.append(Seat(agent, kind, LaneRows(stores[-1]), book, 100))
        lanes.append(Lane(partition, PARTITIONS, seats, book, Codec(), prefix=""))
    asyncio.run(drive(log, lanes))
    for store in stores:
        store.close()
    return log, lanes


async def drive(log: Log, lanes: list[Lane]) -> None:
    """Hand records to lanes until there is nothing left to take."""
    failed: list[BaseException] = []
    runners = [Runner(lane, log, 100, lambda _, error: failed.append(error), lambda: None, {}) for lane in lanes]
    topics = sorted({t for lane in lanes for s in lane.seats for t in s.topics} | {"clock", "barriers", "learning"})
    taken: dict[tuple[str, int], int] = defaultdict(int)
    for runner in runners:
        runner.start()
    deadline = time.monotonic() + PATIENCE
    quiet = 0
    while quiet < 5:
        moved = False
        for partition, runner in enumerate(runners):
            for topic in topics:
                new = log.records[topic, partition][taken[topic, partition] :][:7]
                if new and runner.wants(topic):
                    runner.give(topic, new)
                    taken[topic, partition] += len(new)
                    moved = True
            runner.look({t: (taken[t, partition], len(log.records[t, partition])) for t in topics})
        await asyncio.sleep(0.002)
        if failed:
            raise failed[0]
        busy = moved or any(runner.closing for runner in runners)
        quiet = 0 if busy else quiet + 1
        if time.monotonic() > deadline:
            where = [(s.agent.name, s.closed_through) for lane in lanes for s in lane.seats]
            pytest.fail(f"a close stalled: {where}")
    for runner in runners:
        await runner.stop(5)
    assert all(taken[t, p] == len(log.records[t, p]) for t in topics for p in range(PARTITIONS) if t in TOPICS)


def through(lanes: list[Lane]) -> set[date | None]:
    return {seat.closed_through for lane in lanes for seat in lane.seats}


STUTTERS = ("whole", "twice", "skipped", "late", "early", "far", "end", "garbage")


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.sampled_from(STUTTERS), min_size=PARTITIONS, max_size=PARTITIONS), min_size=2, max_size=8))
def test_no_close_stalls_whatever_each_partitions_clock_does(story: list[list[str]]) -> None:
    clocks: list[list[bytes]] = [[close(0)] for _ in range(PARTITIONS)]
    refused = 0
    for number, stutters in enumerate(story, 1):
        for clock, stutter in zip(clocks, stutters, strict=True):
            told = {
                "whole": [close(number)],
                "twice": [close(number), close(number)],
                "skipped": [],
                "late": [close(number), close(number - 1)],
                "early": [close(number + 1), close(number)],
                "far": [close(365 + number), close(number)],
                "end": [close((date(9999, 12, 31) - START).days), close(number)],
                "garbage": [b"\xffnothing", close(number)],
            }[stutter]
            clock += told
            refused += stutter in ("far", "end", "garbage")
    last = len(story) + 2
    for clock in clocks:
        clock.append(close(last))
    with TemporaryDirectory() as folder:
        log, lanes = ran(clocks, Path(folder))
        assert through(lanes) == {START + timedelta(days=last)}
    assert len(log.letters()) == refused
    missed = [CODEC.decode(r.value or b"") for (t, _), some in log.records.items() if t == "delinquency" for r in some]
    said = {e.account_id for e in missed if isinstance(e, ev.InstalmentMissed)}
    assert said == {f"A{n}" for n in range(12) if 1 + n % 5 < last}


def test_a_close_that_one_partition_never_hears_of_waits_for_its_next_one(tmp_path: Path) -> None:
    """A producer that dies between two partitions holds a day up, not the lender: the next day frees it."""
    log, lanes = ran([[close(0), close(1), close(2)], [close(0), close(2)], [close(0), close(1), close(2)]], tmp_path)
    assert through(lanes) == {START + timedelta(days=2)}
    assert log.letters() == []
