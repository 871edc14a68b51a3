"""After a breach a change of policy lets what was learned lead again: the same after restarts, and in tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from schemas import events as ev
from simulator.runs import simulate
from simulator.world import START
from state.policy import PolicyBook
from state.policy_packs.loader import book_for, files_of
from streams.local.runtime import LocalRuntime
from tests.streams.test_policy_changes import by_any
from tests.support.in_memory_cluster import InMemoryCluster, InMemoryWorker

ACCOUNTS, DAYS, SEED, AGAIN = 600, 165, 4, 135
# Guardrails so narrow that chance alone trips them, and then the house's own with a second trial.
NARROW = """pack: narrow
version: 1
title: Guardrails that trip
sections:
  learning:
    mode: {value: "on", verified: true, source: test}
    holdout_bps: {value: 5000, verified: true, source: test}
    guardrail_offers: {value: 2, verified: true, source: test}
    guardrail_deviations: {value: 0, verified: true, source: test}
    least_acceptance_bps: {value: 10000, verified: true, source: test}
    most_broken_bps: {value: 0, verified: true, source: test}
    most_complaints_bps: {value: 0, verified: true, source: test}
"""
SECOND = """pack: second
version: 1
title: A second trial
sections:
  learning:
    mode: {value: "on", verified: true, source: test}
    trial: {value: 2, verified: true, source: "looked at by a risk officer"}
"""


class Told(NamedTuple):
    """A population's events with the change among them, the book it began with, and what one process says."""

    events: Sequence[ev.Event]
    book: PolicyBook
    said: Sequence[ev.Event]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Return what is told of a population whose guardrail trips, and is let lead again some months later."""
    folder = tmp_path_factory.mktemp("packs")
    narrow, second = folder / "narrow.yaml", folder / "second.yaml"
    narrow.write_text(NARROW, "utf-8")
    second.write_text(SECOND, "utf-8")
    on = START + timedelta(days=AGAIN)
    change = ev.PolicyChanged(
        event_id="second-trial",
        occurred_at=datetime(on.year, on.month, on.day, 1, tzinfo=UTC),
        source="risk",
        change_id="second-trial",
        effective_on=on,
        files=files_of(str(second)),
    )
    book = book_for(str(narrow))
    events = list(simulate(ACCOUNTS, DAYS, SEED, policy=str(narrow), changes=[change]))
    with LocalRuntime.open(None, book) as runtime:
        return Told(events, book, tuple(runtime.feed(events)))


def test_a_second_trial_begins_the_day_after_its_change(story: Told) -> None:
    (breach,) = [e for e in story.said if isinstance(e, ev.GuardrailTripped)]
    again = START + timedelta(days=AGAIN)
    assert breach.business_date < again - timedelta(days=20)
    let_in = min(
        e.business_date
        for e in story.said
        if isinstance(e, ev.ModelUpdated) and e.business_date > breach.business_date and e.tripped is None
    )
    assert let_in >= again
    led = [e.business_date for e in story.said if isinstance(e, ev.DecisionLogged) and e.arm == "learned"]
    assert min(led) <= breach.business_date
    assert max(led) > let_in
    assert not [day for day in led if breach.business_date < day <= let_in]


def test_it_is_the_same_after_restarts(story: Told, tmp_path: Path) -> None:
    events, said = story.events, list[ev.Event]()
    at = next(n for n, e in enumerate(events) if isinstance(e, ev.PolicyChanged))
    for first, last in ((0, at), (at, at + 1), (at + 1, at + 40), (at + 40, len(events))):
        with LocalRuntime.open(tmp_path / "data", story.book) as runtime:
            said += runtime.feed(events[first:last])
    assert said == list(story.said)


def test_tasks_publish_what_one_process_publishes(story: Told, tmp_path: Path) -> None:
    house, one, two = InMemoryCluster(tmp_path, 2), InMemoryWorker(), InMemoryWorker()
    house.book = story.book
    events = story.events
    at = next(n for n, e in enumerate(events) if isinstance(e, ev.PolicyChanged))

    async def run() -> None:
        for partition in range(2):
            house.open(one, partition)
        # One partition is taken over behind the change and before it counts.
        for part in (events[: at + 1], events[at + 1 :]):
            house.publish(part)
            await house.settle(one, two)
            if 1 in one.executors:
                await house.leave(one, 1)
                house.open(two, 1)
        await house.settle(one, two)
        for owner in (one, two):
            for runner in owner.running():
                await runner.stop(5)

    asyncio.run(run())
    topics = {topic for topic, _ in house.logs if topic not in ("barriers", "learning", "clock")}
    said = {e.event_id: by_any(e) for topic in topics for _, e in house.said(topic)}
    wanted = {e.event_id: by_any(e) for e in story.said if not isinstance(e, ev.ModelUpdated)}
    assert {name: said[name] for name in wanted} == wanted
    house.close()
