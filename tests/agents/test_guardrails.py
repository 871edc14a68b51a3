"""Guardrails look at what happens of late, notice what goes wrong in bounded time, and know chance when they see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.base import DecisionContext
from agents.learner.agent import LearnerAgent
from agents.learner.guardrails import LONGEST, breach_of, recent
from agents.learner.ranking import ranker_for
from schemas import events as ev
from state.learning import LearnerState, ModelSnapshot, OfferOutcomes
from state.policy import Learning, Policy, PolicyBook
from state.policy_packs.loader import default_book
from state.storage import pack, unpack
from tests.support.policies import changing

BOOK = default_book()
HOUSE = BOOK.policy_for("", "")
START = date(2026, 1, 1)
LIMITS = Learning(guardrail_deviations=0)
WELL = OfferOutcomes(offers=1_000, accepted=500, due=2_000, broken=50, complaints=10)
FIXED = OfferOutcomes(offers=200, accepted=100, due=400, broken=10, complaints=2)


@pytest.mark.parametrize(
    ("learned", "control", "guardrail"),
    [
        ({}, {}, None),
        ({"accepted": 399}, {}, "acceptance"),
        ({"accepted": 400}, {}, None),
        ({"broken": 81}, {}, None),
        ({"broken": 82}, {}, "broken_plans"),
        # What breaks is measured by what fell due: as many breaks of twice as many instalments are half as many.
        ({"broken": 82, "due": 4_000}, {}, None),
        ({"complaints": 29}, {}, None),
        ({"complaints": 31}, {}, "complaints"),
        ({"accepted": 0, "offers": 199}, {}, None),
        ({"accepted": 0}, {"offers": 199}, None),
    ],
)
def test_a_guardrail_trips_where_learned_offers_do_worse(
    learned: dict[str, int], control: dict[str, int], guardrail: str | None
) -> None:
    breach = breach_of(replace(WELL, **learned), replace(FIXED, **control), LIMITS)
    assert (breach and breach.guardrail) == guardrail


@pytest.mark.parametrize(
    ("learned", "control", "guardrail"),
    [
        # Three in ten instead of four: of 200 offers that may be chance, of 2,000 it is not.
        (OfferOutcomes(200, 60), OfferOutcomes(200, 80), None),
        (OfferOutcomes(2_000, 600), OfferOutcomes(2_000, 800), "acceptance"),
        # Four breaks instead of two say nothing; 400 instead of 200 do.
        (OfferOutcomes(200, 80, 200, 4), OfferOutcomes(200, 80, 200, 2), None),
        (OfferOutcomes(9_000, 4_000, 20_000, 400), OfferOutcomes(9_000, 4_000, 20_000, 200), "broken_plans"),
        (OfferOutcomes(200, 80, 200, 2, 5), OfferOutcomes(200, 80, 200, 2, 1), None),
        (OfferOutcomes(9_000, 4_000, 9_000, 90, 250), OfferOutcomes(9_000, 4_000, 9_000, 90, 50), "complaints"),
    ],
)
def test_what_chance_explains_trips_nothing(
    learned: OfferOutcomes, control: OfferOutcomes, guardrail: str | None
) -> None:
    breach = breach_of(learned, control, Learning())
    assert (breach and breach.guardrail) == guardrail


def test_chance_is_judged_by_the_pooled_two_proportion_test() -> None:
    chance = np.random.default_rng(5)
    for _ in range(300):
        n1, n2 = (int(n) for n in chance.integers(200, 5_000, 2))
        k1, k2 = int(chance.binomial(n1, 0.3)), int(chance.binomial(n2, 0.36))
        pooled = (k1 + k2) / (n1 + n2)
        z = (k2 / n2 - k1 / n1) / (pooled * (1 - pooled) * (1 / n1 + 1 / n2)) ** 0.5
        # Any lower acceptance is beyond the limit here, so chance alone decides.
        rules = Learning(least_acceptance_bps=10_000)
        breach = breach_of(OfferOutcomes(n1, k1), OfferOutcomes(n2, k2), rules)
        assert (breach is not None) is (z >= 4)


def test_more_retractions_than_counts_count_as_none() -> None:
    state = LearnerState("lead", learned={5: OfferOutcomes(300, 100)}, control={5: OfferOutcomes(300, 100, 10, -1, -1)})
    _, control = recent(state, Learning(), 5)
    assert control == OfferOutcomes(300, 100, 10)


def test_guardrails_look_back_by_policy_or_for_enough_counts() -> None:
    rules = Learning(guardrail_days=10, guardrail_offers=20)
    state = LearnerState("lead")
    state.learned = {day: OfferOutcomes(5, 1) for day in range(1, 101)}
    state.control = {day: OfferOutcomes(3, 1) for day in range(1, 101)}
    learned, control = recent(state, rules, 100)
    # Ten days have thirty of the fixed order.
    assert (learned.offers, control.offers) == (50, 30)
    assert min(state.learned) == min(state.control) == 91
    state.learned = {day: OfferOutcomes(5, 1) for day in range(1, 101)}
    state.control = {day: OfferOutcomes(1, 0) for day in range(1, 101)}
    learned, control = recent(state, rules, 100)
    # Of both kinds the same days are counted.
    assert (learned.offers, control.offers, min(state.learned)) == (100, 20, 81)


def test_guardrail_counts_end_where_nothing_is_recommended() -> None:
    state = LearnerState("lead", control={day: OfferOutcomes(1) for day in range(1, 3_000)})
    learned, control = recent(state, Learning(), 2_999)
    assert (learned.offers, control.offers, len(state.control)) == (0, LONGEST, LONGEST)


# -- by day


def told(on: date, counts: dict[str, int], offered: date | None = None, name: str = "") -> ev.OfferOutcomeReported:
    """Return what is told at a day's close."""
    return ev.OfferOutcomeReported(
        event_id=f"e-{on}-{name}",
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        source="test",
        model="lead",
        offer_id=f"O-{on}-{name}",
        business_date=on,
        caused_by="night",
        rows=(),
        counts={name: number for name, number in counts.items() if number},
        offered_on=offered,
    )


class Days:
    """A learner, day after day; what it said, and in what it was stored last."""

    def __init__(self, book: PolicyBook = BOOK) -> None:
        self.agent, self.context = LearnerAgent(), DecisionContext(book)
        self.state: LearnerState | None = None
        self.said: list[ev.Event] = []

    def day(self, on: date, *evidence: ev.OfferOutcomeReported) -> ev.ModelUpdated:
        """Feed evidence, close the day and return what was told."""
        for event in evidence:
            self.state = self.agent.handle(self.state, event, self.context).state
        assert self.state is not None
        close = ev.DayClosed(
            event_id=f"c-{on}",
            occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
            source="test",
            business_date=on,
            calendar="none",
        )
        step = self.agent.close(self.state, close, self.context)
        self.state = unpack(pack(step.state), LearnerState)
        self.said += step.outputs
        update = step.outputs[-1]
        assert isinstance(update, ev.ModelUpdated)
        return update

    def tripped(self) -> list[ev.GuardrailTripped]:
        """Return the breaches that were said."""
        return [e for e in self.said if isinstance(e, ev.GuardrailTripped)]


def shares(day: int, group: str, offers: int, **of: float) -> dict[str, int]:
    """Return the counts of a day in which so many of a hundred offers are accepted and so on, without chance."""
    found = {f"{group}.offers": offers}
    for what, percent in of.items():
        found[f"{group}.{what}"] = int(offers * (day + 1) * percent / 100) - int(offers * day * percent / 100)
    return found


GOOD = {"accepted": 35.0, "due": 105.0, "broken": 3.0, "complaints": 1.0}
# 137 offers a day, of which the hold-out has the house's 5 %.
LED, HELD = 130, 7


def portfolio(day: int, **bad: float) -> ev.OfferOutcomeReported:
    """Return a day of a portfolio; `bad` is of learned leads only."""
    counts = shares(day, "learned", LED, **{**GOOD, **bad}) | shares(day, "holdout", HELD, **GOOD)
    return told(START + timedelta(days=day), counts)


@pytest.mark.parametrize(
    ("bad", "guardrail", "days"),
    [
        ({"accepted": 0.0}, "acceptance", 14),
        ({"broken": 30.0}, "broken_plans", 14),
        ({"complaints": 20.0}, "complaints", 14),
    ],
)
def test_harm_is_noticed_within_a_fortnight(bad: dict[str, float], guardrail: str, days: int) -> None:
    learner, good = Days(), 385
    for day in range(good):
        learner.day(START + timedelta(days=day), portfolio(day))
    assert learner.state is not None
    assert learner.state.counts["learned.offers"] > 50_000
    assert learner.tripped() == []
    for day in range(good, good + days):
        learner.day(START + timedelta(days=day), portfolio(day, **bad))
    (breach,) = learner.tripped()
    assert breach.guardrail == guardrail
    # 14 days are 1,820 learned offers. It is measured on those of about a month.
    assert 3_000 < breach.offers < 5_000


@pytest.mark.parametrize("a_day", [20, 140, 1_000])
@pytest.mark.parametrize("accepted", [0.2, 0.6])
def test_good_histories_of_three_years_trip_nothing(a_day: int, accepted: float) -> None:
    chance = np.random.default_rng(11)
    state, rules = LearnerState("lead"), HOUSE.learning

    def drawn(mean: float) -> OfferOutcomes:
        offers = int(chance.poisson(mean))
        taken, due = int(chance.binomial(offers, accepted)), int(chance.poisson(3 * accepted * mean))
        return OfferOutcomes(offers, taken, due, int(chance.binomial(due, 0.03)), int(chance.binomial(offers, 0.01)))

    for day in range(1, 1_096):
        state.learned[day], state.control[day] = drawn(0.95 * a_day), drawn(0.05 * a_day)
        assert breach_of(*recent(state, rules, day), rules) is None, day


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sampled_from(["learned", "holdout", "fixed", "challenger", "borrower"]),
            st.sampled_from(["offers", "accepted", "due", "broken", "complaints"]),
            st.integers(-3, 300),
        ),
        max_size=40,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_a_days_evidence_changes_no_guardrail(found, chance) -> None:  # type: ignore[no-untyped-def]
    def run(order: Callable[[list[ev.OfferOutcomeReported]], None]) -> list[ev.Event]:
        learner = Days()
        for day in range(41):
            on = START + timedelta(days=day)
            events = [
                told(on, {f"{group}.{what}": number}, name=str(n))
                for n, (at, group, what, number) in enumerate(found)
                if at == day
            ]
            order(events)
            if events:
                learner.day(on, *events)
        return learner.said

    assert run(chance.shuffle) == run(lambda events: None)


# -- the way back


BAD = {"learned.offers": 500, "learned.accepted": 10, "fixed.offers": 500, "fixed.accepted": 250}
GOOD_AGAIN = {"learned.offers": 500, "learned.accepted": 250, "fixed.offers": 500, "fixed.accepted": 250}


def ruled(**rules: object) -> Policy:
    """Return the house's policy with learning on, and rules of it changed."""
    return replace(HOUSE, learning=replace(HOUSE.learning, mode="on", **rules))


def on_days(*days: int) -> Iterator[date]:
    """Yield days of the story."""
    return (START + timedelta(days=day) for day in days)


def test_a_breach_is_said_once_and_puts_the_fixed_order_back() -> None:
    learner = Days()
    first, second = on_days(0, 1)
    update = learner.day(first, told(first, BAD))
    (breach,) = learner.tripped()
    assert (breach.guardrail, breach.measured_bps, breach.offers) == ("acceptance", 400, 500)
    assert update.tripped == "acceptance"
    assert ranker_for(Learning(mode="on"), "B1", ModelSnapshot(update))[1] == "fixed"
    # A person looks before it leads again, whatever comes.
    update = learner.day(second, told(second, {"learned.offers": 9_000, "learned.accepted": 9_000}))
    assert update.tripped == "acceptance"
    assert len(learner.tripped()) == 1


def test_a_higher_trial_recommends_again_with_fresh_counts() -> None:
    learner = Days(changing(ruled(), (START + timedelta(days=3), ruled(guardrail_reset_id=2))))
    tripped, before, on, after = on_days(0, 2, 3, 4)
    learner.day(tripped, told(tripped, BAD))
    assert learner.day(before, told(before, GOOD_AGAIN)).tripped == "acceptance"
    update = learner.day(on, told(on, {"fixed.offers": 1}))
    assert update.tripped is None
    assert ranker_for(ruled(guardrail_reset_id=2).learning, "B1", ModelSnapshot(update))[1] in ("learned", "holdout")
    assert learner.state is not None
    assert (learner.state.since, learner.state.guardrail_reset_id) == (on.toordinal(), 2)
    # What was learned is kept; what was counted of learned leads before is not.
    late = told(after, BAD | {"learned.complaints": 400}, offered=before, name="late")
    assert learner.day(after, late).tripped is None
    # It is looked after as before.
    update = learner.day(after + timedelta(days=1), told(after + timedelta(days=1), BAD, offered=on))
    assert update.tripped == "acceptance"
    assert len(learner.tripped()) == 2
    assert update.counts["learned.offers"] == 500 + 500 + 500 + 500


@pytest.mark.parametrize(
    "changed",
    [
        ruled(),
        ruled(maturity_days=100),
        ruled(guardrail_reset_id=1),
        ruled(guardrail_reset_id=0),
        replace(HOUSE, business_time_zone="Asia/Tokyo"),
    ],
)
def test_no_other_change_of_policy_lets_it_lead_again(changed: Policy) -> None:
    learner = Days(changing(ruled(), (START + timedelta(days=3), changed)))
    for on in on_days(0, 2, 3, 4, 30):
        update = learner.day(on, told(on, BAD if on == START else {"fixed.offers": 1}))
    assert update.tripped == "acceptance"


def test_a_trial_raised_before_the_breach_does_not_undo_it() -> None:
    learner = Days(
        changing(
            ruled(), (START + timedelta(days=1), ruled(guardrail_reset_id=5)), (START + timedelta(days=9), ruled())
        )
    )
    for on in on_days(0, 1, 2, 3, 9, 10):
        update = learner.day(on, told(on, BAD if on == START + timedelta(days=2) else {"fixed.offers": 1}))
    assert update.tripped == "acceptance"
    assert learner.state is not None
    assert learner.state.guardrail_reset_id == 5
