"""Dates that are promised to a borrower are the borrower's own, wherever the business has its days."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from test_figures import days, means

from schemas import events as ev
from state.policy import PolicyBook
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.support.account_events import AccountEvents, at
from tests.support.agent_driver import PlannerDriver, names, only
from tests.support.borrower_events import BorrowerEvents, closes, day_of

HOUSE = default_book().policy_for("CN", "personal_loan")
LAST = day_of(14)
# Offers are made on 2 March 2026 and are open until the 16th. Clocks are put forward in New York on the 8th.
ZONES = {"Pacific/Kiritimati": 14, "Asia/Shanghai": 14, "America/New_York": 15, "Pacific/Honolulu": 15}


def offered(zone: str, business: str = "UTC") -> tuple[PlannerDriver, BorrowerEvents, ev.OfferPublished]:
    """Return a driver on which an offer was made to somebody in a time zone."""
    policy = replace(HOUSE, business_time_zone=business)
    driver, teller = PlannerDriver(PolicyBook("zoned", lambda *_: policy)), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0, time_zone=zone), teller.request(0), *closes([0]))
    offer = driver.offer()
    assert offer.expires_on == LAST
    return driver, teller, offer


def accepted(teller: BorrowerEvents, offer: ev.OfferPublished, at_local: datetime, zone: str) -> ev.OfferAnswered:
    """Return an acceptance that was given at a local time."""
    answer = teller.answer(1, offer.offer_id, "accepted", option_id=offer.recommended_option_id)
    return replace(answer, occurred_at=at_local.replace(tzinfo=ZoneInfo(zone)).astimezone(ZoneInfo("UTC")))


def local(day: date, hour: int, minute: int = 0) -> datetime:
    """Return a local time."""
    return datetime(day.year, day.month, day.day, hour, minute)


@pytest.mark.parametrize(("zone", "over"), ZONES.items())
def test_an_offer_expires_when_the_borrowers_last_day_is_over(zone: str, over: int) -> None:
    driver, _, _ = offered(zone)
    assert driver.run(1, over - 1) == []
    assert names(driver.close(over)) == ["OfferExpired"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("received", [13, 14, 15, 16, 30, 60])
def test_an_acceptance_in_the_last_minute_counts(zone: str, received: int) -> None:
    driver, teller, offer = offered(zone)
    driver.run(1, received)
    made_since = [o for o in only(driver.outputs, ev.OfferPublished) if o.offer_id != offer.offer_id]
    assert bool(made_since) == (received >= 30)
    said = driver.feed(accepted(teller, offer, local(LAST, 23, 59), zone))
    (plan,) = only(said, ev.PlanActivated)
    assert plan.agreed_on == LAST
    assert offer.business_date <= plan.activated_on <= LAST
    assert plan.instalments[0].due_on > plan.activated_on
    # What was offered since is taken back; nothing is offered any more.
    gone = {e.offer_id: e.reason for e in driver.outputs if isinstance(e, ev.OfferWithdrawn)}
    ended = {e.offer_id for e in driver.outputs if isinstance(e, ev.OfferExpired)} | set(gone)
    assert all(o.offer_id in ended for o in made_since)
    assert set(gone.values()) <= {"earlier_offer_accepted"}
    assert driver.run(max(received, 14) + 1, 100) == []
    assert driver.rejection_codes == []


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("received", [13, 14, 15, 16])
def test_an_acceptance_in_the_next_days_first_minute_is_late(zone: str, received: int) -> None:
    driver, teller, offer = offered(zone)
    driver.run(1, received)
    said = driver.feed(accepted(teller, offer, local(LAST + timedelta(1), 0, 0), zone))
    assert only(said, ev.PlanActivated) == []
    # None is made while the one that was accepted too late is still open by the books.
    assert names(said) == (["OfferPublished", "DecisionLogged"] if received >= ZONES[zone] else [])


def test_without_a_time_zone_the_date_is_that_of_the_place() -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    place = {"jurisdiction": "US", "currency": "USD"}
    driver.feed(teller.granted(0), teller.report(0, currency="USD"), teller.request(0, **place), *closes([0]))
    offer = driver.offer()
    assert offer.contact.time_zone == "America/New_York"
    assert driver.run(1, 14) == []
    said = driver.feed(accepted(teller, offer, local(LAST, 23, 59), "America/New_York"))
    assert names(said) == ["PlanActivated"]


@pytest.mark.parametrize(
    ("zone", "business", "over"),
    [
        ("Pacific/Honolulu", "Pacific/Kiritimati", 15),
        ("Etc/GMT+12", "Pacific/Kiritimati", 16),
        ("Pacific/Kiritimati", "Pacific/Honolulu", 14),
        ("America/New_York", "America/New_York", 14),
        ("Asia/Shanghai", "Asia/Shanghai", 14),
    ],
)
def test_both_sides_of_the_date_line(zone: str, business: str, over: int) -> None:
    driver, teller, offer = offered(zone, business)
    assert driver.run(1, over - 1) == []
    assert names(driver.feed(accepted(teller, offer, local(LAST, 23, 59), zone))) == ["PlanActivated"]
    other, _, _ = offered(zone, business)
    assert names(other.run(1, over)) == ["OfferExpired"]


def test_a_plan_of_an_acceptance_in_time_is_not_made_twice() -> None:
    driver, teller, offer = offered("America/New_York")
    driver.run(1, 30)
    first = accepted(teller, offer, local(LAST, 20, 30), "America/New_York")
    assert names(driver.feed(first)) == ["OfferWithdrawn", "PlanActivated"]
    second = accepted(teller, offer, local(LAST, 20, 31), "America/New_York")
    assert only(driver.feed(second), ev.PlanActivated) == []


def test_an_answer_in_new_york_on_the_evening_of_the_last_day() -> None:
    story = AccountEvents(start=date(2025, 12, 10))
    dues = [(date(2026, month, 10) - story.start).days for month in range(1, 13)]
    loan = story.opened(*dues, amount=20_000, interest=2_000, jurisdiction="US", currency="USD")
    known = means(date(2025, 12, 11), 400_000, currency="USD", time_zone="America/New_York")
    close = [date(2026, 2, day) for day in (9, 10, 23, 24, 25)]
    with LocalRuntime.open(None, default_book()) as runtime:
        said = runtime.feed([loan, *known, *days(story, *close[:4])])
        (offer,) = [e for e in said if isinstance(e, ev.OfferPublished)]
        assert "by February 24, 2026" in offer.message
        answer = ev.OfferAnswered(
            event_id="answer",
            occurred_at=at(date(2026, 2, 25), 1) + timedelta(minutes=30),
            source="test",
            feedback_id="F1",
            offer_id=offer.offer_id,
            borrower_id="B1",
            answer="accepted",
            option_id="54m-level-cut_5000",
            channel="online",
        )
        said += runtime.feed([answer, *days(story, close[4])])
    (plan,) = [e for e in said if isinstance(e, ev.PlanActivated)]
    assert (plan.agreed_on, plan.activated_on) == (date(2026, 2, 24), date(2026, 2, 24))
    assert not [e for e in said if isinstance(e, ev.OfferExpired)]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(n for n in available_timezones() if "/" in n and not n.startswith("posix"))),
    st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York", "Pacific/Kiritimati", "Pacific/Honolulu"]),
    st.integers(-120, 120),
    st.integers(0, 45),
)
def test_an_acceptance_counts_by_its_instant_alone(zone: str, business: str, minutes: int, received: int) -> None:
    driver, teller, offer = offered(zone, business)
    end = local(LAST + timedelta(1), 0).replace(tzinfo=ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))
    answer = teller.answer(1, offer.offer_id, "accepted", option_id=offer.recommended_option_id)
    driver.run(1, received)
    driver.feed(replace(answer, occurred_at=end + timedelta(minutes=minutes)))
    plans = only(driver.outputs, ev.PlanActivated)
    assert [p.offer_id for p in plans] == ([offer.offer_id] if minutes < 0 else [])
    assert all(p.agreed_on == LAST and p.activated_on <= LAST for p in plans)
    assert driver.rejection_codes == []
