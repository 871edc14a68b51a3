"""The broker's clock goes back, in the middle of a backlog: no task stalls, and the order within a partition counts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas import events as ev
from schemas.topics import TOPICS
from simulator.runs import simulate
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.support.in_memory_cluster import InMemoryCluster, InMemoryWorker

# Seconds that a run may take on a slow machine before it counts as stalled.
PATIENCE = 60.0
SAID = [t.name for t in TOPICS.values() if not t.inbound and t.name not in ("barriers", "dead-letters", "learning")]


@cache
def history() -> tuple[ev.Event, ...]:
    return tuple(simulate(accounts=12, days=45, seed=5, start=date(2026, 1, 5)))


def in_order(cluster: InMemoryCluster) -> Iterator[ev.Event]:
    """Yield what came from outside as one process takes it: by partition in order, by the latest time so far."""
    waiting = {}
    for (topic, partition), log in cluster.logs.items():
        if TOPICS[topic].inbound:
            latest, stamped = 0, []
            for record in log:
                latest = max(latest, record.timestamp)
                stamped.append((latest, cluster.codec.decode(record.value or b"")))
            waiting[topic, partition] = stamped
    closes = [waiting.pop(("clock", partition)) for partition in range(cluster.partitions)]
    for step in zip(*closes, strict=True):
        before = [
            waiting[topic, partition].pop(0)
            for topic, partition in waiting
            for _ in range(sum(at <= step[partition][0] for at, _ in waiting[topic, partition]))
        ]
        yield from (event for _, event in sorted(before, key=lambda pair: pair[0]))
        yield step[0][1]
    rest = [pair for stamped in waiting.values() for pair in stamped]
    yield from (event for _, event in sorted(rest, key=lambda pair: pair[0]))


async def ran(cluster: InMemoryCluster, restart: bool) -> None:
    """Let one worker come to the end of all; a restart happens in the middle."""
    owner = InMemoryWorker()
    for partition in range(cluster.partitions):
        cluster.open(owner, partition)
    if restart:
        for _ in range(40):
            for partition, executor in owner.executors.items():
                cluster.feed(partition, executor)
            await asyncio.sleep(0)
        for partition in range(cluster.partitions):
            await cluster.leave(owner, partition)
            cluster.open(owner, partition)
    await asyncio.wait_for(cluster.settle(owner), PATIENCE)
    for partition in range(cluster.partitions):
        await cluster.leave(owner, partition)
    cluster.close()


def published(folder: Path, steps: dict[int, int], partitions: int) -> InMemoryCluster:
    """Return a house where all was published before anybody read, by a clock that went back at these events."""
    cluster = InMemoryCluster(folder, partitions, batch=7, most=5)
    for number, event in enumerate(history()):
        cluster.set_clock(steps.get(number, 0))
        cluster.publish([event])
    return cluster


def said(cluster: InMemoryCluster) -> dict[str, ev.Event]:
    return {event.event_id: event for topic in SAID for _, event in cluster.said(topic)}


STEPS = st.dictionaries(st.integers(0, len(history()) - 1), st.integers(1, 400), min_size=1, max_size=6)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(STEPS, st.integers(1, 2))
@example({77: 391, 98: 2, 89: 229, 34: 370}, 1)
def test_a_clock_that_goes_back_stalls_and_reorders_nothing(steps: dict[int, int], partitions: int) -> None:
    with TemporaryDirectory() as folder:
        cluster = published(Path(folder), steps, partitions)
        order = list(in_order(cluster))
        assert len(order) == len(history())
        asyncio.run(ran(cluster, restart=False))
    with LocalRuntime.open(None, default_book()) as runtime:
        wanted = {e.event_id: e for e in runtime.feed(order) if not isinstance(e, ev.DeadLetter | ev.ModelUpdated)}
    found = said(cluster)
    assert found.keys() == wanted.keys()
    assert [e for name, e in found.items() if e != wanted[name]] == []


@pytest.mark.parametrize(
    ("steps", "partitions"),
    [({77: 391, 98: 2, 89: 229, 34: 370}, 1), ({75: 53, 40: 16, 2: 14, 83: 278}, 1), ({60: 10_000}, 2)],
)
def test_a_worker_restarted_after_a_clock_jump_catches_up(
    tmp_path: Path, steps: dict[int, int], partitions: int
) -> None:
    cluster = published(tmp_path, steps, partitions)
    asyncio.run(ran(cluster, restart=True))
    for topic in ("payments", "accounts", "clock"):
        for partition in range(partitions):
            log = cluster.logs[topic, partition]
            assert cluster.committed.get((topic, partition), 0) == len(log)
