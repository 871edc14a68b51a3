"""How long what becomes of an offer counts, and when it is forgotten: by their edges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from planner_desk import PlannerDesk, Teller, day_of, only

from schemas import events as ev

# The house's rule, said again by hand.
MATURITY = 150


def accepted() -> tuple[PlannerDesk, Teller, ev.OfferPublished]:
    """Return a desk whose borrower accepted, on day 1, an offer of day 0."""
    desk, tell = PlannerDesk(), Teller()
    desk.feed(tell.granted(0), tell.report(0, 1_000_000), tell.request(0))
    desk.close(0)
    offer = desk.offer()
    desk.feed(tell.answer(1, offer.offer_id, "accepted", option_id=offer.options[0].option_id))
    desk.close(1)
    assert len(desk.evidence) == 1
    return desk, tell, offer


def progress(
    desk: PlannerDesk, offer: ev.OfferPublished, on: int, outcome: str = "kept", *, taken_back: bool = False
) -> None:
    """Tell a desk what became of a plan on a day, and close that day."""
    plan = only(desk.outputs, ev.PlanActivated)[0]
    day = day_of(on)
    desk.feed(
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
    desk.close(on)


@pytest.mark.parametrize(("on", "counts"), [(MATURITY - 1, True), (MATURITY, True), (MATURITY + 1, False)])
@pytest.mark.parametrize("outcome", ["kept", "missed", "broken"])
def test_what_becomes_of_a_plan_counts_through_the_last_day_of_maturity_and_not_a_day_longer(
    on: int, counts: bool, outcome: str
) -> None:
    desk, _, offer = accepted()
    assert offer.business_date + timedelta(days=on) == day_of(on)
    progress(desk, offer, on, outcome)
    assert (len(desk.evidence) == 2) is counts


def test_what_is_taken_back_after_maturity_stays_as_it_was_told() -> None:
    desk, _, offer = accepted()
    progress(desk, offer, 40)
    progress(desk, offer, MATURITY + 1, taken_back=True)
    assert [sum(row.reward for row in e.rows) for e in desk.evidence] == [300, 300]


@pytest.mark.parametrize(("gap", "watched"), [(MATURITY, 2), (MATURITY + 1, 1)])
def test_an_offer_is_watched_through_the_last_day_of_maturity_and_then_forgotten(gap: int, watched: int) -> None:
    desk, tell, first = accepted()
    # What tells the second offer, a day after it was made, also looks at how old the first is.
    desk.feed(tell.request(gap - 1, "A2"), tell.report(gap - 1, 2_000_000))
    desk.close(gap - 1)
    second = desk.offer()
    assert second.offer_id != first.offer_id
    assert desk.state is not None
    assert set(desk.state.watched) == {first.offer_id, second.offer_id}
    desk.feed(tell.answer(gap, second.offer_id, "declined"))
    desk.close(gap)
    assert second.offer_id in desk.state.watched
    assert len(desk.state.watched) == watched
