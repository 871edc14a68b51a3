"""How long what becomes of an offer counts, and when it is forgotten: by their edges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemas import events as ev
from tests.support.agent_driver import PlannerDriver, only
from tests.support.borrower_events import BorrowerEvents, day_of

# The house's rule, said again by hand.
MATURITY = 150


def accepted() -> tuple[PlannerDriver, BorrowerEvents, ev.OfferPublished]:
    """Return a driver whose borrower accepted, on day 1, an offer of day 0."""
    driver, tell = PlannerDriver(), BorrowerEvents()
    driver.feed(tell.granted(0), tell.report(0, 1_000_000), tell.request(0))
    driver.close(0)
    offer = driver.offer()
    driver.feed(tell.answer(1, offer.offer_id, "accepted", option_id=offer.options[0].option_id))
    driver.close(1)
    assert len(driver.evidence) == 1
    return driver, tell, offer


def progress(
    driver: PlannerDriver, offer: ev.OfferPublished, on: int, outcome: str = "kept", *, taken_back: bool = False
) -> None:
    """Tell a driver what became of a plan on a day, and close that day."""
    plan = only(driver.outputs, ev.PlanActivated)[0]
    day = day_of(on)
    driver.feed(
        ev.PlanProgressed(
            event_id=f"p-{on}-{outcome}-{taken_back}",
            occurred_at=datetime(day.year, day.month, day.day, 20, tzinfo=UTC),
            source="test",
            borrower_id="B1",
            account_id=plan.account_id,
            plan_id=plan.plan_id,
            offer_id=offer.offer_id,
            business_date=day,
            caused_by="test",
            outcome=outcome,
            taken_back=taken_back,
        )
    )
    driver.close(on)


@pytest.mark.parametrize(("on", "counts"), [(MATURITY - 1, True), (MATURITY, True), (MATURITY + 1, False)])
@pytest.mark.parametrize("outcome", ["kept", "missed", "broken"])
def test_plan_outcomes_count_through_the_day_of_maturity(on: int, counts: bool, outcome: str) -> None:
    driver, _, offer = accepted()
    assert offer.business_date + timedelta(days=on) == day_of(on)
    progress(driver, offer, on, outcome)
    assert (len(driver.evidence) == 2) is counts


def test_what_is_taken_back_after_maturity_stays_as_it_was_told() -> None:
    driver, _, offer = accepted()
    progress(driver, offer, 40)
    progress(driver, offer, MATURITY + 1, taken_back=True)
    assert [sum(row.reward for row in e.rows) for e in driver.evidence] == [300, 300]


@pytest.mark.parametrize(("gap", "tracked"), [(MATURITY, 2), (MATURITY + 1, 1)])
def test_an_offer_is_tracked_through_maturity_then_forgotten(gap: int, tracked: int) -> None:
    driver, tell, first = accepted()
    # What tells the second offer, a day after it was made, also looks at how old the first is.
    driver.feed(tell.request(gap - 1, "A2"), tell.report(gap - 1, 2_000_000))
    driver.close(gap - 1)
    second = driver.offer()
    assert second.offer_id != first.offer_id
    assert driver.state is not None
    assert set(driver.state.tracked) == {first.offer_id, second.offer_id}
    driver.feed(tell.answer(gap, second.offer_id, "declined"))
    driver.close(gap)
    assert second.offer_id in driver.state.tracked
    assert len(driver.state.tracked) == tracked
