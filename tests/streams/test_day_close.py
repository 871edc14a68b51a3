"""All tasks of a deployment over a log in memory: whatever their clocks say, no close stalls.

The tasks and their runners are the real ones; the log stands for Kafka, whose own part is tested in `tests/kafka`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import events as ev
from schemas.codec import Codec
from streams.engine.task import StreamTask
from tests.support.in_memory_cluster import InMemoryCluster, InMemoryWorker

PARTITIONS = 3
START = date(2026, 1, 1)
# Seconds that a run may take on a slow machine before it counts as stalled; a run takes a tenth of one.
PATIENCE = 30.0
CODEC = Codec()


def letters(cluster: InMemoryCluster) -> list[str]:
    """Return the codes of dead letters."""
    return [letter.code for _, letter in cluster.said("dead-letters") if isinstance(letter, ev.DeadLetter)]


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


def ran(clocks: Sequence[Sequence[bytes]], folder: Path) -> tuple[InMemoryCluster, list[StreamTask]]:
    """Let tasks work through accounts and the clocks of their partitions; fails where one stalls."""
    cluster, owner = InMemoryCluster(folder, PARTITIONS, batch=100, most=7), InMemoryWorker()
    cluster.publish([opened(number) for number in range(12)])
    for step in range(max(map(len, clocks))):
        for partition, clock in enumerate(clocks):
            if step < len(clock):
                cluster.append("clock", partition, None, clock[step])

    async def run() -> list[StreamTask]:
        for partition in range(PARTITIONS):
            cluster.open(owner, partition)
        tasks = [executor.task for executor in owner.running()]
        try:
            await asyncio.wait_for(cluster.settle(owner), PATIENCE)
        except TimeoutError:
            where = [(x.name, x.closed_through) for task in tasks for x in task.agent_tasks]
            pytest.fail(f"a close stalled: {where}")
        for partition in range(PARTITIONS):
            await cluster.leave(owner, partition)
        return tasks

    tasks = asyncio.run(run())
    read = {topic for task in tasks for topic in (*task.inputs, *task.internal_topics, "clock")}
    for (topic, partition), log in cluster.logs.items():
        assert topic not in read or cluster.committed.get((topic, partition), 0) == len(log)
    cluster.close()
    return cluster, tasks


def through(tasks: list[StreamTask]) -> set[date | None]:
    return {x.closed_through for task in tasks for x in task.agent_tasks}


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
        cluster, tasks = ran(clocks, Path(folder))
        assert through(tasks) == {START + timedelta(days=last)}
    assert len(letters(cluster)) == refused
    missed = [event for _, event in cluster.said("delinquency")]
    said = {e.account_id for e in missed if isinstance(e, ev.InstalmentMissed)}
    assert said == {f"A{n}" for n in range(12) if 1 + n % 5 < last}


def test_a_close_one_partition_missed_waits_for_the_next(tmp_path: Path) -> None:
    """A producer that dies between two partitions holds a day up, not the lender: the next day frees it."""
    whole = [close(0), close(1), close(2)]
    cluster, tasks = ran([whole, [close(0), close(2)], whole], tmp_path)
    assert through(tasks) == {START + timedelta(days=2)}
    assert letters(cluster) == []
