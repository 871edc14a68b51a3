"""Repetitions anywhere, in batches cut anywhere, change nothing of outputs, states, facts and dead letters."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs
from msgspec.structs import replace

from schemas import events as ev
from schemas.jsonlines import read_events
from schemas.topics import TOPIC_OF
from simulator.runs import simulate
from state.borrower import BorrowerState
from state.policy_packs.loader import default_book, files_of
from streams.local.runtime import LocalRuntime
from tests.support.account_events import AccountEvents, at

START = date(2026, 1, 5)
# Populations of a dozen accounts over five months, in which all that may be repeated occurs (see the first test).
SEEDS = range(3)
# These are identified by their event_id.
BY_EVENT_ID = (ev.ProfileReported, ev.ConsentGranted, ev.ConsentWithdrawn, ev.ErasureRequested)
EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples.jsonl"
FREQUENT = (
    ev.AccountOpened, ev.ConsentGranted, ev.ContactAttempted, ev.DayClosed, ev.InstalmentBilled, ev.PaymentReceived,
    ev.OfferAnswered, ev.PolicyChanged, ev.ProfileReported,
)  # fmt: skip
AGENTS = ("account", "planner", "learner")


def change(number: int, day: int, pack: str) -> ev.PolicyChanged:
    """Return a change of policy from a day after the start on."""
    on = START + timedelta(days=day)
    return ev.PolicyChanged(
        event_id=f"policy-{number}",
        occurred_at=at(on - timedelta(days=1)),
        source="test",
        change_id=f"C{number}",
        effective_on=on,
        files=files_of(pack),
    )


def told_of(example: ev.Event, opening: ev.AccountOpened, day: date) -> ev.Event:
    """Return an example as it is told of an account or its borrower on a day."""
    told: dict[str, Any] = {"occurred_at": at(day), "event_id": f"{example.event_id}-{opening.account_id}"}
    for field in structs.fields(example):
        if field.name in ("account_id", "borrower_id", "currency"):
            told[field.name] = getattr(opening, field.name)
        elif isinstance(value := getattr(example, field.name), date) and not isinstance(value, datetime):
            told[field.name] = day
    return replace(example, **told)


@cache
def history(seed: int) -> tuple[ev.Event, ...]:
    """Return the inputs of a population that answers its offers, under policies that change twice.

    What a population of that size does not bring is told of some of its accounts too.
    """
    changes = [change(1, 40, "us_ffiec"), change(2, 90, "eu_dod")]
    events: list[ev.Event] = list(simulate(14, 150, seed, START, changes=changes))
    openings = [e for e in events if isinstance(e, ev.AccountOpened)]
    examples = [e for e in read_events(EXAMPLES) if isinstance(e, ev.Event) and TOPIC_OF[type(e)].inbound]
    rare = [e for e in examples if not isinstance(e, FREQUENT)]
    chance = random.Random(seed)
    for example in rare:
        place = chance.randrange(len(openings), len(events))
        days = [e.business_date for e in events[:place] if isinstance(e, ev.DayClosed)]
        day = max(days, default=START) + timedelta(days=1)
        events.insert(place, told_of(example, chance.choice(openings), day))
    return tuple(events)


def disputed(event: ev.Event) -> ev.Event:
    """Return another statement of the same fact."""
    if isinstance(event, ev.PaymentReceived | ev.PromiseMade):
        return replace(event, amount=event.amount + 1)
    if isinstance(event, ev.ContactAttempted):
        return replace(event, outcome="refused" if event.outcome != "refused" else "reached")
    return replace(event, occurred_at=event.occurred_at - timedelta(hours=1))


class Outcome:
    """All that came of a history, cut into batches."""

    def __init__(self, batches: Sequence[Sequence[ev.Event]], size: int = 10_000, cached: int = 200_000) -> None:
        with LocalRuntime.open(None, default_book(), batch=size, cached=cached) as runtime:
            self.said = [event for batch in batches for event in runtime.feed(batch)]
            keys = [(agent, key) for agent in AGENTS for key in runtime.keys(agent)]
            self.states = {place: runtime.state(*place) for place in keys}
            self.facts = {place: runtime.history(*place) for place in keys}

    def check(self, other: Outcome, *, letters: bool = True) -> None:
        """Fail where another outcome is not the same. letters: dead letters are compared too."""
        mine, theirs = ([e for e in o.said if letters or not isinstance(e, ev.DeadLetter)] for o in (self, other))
        assert mine == theirs
        assert self.states == other.states
        assert self.facts == other.facts


def test_a_run_hands_on_what_each_batch_published() -> None:
    events, parts = history(SEEDS[0])[:2_000], list[list[ev.Event]]()
    with LocalRuntime.open(None, default_book(), batch=100) as runtime:
        runtime.publish(events)
        summary = runtime.run(parts.append)
    assert [event for part in parts for event in part] == Outcome([events]).said
    assert len(parts) == -(-len(events) // 100)
    assert summary.published == sum(map(len, parts))


def _again(draw: st.DrawFn, event: ev.Event, contradictions: bool) -> ev.Event:
    if isinstance(event, BY_EVENT_ID):
        return event
    if contradictions and draw(st.integers(0, 3)) == 0:
        event = disputed(event)
    return replace(event, event_id=f"again-{draw(st.integers(0, 3))}") if draw(st.booleans()) else event


@st.composite
def arrivals(draw: st.DrawFn, contradictions: bool) -> tuple[int, list[ev.Event]]:
    """Return a seed, and its history with stretches of it repeated behind themselves, some under other event_ids.

    contradictions: some say something else, or are of an account that is not opened.
    """
    seed = draw(st.sampled_from(SEEDS))
    events = list(history(seed))
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.integers(0, len(events) - 1))
        end = min(len(events), start + draw(st.integers(1, 12)))
        again = [_again(draw, event, contradictions) for event in events[start:end]]
        # Right behind it, on the same day, or at any time later.
        at_ = draw(st.integers(end, min(len(events), end + draw(st.sampled_from([0, 10, len(events)])))))
        events[at_:at_] = again
    if contradictions and draw(st.booleans()):
        lost = AccountEvents("lost", START).paid(10, 1_000)
        events[draw(st.integers(0, len(events))) : 0] = [lost, lost]
    return seed, events


@st.composite
def cuts(draw: st.DrawFn, events: Sequence[ev.Event]) -> list[Sequence[ev.Event]]:
    """Return events in batches."""
    places = sorted(draw(st.sets(st.integers(1, len(events) - 1), max_size=30)))
    return [events[a:b] for a, b in zip([0, *places], [*places, len(events)], strict=True)]


def test_the_histories_hold_all_that_comes_in() -> None:
    kinds = {type(event) for seed in SEEDS for event in history(seed)}
    assert {kind for kind, topic in TOPIC_OF.items() if topic.inbound} == kinds


@settings(max_examples=25, deadline=None, derandomize=True, phases=(Phase.generate,))
@given(data=st.data(), found=arrivals(contradictions=True))
def test_batches_cut_anywhere_give_the_same(data: st.DataObject, found: tuple[int, list[ev.Event]]) -> None:
    _, events = found
    whole = Outcome([events])
    whole.check(Outcome(data.draw(cuts(events))))
    whole.check(Outcome([events], *data.draw(st.sampled_from([(1, 200_000), (2, 1), (7, 3), (10_000, 1)]))))


@settings(max_examples=25, deadline=None, derandomize=True, phases=(Phase.generate,))
@given(found=arrivals(contradictions=False))
def test_repetitions_give_the_same(found: tuple[int, list[ev.Event]]) -> None:
    seed, events = found
    # What was refused is refused again.
    _once(seed).check(Outcome([events]), letters=False)


@cache
def _once(seed: int) -> Outcome:
    return Outcome([history(seed)])


def close(on: date) -> ev.DayClosed:
    return ev.DayClosed(event_id=f"day-{on}", occurred_at=at(on), source="test", business_date=on, calendar="none")


def test_a_payment_repeated_behind_a_repeated_close_counts_once() -> None:
    story = AccountEvents(start=date(2025, 1, 1))
    payment, closed = story.paid(34, 3_000, currency="GBP"), close(story.day(34))
    events = [
        story.opened(31, jurisdiction="GB", currency="GBP"),
        closed,
        *[payment, closed] * 3,
        *(close(story.day(n)) for n in range(35, 64)),
    ]
    said = [e for e in Outcome([events]).said if isinstance(e, ev.DelinquencyChanged)]
    assert [(e.to, e.overdue_amount) for e in said] == [("dpd_1_30", 10_000), ("dpd_31_60", 7_000)]


def test_an_opening_repeated_behind_a_close_has_no_effect() -> None:
    story = AccountEvents()
    opening, closed = story.opened(31), close(START)
    assert Outcome([[closed, opening, closed, opening, close(START + timedelta(days=1))]]).said == []


@pytest.mark.parametrize("size", [1, 10_000])
def test_what_is_reported_after_an_erasure_in_one_file_is_kept(tmp_path: Path, size: int) -> None:
    def reported(day: int, income: int) -> ev.ProfileReported:
        on = START + timedelta(days=day)
        return ev.ProfileReported(
            event_id=f"p{day}", occurred_at=at(on), source="test", borrower_id="B1", kind="declared", as_of=on,
            consent_id="c", monthly_income=income,
        )  # fmt: skip

    erasure = ev.ErasureRequested(
        event_id="e", occurred_at=at(START + timedelta(days=5)), source="test", borrower_id="B1"
    )
    events = [reported(0, 1_000), erasure, reported(3, 2_000), reported(7, 3_000)]
    with LocalRuntime.open(tmp_path, default_book(), batch=size) as runtime:
        runtime.feed(events)
        state = runtime.state("planner", "B1")
        assert isinstance(state, BorrowerState)
        assert [(r.field, r.value) for r in state.readings] == [("monthly_income", 3_000)]
        # The log has no more of what was said before the erasure, whenever it came.
        incomes = [e.monthly_income for _, e in runtime.outputs("profiles") if isinstance(e, ev.ProfileReported)]
        assert incomes == [None, None, 3_000]
