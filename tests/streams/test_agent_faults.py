"""A fault of an agent ends its lane with one sentence: nothing of the batch is kept, and nothing is passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from agents.account import AccountAgent
from agents.planner import PlannerAgent
from chaos.stage import expected
from schemas import events as ev
from schemas.errors import Fatal
from schemas.topics import TOPICS
from simulator.runs import simulate
from tests.streams.lane_house import House, Owner

SAID = [topic.name for topic in TOPICS.values() if not topic.inbound and topic.name not in ("barriers", "learning")]


def said(house: House) -> dict[str, ev.Event]:
    """Return what was said, by id; fails where anything was said twice."""
    found = [event for topic in SAID for _, event in house.said(topic)]
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
    ("agent", "kind", "words"),
    [
        (AccountAgent, ev.PaymentReceived, "ZeroDivisionError: Li Wei"),
        # What the planner takes is personal, and so may be the words of an error that comes of it.
        (PlannerAgent, ev.ProfileReported, r"ZeroDivisionError \(its words are left out"),
    ],
    ids=["account", "planner"],
)
def test_a_lane_whose_agent_fails_ends_where_it_was_and_goes_on_there_once_the_fault_is_gone(
    agent: type[Any], kind: type[ev.Event], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = list(simulate(accounts=60, days=60, seed=11, start=date(2026, 1, 5)))
    wanted = {event.event_id: event for event in expected(history) if not isinstance(event, ev.ModelUpdated)}
    bad = second_of_a_day(history, kind)
    half = max((n for n, e in enumerate(history[: history.index(bad)]) if isinstance(e, ev.DayClosed)), default=-1) + 1
    sound = agent.handle

    def faulty(self: Any, state: Any, event: ev.Event, env: Any) -> Any:
        if event.event_id == bad.event_id:
            raise ZeroDivisionError("Li Wei")
        return sound(self, state, event, env)

    house, owner = House(tmp_path, 1), Owner()

    async def run() -> None:
        house.open(owner, 0)
        house.publish(history[:half])
        await house.settle(owner)
        monkeypatch.setattr(agent, "handle", faulty)
        house.publish(history[half:])
        (topic, offset) = next(
            (record.topic, record.offset)
            for name in TOPICS
            for record, event in house.said(name)
            if event.event_id == bad.event_id
        )
        place = f"{topic}/0/{offset}"
        with pytest.raises(Fatal, match=rf"^Processing {kind.__name__} at {place} failed with {words}.* Nothing of it"):
            await house.settle(owner)
        assert not owner.runners[0].at_work
        # The batch had records of the topic before it.
        assert house.committed.get((topic, 0), 0) < offset
        assert said(house).keys() < wanted.keys()
        # Somebody mends it, and another worker takes the lane.
        monkeypatch.undo()
        house.failures.clear()
        await house.leave(owner, 0)
        house.open(owner, 0)
        await house.settle(owner)
        await house.leave(owner, 0)

    asyncio.run(run())
    assert house.committed["payments", 0] == len(house.logs["payments", 0])
    assert said(house) == wanted
    house.close()
