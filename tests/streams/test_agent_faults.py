"""A fault of an agent on more keys than may be in quarantine ends its task: nothing is kept, nothing passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from agents.account.agent import AccountAgent
from agents.planner.agent import PlannerAgent
from schemas import events as ev
from schemas.errors import FatalError
from schemas.topics import TOPICS
from simulator.runs import simulate
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.support.in_memory_cluster import InMemoryCluster, InMemoryWorker
from tests.support.worker_cluster import expected_outputs

SAID = [topic.name for topic in TOPICS.values() if not topic.inbound and topic.name not in ("barriers", "learning")]


def said(cluster: InMemoryCluster) -> dict[str, ev.Event]:
    """Return what was said, by id; fails where anything was said twice."""
    found = [event for topic in SAID for _, event in cluster.said(topic)]
    by_id = {event.event_id: event for event in found}
    assert len(by_id) == len(found)
    return by_id


def second_of_a_day(events: Iterable[ev.Event], kind: type[ev.Event]) -> ev.Event:
    """Return an event whose batch has another of its kind before it, which could be kept."""
    before = False
    for event in events:
        if isinstance(event, kind) and before:
            return event
        before = isinstance(event, kind) or (before and not isinstance(event, ev.DayClosed))
    raise AssertionError(f"there is no day with two {kind.__name__}")


@pytest.mark.parametrize(
    ("agent", "kind"),
    # What any agent takes may be personal, and so may be the words of an error that comes of it.
    [(AccountAgent, ev.PaymentReceived), (PlannerAgent, ev.ProfileReported)],
    ids=["account", "planner"],
)
def test_a_task_whose_agent_fails_goes_on_once_it_is_mended(
    agent: type[Any], kind: type[ev.Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = list(simulate(accounts=60, days=60, seed=11, start=date(2026, 1, 5)))
    wanted = {event.event_id: event for event in expected_outputs(history) if not isinstance(event, ev.ModelUpdated)}
    bad = second_of_a_day(history, kind)
    words = r"ZeroDivisionError in tests/streams/test_agent_faults\.py:\d+ faulty \(its words are left out"
    half = max((n for n, e in enumerate(history[: history.index(bad)]) if isinstance(e, ev.DayClosed)), default=-1) + 1
    sound = agent.handle

    def faulty(self: Any, state: Any, event: ev.Event, env: Any) -> Any:
        if event.event_id == bad.event_id:
            raise ZeroDivisionError("Li Wei")
        return sound(self, state, event, env)

    cluster, owner = InMemoryCluster(tmp_path, 1, quarantine_limit=0), InMemoryWorker()

    async def run() -> None:
        cluster.open(owner, 0)
        cluster.publish(history[:half])
        await cluster.settle(owner)
        monkeypatch.setattr(agent, "handle", faulty)
        cluster.publish(history[half:])
        (topic, offset) = next(
            (record.topic, record.offset)
            for name in TOPICS
            for record, event in cluster.said(name)
            if event.event_id == bad.event_id
        )
        place = f"{topic}/0/{offset}"
        told = (
            rf"^Processing {kind.__name__} at {place} failed with {words}.* It is of [AB]\S+, which the "
            rf"{agent.name} agent has closed through .+\. Nothing of it"
        )
        with pytest.raises(FatalError, match=told):
            await cluster.settle(owner)
        assert not owner.executors[0].at_work
        # The batch had records of the topic before it.
        assert cluster.committed.get((topic, 0), 0) < offset
        assert said(cluster).keys() < wanted.keys()
        # Somebody mends it, and another worker takes the task.
        monkeypatch.undo()
        cluster.failures.clear()
        await cluster.leave(owner, 0)
        cluster.open(owner, 0)
        await cluster.settle(owner)
        await cluster.leave(owner, 0)

    asyncio.run(run())
    assert cluster.committed["payments", 0] == len(cluster.logs["payments", 0])
    assert said(cluster) == wanted
    cluster.close()


@pytest.mark.parametrize("agent", [AccountAgent, PlannerAgent], ids=["account", "planner"])
@pytest.mark.parametrize("where", ["task", "local"])
def test_an_agent_failing_at_a_close_names_agent_key_and_day(
    agent: type[Any], where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = list(simulate(accounts=60, days=60, seed=11, start=date(2026, 1, 5)))
    wanted = {event.event_id: event for event in expected_outputs(history) if not isinstance(event, ev.ModelUpdated)}
    sound, failed = agent.close, list[tuple[str, date]]()

    def faulty(self: Any, state: Any, day: ev.DayClosed, env: Any) -> Any:
        key = state.account_id if agent is AccountAgent else state.borrower_id
        if day.business_date >= date(2026, 2, 10):
            failed.append((key, day.business_date))
            raise ZeroDivisionError("Li Wei")
        return sound(self, state, day, env)

    def see(error: FatalError) -> None:
        key, day = failed[0]
        assert str(error).startswith(f"Closing {day} failed in the {agent.name} agent at {key}: ZeroDivisionError in ")
        assert "Li Wei" not in str(error)

    monkeypatch.setattr(agent, "close", faulty)
    if where == "local":
        with (
            LocalRuntime.open(tmp_path / "data", default_book(), quarantine_limit=0) as runtime,
            pytest.raises(FatalError) as caught,
        ):
            runtime.feed(history)
        see(caught.value)
        return
    cluster, owner = InMemoryCluster(tmp_path, 1, quarantine_limit=0), InMemoryWorker()

    async def run() -> None:
        cluster.open(owner, 0)
        cluster.publish(history)
        with pytest.raises(FatalError) as caught:
            await cluster.settle(owner)
        see(caught.value)
        monkeypatch.undo()
        cluster.failures.clear()
        await cluster.leave(owner, 0)
        cluster.open(owner, 0)
        await cluster.settle(owner)
        await cluster.leave(owner, 0)

    asyncio.run(run())
    assert said(cluster) == wanted
    cluster.close()
