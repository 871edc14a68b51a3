"""A worker's recovery survives a broker that does not answer in time: it asks again, and never ends by itself.

A seek that was given up for lost may still come through and hand a task again what it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from faust.tables.recovery import RebalanceAgain, ServiceStopped

from schemas.codec import Codec
from state.policy_packs.loader import default_book
from streams.kafka.app import TaskRecovery, make_app
from streams.settings import Settings
from tests.support.in_memory_cluster import InMemoryCluster, InMemoryWorker, add_records

SOON = 0.01


class Recovery(TaskRecovery):
    """Waits for committed offsets that come at the attempt `comes_at` only, as from a broker that is away."""

    comes_at = 1
    attempts = 0
    resumed: asyncio.Event

    async def _resume_streams(self, generation_id: int = 0) -> None:
        self.attempts += 1
        came = asyncio.sleep(0) if self.attempts >= self.comes_at else asyncio.sleep(3600)
        await self._wait(came, timeout=SOON)
        self.resumed.set()


class Opened:
    """Tasks that can be opened."""

    async def open(self, actives: Iterable[int], standbys: Iterable[int]) -> bool:
        """Say that it was done."""
        return True


def recovery() -> Recovery:
    """Return the recovery of a worker that is connected to nothing. Called in a loop."""
    settings = Settings.load(kafka={"retry_pause_seconds": SOON, "retry_pause_max_seconds": SOON})
    app: Any = make_app(settings, default_book(), Codec())
    app.task_manager = Opened()
    made = Recovery(app, app.tables)
    made.resumed = asyncio.Event()
    return made


def test_an_answer_that_comes_too_late_is_asked_for_again() -> None:
    async def run() -> tuple[int, int]:
        made = recovery()
        made.comes_at = 3
        await made.start()
        made.signal_recovery_start.set()
        await asyncio.wait_for(made.resumed.wait(), 60)
        first = made.attempts
        # It is still there for the next rebalance.
        made.resumed.clear()
        made.signal_recovery_start.set()
        await asyncio.wait_for(made.resumed.wait(), 60)
        await made.stop()
        return first, made.attempts

    assert asyncio.run(run()) == (3, 4)


@pytest.mark.parametrize(
    ("event", "raised"), [("late", TimeoutError), ("rebalance", RebalanceAgain), ("stop", ServiceStopped)]
)
def test_a_wait_says_why_it_ended(event: str, raised: type[Exception]) -> None:
    async def run() -> None:
        made = recovery()
        if event == "rebalance":
            made.signal_recovery_start.set()
        if event == "stop":
            made._stopped.set()
        await made._wait(asyncio.sleep(3600), timeout=SOON if event == "late" else None)

    with pytest.raises(raised):
        asyncio.run(run())


def test_records_that_are_handed_over_twice_are_taken_once(tmp_path: Path) -> None:
    async def run() -> int:
        cluster, owner = InMemoryCluster(tmp_path, 1), InMemoryWorker()
        for number in range(3):
            cluster.append("payments", 0, b"AC-1", b"nobody can read this %d" % number)
        cluster.open(owner, 0)
        await cluster.settle(owner)
        again = cluster.logs["payments", 0]
        cluster.append("payments", 0, b"AC-1", b"nor this")
        add_records(owner.executors[0], "payments", again)
        cluster._at["payments", 0] = len(again)
        await cluster.settle(owner)
        await cluster.leave(owner, 0)
        cluster.close()
        return len(cluster.said("dead-letters"))

    assert asyncio.run(run()) == 4
