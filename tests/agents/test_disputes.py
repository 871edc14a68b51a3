"""Whoever disputes a debt is offered nothing until somebody has settled the dispute."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from test_figures import PLACE, means

from schemas import events as ev
from state.borrower import NEVER
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import AccountDriver, PlannerDriver, names, only
from tests.support.borrower_events import BorrowerEvents, closes, day_of, instant_of

START = date(2026, 1, 1)


def noted(teller: BorrowerEvents, on: int, account: str = "A1") -> ev.ContactRecorded:
    """Return a call in which a debt was disputed."""
    return ev.ContactRecorded(
        event_id=f"noted-{on}-{account}",
        occurred_at=instant_of(on),
        source="test",
        borrower_id=teller.borrower_id,
        account_id=account,
        attempt_id=f"c{on}-{account}",
        caused_by="x",
        attempt=True,
        conversation=True,
        disputed=True,
    )


def offered(accounts: Sequence[str] = ("A1",)) -> tuple[PlannerDriver, BorrowerEvents, ev.OfferPublished]:
    """Return a driver on which an offer of accounts is open."""
    driver, teller = PlannerDriver(), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), *(teller.request(0, a) for a in accounts), *closes([0]))
    assert driver.offer().options
    return driver, teller, driver.offer()


def plans(driver: PlannerDriver, after: int) -> list[ev.OfferPublished]:
    """Return the offers with options that were made behind a day."""
    return [o for o in only(driver.outputs, ev.OfferPublished) if o.options and o.business_date > day_of(after)]


def test_an_unsettled_dispute_ends_offers_and_needs_a_person() -> None:
    driver, teller, offer = offered()
    driver.feed(teller.answer(1, offer.offer_id, "declined", "dispute"))
    person = driver.offer()
    assert (person.kind, person.options) == ("referral", ())
    # Debts grow, means change, a year goes by.
    driver.feed(*closes(range(1, 60)), teller.request(60, principal=1_400_000, days_past_due=95), teller.report(60))
    assert driver.run(60, 400) == []
    assert driver.state is not None
    assert (driver.state.open_offer().offer_id, driver.state.open_offer().over) == (person.offer_id, NEVER)  # type: ignore[union-attr]


@pytest.mark.parametrize("said", ["answer", "contact"])
def test_a_dispute_hold_that_has_ended_settles_it(said: str) -> None:
    driver, teller, offer = offered()
    dispute = teller.answer(1, offer.offer_id, "declined", "dispute") if said == "answer" else noted(teller, 1)
    driver.feed(dispute, *closes(range(1, 50)))
    driver.feed(teller.request(50, dispute_ended_on=day_of(1)))
    assert names(driver.run(50, 60)) == [], "a hold that had ended before says nothing of this dispute"
    driver.feed(teller.request(61, dispute_ended_on=day_of(2)))
    expected = ["OfferWithdrawn"] if said == "answer" else []
    assert names(driver.close(61)) == [*expected, "OfferPublished", "DecisionLogged"]
    assert driver.offer().options


def test_a_disputed_contact_withdraws_the_offer_silently() -> None:
    driver, teller, _ = offered()
    (withdrawn,) = driver.feed(noted(teller, 3))
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert withdrawn.reason == "dispute"
    assert driver.run(1, 200) == []


def test_a_disputed_joint_offer_waits_for_one_account() -> None:
    driver, teller, offer = offered(("A1", "A2"))
    driver.feed(teller.answer(1, offer.offer_id, "declined", "dispute"), *closes([1]))
    driver.feed(teller.request(2, "A3"))
    assert driver.run(2, 40) == []
    driver.feed(teller.request(41, "A2", dispute_ended_on=day_of(40)))
    assert plans(driver, 0) == []
    driver.close(41)
    assert [o.account_ids for o in plans(driver, 1)] == [("A1", "A2", "A3")]


def test_two_disputes_need_both_to_be_settled() -> None:
    driver, teller, _ = offered(("A1", "A2"))
    driver.feed(noted(teller, 1, "A1"), noted(teller, 2, "A2"), *closes(range(1, 20)))
    driver.feed(teller.request(20, "A1", dispute_ended_on=day_of(19)), *closes(range(20, 40)))
    assert plans(driver, 0) == []
    driver.feed(teller.request(40, "A2", dispute_ended_on=day_of(39)), *closes([40]))
    assert [o.business_date for o in plans(driver, 0)] == [day_of(40)]


def test_a_dispute_heard_of_after_its_end_changes_nothing() -> None:
    driver, teller, offer = offered()
    driver.feed(*closes(range(1, 6)), teller.request(6, dispute_ended_on=day_of(5)), *closes([6]))
    late = teller.answer(2, offer.offer_id, "declined", "dispute")
    driver.feed(late)
    assert driver.state is not None
    assert driver.state.disputes == ()
    assert plans(driver, 0) == []
    driver.run(7, 20)
    assert plans(driver, 0)


def test_the_order_of_disputes_and_their_ends_does_not_matter() -> None:
    left = set()
    for order in permutations(range(3)):
        driver, teller, _ = offered(("A1", "A2"))
        driver.feed(*closes(range(1, 11)))
        told = [noted(teller, 3, "A1"), noted(teller, 9, "A2"), teller.request(11, "A1", dispute_ended_on=day_of(6))]
        driver.feed(*(told[n] for n in order))
        assert driver.state is not None
        left.add(driver.state.disputes)
    assert [[(d.since, d.accounts) for d in one] for one in left] == [[(day_of(9).toordinal(), ("A2",))]]


@pytest.mark.parametrize(("reason", "over"), [("closed", True), ("terminated", True), ("cured", False)])
def test_a_closed_account_leaves_nothing_to_dispute(reason: str, over: bool) -> None:
    driver, teller, _ = offered(("A1", "A2"))
    driver.feed(noted(teller, 1, "A1"), *closes([1]), teller.ended(2, "A1", reason), *closes([2]))
    assert bool(plans(driver, 0)) == over


def test_only_an_acceptance_before_the_dispute_stands() -> None:
    for disputed, stands in ((20, True), (10, False)):
        driver, teller, offer = offered()
        if disputed < 14:
            driver.feed(noted(teller, disputed))
        driver.run(1, 19)
        if disputed > 14:
            driver.feed(noted(teller, disputed))
        driver.feed(teller.answer(12, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
        assert bool(only(driver.outputs, ev.PlanActivated)) == stands
        assert len(plans(driver, 0)) == 0


def history(story: AccountEvents, *more: ev.Event) -> list[ev.OfferPublished]:
    """Return the offers with options of a loan of 12 instalments, of which none is paid, over 200 days."""
    opened = story.opened(*range(30, 390, 30), amount=20_000, interest=500, **PLACE)
    feed: list[ev.Event] = [opened, *means(START)]
    for close in story.closes(0, 200):
        arrived = [e for e in more if e.occurred_at.date() <= close.business_date and e not in feed]
        feed += [*arrived, close]
    with LocalRuntime.open(None, default_book()) as runtime:
        return [e for e in runtime.feed(feed) if isinstance(e, ev.OfferPublished) and e.options]


def test_from_a_disputed_call_to_the_release_of_its_hold() -> None:
    story = AccountEvents(start=START)
    first = history(story)[0].business_date
    said = (first - START).days - 10
    assert history(AccountEvents(start=START), story.contact(said, "disputed")) == []
    letter = replace(story.contact(said, "disputed"), channel="letter", direction="inbound")
    assert history(AccountEvents(start=START), letter) == []
    one_day = story.hold(said, said)
    placed, released = story.hold(said + 3, None), story.released(said + 70)
    earlier = story.hold(said - 5, said - 1)
    call = story.contact(said, "disputed")
    assert history(AccountEvents(start=START), earlier, call) == []
    assert history(AccountEvents(start=START), call, one_day)[0].business_date >= first
    assert history(AccountEvents(start=START), call, placed) == []
    settled = history(AccountEvents(start=START), call, placed, released)
    assert settled
    assert settled[0].business_date >= START + timedelta(said + 70)


def test_a_hold_without_need_of_a_plan_settles_its_dispute() -> None:
    paid, late = AccountEvents("A1", START), AccountEvents("A2", START)
    opened = [paid.opened(300, amount=20_000, **PLACE), late.opened(*range(30, 390, 30), amount=20_000, **PLACE)]
    call = paid.contact(40, "disputed")
    placed, released = paid.hold(45, None), paid.released(120)
    for extra, first in (([], 61), ([call], 0), ([call, placed], 0), ([call, placed, released], 120)):
        feed: list[ev.Event] = [*opened, *means(START)]
        for close in late.closes(0, 200):
            arrived = [e for e in extra if e.occurred_at.date() == close.business_date]
            feed += [*arrived, close]
        with LocalRuntime.open(None, default_book()) as runtime:
            said = [e for e in runtime.feed(feed) if isinstance(e, ev.OfferPublished) and e.options]
        assert [o.account_ids for o in said[:1]] == ([("A2",)] if first else [])
        assert (said[0].business_date - START).days in (first, first + 1) if first else True


def test_a_late_dispute_is_settled_with_or_without_need_of_plan() -> None:
    driver, teller, _ = offered(("A1", "A2"))
    over = replace(teller.ended(9, "A1"), dispute_ended_on=day_of(9))
    for order in permutations([over, noted(teller, 4, "A1")]):
        driver, teller, _ = offered(("A1", "A2"))
        driver.feed(*closes(range(1, 9)), *order, *closes([9]))
        assert driver.state is not None
        assert driver.state.disputes == ()
        assert driver.offer().account_ids == ("A2",)


def test_an_erasure_keeps_a_dispute_and_forgets_day_ends() -> None:
    driver, teller, _ = offered()
    driver.feed(*closes(range(1, 20)), noted(teller, 19), teller.erasure(20))
    assert driver.state is not None
    assert [(o.end, o.until) for o in driver.state.lapsed] == [("expired", 0)]
    assert [d.accounts for d in driver.state.disputes] == [("A1",)]
    assert driver.run(20, 200) == []


acts = st.lists(
    st.tuples(
        st.integers(1, 60),
        st.sampled_from(["call", "answer", "settled", "settled", "moved"]),
        st.sampled_from(["A1", "A2"]),
        st.integers(0, 12),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(acts)
def test_no_repayment_is_offered_during_any_dispute(drawn: list[tuple[int, str, str, int]]) -> None:
    driver, teller, _ = offered(("A1", "A2"))
    open_disputes: set[tuple[int, tuple[str, ...]]] = set()
    ended: dict[str, int] = {"A1": 0, "A2": 0}
    offers_so_far = 1
    for day in range(1, 90):
        for _, act, account, back in sorted(a for a in drawn if a[0] == day):
            if act == "call":
                driver.feed(noted(teller, day, account))
                open_disputes.add((day, (account,)))
            elif act == "answer":
                made = driver.offer()
                driver.feed(teller.answer(day, made.offer_id, "declined", "dispute"))
                open_disputes.add((day, made.account_ids))
            else:
                if act == "settled":
                    ended[account] = max(ended[account], day - back)
                last = day_of(ended[account]) if ended[account] > 0 else None
                driver.feed(teller.request(day, account, principal=900_000 + 90_000 * back, dispute_ended_on=last))
            open_disputes = {d for d in open_disputes if all(ended[a] <= d[0] for a in d[1])}
            made_now = only(driver.outputs, ev.OfferPublished)[offers_so_far:]
            assert not open_disputes or not any(o.options for o in made_now)
            offers_so_far += len(made_now)
        made_now = only(driver.close(day), ev.OfferPublished)
        assert not open_disputes or not any(o.options for o in made_now)
        offers_so_far += len(made_now)
    assert driver.state is not None
    assert {(date.fromordinal(d.since), d.accounts) for d in driver.state.disputes} <= {
        (day_of(since), accounts) for since, accounts in open_disputes
    }
    assert bool(driver.state.disputes) == bool(open_disputes)


@pytest.mark.parametrize("how", ["closed", "terminated"])
def test_a_dispute_of_an_account_that_ended_is_settled(how: str) -> None:
    story, driver = AccountEvents(), AccountDriver()
    sold = ev.AccountClosed(
        event_id="sold", occurred_at=story.reversed(12, "x").occurred_at, source="test", account_id="A1", reason="sold"
    )
    ended = [sold] if how == "closed" else [story.reviewed(11, "charge_off"), story.reviewed(12, "terminate")]
    driver.feed(story.opened(5), *story.closes(0, 10), *ended, *story.closes(11, 20))
    outputs = driver.feed(story.hold(21, 25), *story.closes(21, 40))
    (told,) = only(outputs, ev.WorkoutEnded)
    assert (told.business_date, told.dispute_ended_on) == (story.day(26), story.day(26))
