"""Who is held out is held out of all that was learned, and each decision says by which model it was made."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from msgspec.structs import replace

from agents.learner.estimates import Features, LearnedEstimate
from agents.learner.ranking import place_in_trial
from agents.planner.assessment import assess
from agents.planner.offers import OfferBuilder
from agents.planner.update import BorrowerUpdate
from schemas import events as ev
from state.learning import ModelSnapshot, RepaymentModel, cell_of
from state.policy import Learning, PolicyBook
from state.policy_packs.loader import default_book
from tests.support.agent_driver import PlannerDriver, only
from tests.support.borrower_events import BorrowerEvents

HOUSE = default_book().policy_for("CN", "personal_loan")
# Most plan instalments were missed, of whatever kind: it moves every option's estimate far from the prior.
MISSED = {cell_of(burden, term, 0.0, 35): (200, 800) for burden in (0.15, 0.25, 0.35) for term in (6, 12, 24, 36, 48)}
UPDATE = ev.ModelUpdated(
    event_id="m",
    occurred_at=datetime(2026, 3, 1, 23, tzinfo=UTC),
    source="test",
    model="lead",
    business_date=date(2026, 3, 1),
    caused_by="night",
    version=41,
    rows=0,
    outer=(),
    accepted=(),
    reward=(),
    cells=tuple(ev.CapacityCell(cell=c, kept=k, missed=m) for c, (k, m) in MISSED.items()),
    counts={},
)
ON = Learning(mode="on")
FIXED = Learning(mode="on", challenger="fixed", challenger_bps=2_000)
CHANCE = Learning(mode="on", challenger="uniform", challenger_bps=2_000)


def somebody(low: int, high: int) -> str:
    """Return a borrower whose share is in [low, high), in basis points."""
    return next(f"B{n}" for n in range(100_000) if low <= place_in_trial(f"B{n}") < high)


HELD_OUT, CHALLENGED, LED = somebody(0, 500), somebody(500, 2_500), somebody(2_500, 10_000)


def decided(
    rules: Learning, borrower: str, update: ev.ModelUpdated | None = UPDATE
) -> tuple[PlannerDriver, ev.DecisionLogged]:
    """Return the driver of a borrower who was made an offer, and the decision on it."""
    book = PolicyBook("test", lambda jurisdiction, product: replace(HOUSE, learning=rules))
    driver, tell = PlannerDriver(book, None if update is None else ModelSnapshot(update)), BorrowerEvents(borrower)
    driver.feed(tell.granted(0), tell.report(0, 1_000_000), tell.request(0))
    driver.close(0)
    (decision,) = only(driver.outputs, ev.DecisionLogged)
    assert len(decision.shown) > 1
    return driver, decision


def content(decision: ev.DecisionLogged) -> tuple[object, ...]:
    """Return what of a decision follows from how options were valued and led."""
    return decision.candidates, decision.feasible, decision.chosen, decision.estimate_version


@pytest.mark.parametrize(
    ("rules", "borrower", "group"),
    [
        (ON, HELD_OUT, "holdout"),
        (FIXED, HELD_OUT, "holdout"),
        (CHANCE, HELD_OUT, "holdout"),
        (FIXED, CHALLENGED, "challenger"),
        (Learning(mode="shadow"), LED, "fixed"),
        (Learning(mode="off"), LED, "fixed"),
    ],
)
def test_learning_never_touches_the_options_of_the_held_out(rules: Learning, borrower: str, group: str) -> None:
    _, decision = decided(rules, borrower)
    _, never = decided(rules, borrower, None)
    assert (decision.arm, decision.model_version, decision.estimate_version) == (group, "fixed-order-1", "prior-1")
    assert content(decision) == content(never)


def test_after_a_guardrail_tripped_the_prior_values_options() -> None:
    _, decision = decided(ON, LED, replace(UPDATE, tripped="acceptance"))
    assert (decision.arm, decision.estimate_version) == ("fixed", "prior-1")


@pytest.mark.parametrize(
    ("rules", "borrower", "group", "model"),
    [
        (ON, LED, "learned", "linear-thompson-1@41"),
        (FIXED, LED, "learned", "linear-thompson-1@41"),
        (CHANCE, CHALLENGED, "challenger", "uniform-1"),
    ],
)
def test_options_are_valued_by_a_named_model_update(rules: Learning, borrower: str, group: str, model: str) -> None:
    _, decision = decided(rules, borrower)
    assert (decision.arm, decision.model_version, decision.estimate_version) == (group, model, "keep-curve-1@41")
    _, before = decided(rules, borrower, None)
    known = {c.option_id: c.keep_bps for c in before.candidates if c.keep_bps > 0}
    learned = {c.option_id: c.keep_bps for c in decision.candidates if c.keep_bps > 0}
    shared = known.keys() & learned.keys()
    assert len(shared) > 3
    # Instalments that four in five missed are not expected to be kept three times in a row.
    assert all(learned[name] < 2_000 < known[name] for name in shared)


def test_the_planner_values_options_by_the_published_curve() -> None:
    driver, _ = decided(ON, LED)
    assert driver.state is not None
    today = date(2026, 3, 3)
    grounds = assess(driver.state, driver.book, today.toordinal())
    assert grounds is not None
    found = OfferBuilder(BorrowerUpdate(driver.state, UPDATE, "model", today.toordinal()), driver.learned).estimate(
        grounds
    )
    assert isinstance(found, LearnedEstimate)
    asked = Features(burden=0.3, term_months=24, relief=0.0, shape="level", arrears=35)
    assert found.perform(asked) == RepaymentModel(MISSED).plan(0.3, 24, 0.0, 35)
