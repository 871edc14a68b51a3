"""Due dates of plans on business days, from the offer to what becomes of the plan."""

from __future__ import annotations

from datetime import date

import pytest
from dateutil.relativedelta import relativedelta
from msgspec.structs import replace

from agents.account.plan_lifecycle import adjust_schedule, last_day
from schemas import events as ev
from state.calendars import Convention, adjust, is_business_day
from state.policy import Plans, Policy, PolicyBook
from state.policy_packs.loader import default_book
from state.schedules import amortise
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import AccountDriver, PlannerDriver
from tests.support.borrower_events import BorrowerEvents
from tests.support.policies import policy


def offered(jurisdiction: str, product: str, currency: str, book: PolicyBook | None = None) -> ev.OfferPublished:
    driver, t = PlannerDriver(book), BorrowerEvents()
    driver.feed(t.granted(0), t.report(0, currency=currency, monthly_income=2_000_000))
    driver.feed(t.request(0, jurisdiction=jurisdiction, product=product, currency=currency, principal=1_000_000))
    driver.run(0, 1)
    return driver.offer()


def test_an_offer_on_a_us_card_is_due_on_business_days() -> None:
    offer = offered("US", "credit_card", "USD")
    assert offer.options
    rolled = 0
    for option in offer.options:
        for n, i in enumerate(option.instalments):
            wanted = offer.business_date + relativedelta(months=n + 1)
            assert i.due_on == adjust(wanted, "US", "following")
            assert is_business_day(i.due_on, "US")
            rolled += i.due_on != wanted
    assert rolled


def test_elsewhere_due_dates_stay_where_they_fall() -> None:
    offer = offered("CN", "credit_card", "CNY")
    assert any(not is_business_day(i.due_on, "CN") for o in offer.options for i in o.instalments)
    assert {i.due_on.day for o in offer.options for i in o.instalments} == {offer.business_date.day}


@pytest.mark.parametrize("convention", ["following", "modified_following", "preceding"])
def test_no_convention_moves_an_amount(convention: Convention) -> None:
    p = policy(plans=Plans(due_date_convention=convention))
    plain = amortise(1_234_567, 1_800, 36, date(2026, 1, 31))
    rolled = amortise(1_234_567, 1_800, 36, date(2026, 1, 31), due_days=p.due_days)
    assert [(i.number, i.amount, i.principal, i.interest) for i in plain] == [
        (i.number, i.amount, i.principal, i.interest) for i in rolled
    ]
    assert [i.due_on for i in rolled] == [adjust(i.due_on, None, convention) for i in plain]


@pytest.mark.parametrize(
    ("convention", "dues"),
    [
        # 31 January 2026 is a Saturday, 28 February too, 31 May a Sunday.
        ("none", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]),
        ("following", ["2026-02-02", "2026-03-02", "2026-03-31", "2026-04-30", "2026-06-01"]),
        ("modified_following", ["2026-01-30", "2026-02-27", "2026-03-31", "2026-04-30", "2026-05-29"]),
        ("preceding", ["2026-01-30", "2026-02-27", "2026-03-31", "2026-04-30", "2026-05-29"]),
    ],
)
def test_a_plan_that_is_lengthened_goes_on_from_its_anchor(convention: Convention, dues: list[str]) -> None:
    p = policy(plans=Plans(max_term_months=12, due_date_convention=convention))
    agreed = amortise(30_000, 0, 3, date(2026, 1, 31), due_days=p.due_days)
    found = adjust_schedule(agreed, 50_000, 0, last_day(date(2026, 1, 20), p), p)
    assert [i.due_on.isoformat() for i in found.instalments] == dues
    assert sum(i.amount for i in found.instalments) == 50_000


@pytest.mark.parametrize("convention", ["following", "modified_following"])
def test_the_last_instalment_stays_in_the_term_when_it_rolls(convention: Convention) -> None:
    # Six months from 5 January 2027 end on Monday 5 July, a holiday in the US.
    p = policy(plans=Plans(max_term_months=6, due_date_convention=convention), holiday_calendar="US")
    agreed = amortise(60_000, 0, 6, date(2027, 2, 5), due_days=p.due_days)
    assert agreed[-1].due_on == date(2027, 7, 6)
    assert last_day(date(2027, 1, 5), p) == date(2027, 7, 6)
    assert adjust_schedule(agreed, 60_000, 0, last_day(date(2027, 1, 5), p), p).instalments == agreed


def test_a_paused_plan_is_due_on_business_days_of_its_anchor() -> None:
    p = policy(plans=Plans(due_date_convention="following", max_term_months=24))
    s = AccountEvents(start=date(2026, 1, 1))
    first = date(2026, 5, 31)
    dues = [adjust(first + relativedelta(months=n), None) for n in range(4)]
    assert [str(d) for d in dues] == ["2026-06-01", "2026-06-30", "2026-07-31", "2026-08-31"]
    driver = AccountDriver(p)
    offsets = [(d - s.start).days for d in dues]
    plan = s.plan(100, *((o, 5_000) for o in offsets))
    driver.feed(s.opened(30, 60, amount=10_000), *s.closes(0, 99), plan, *s.closes(100, offsets[0] - 2))
    # In dispute while the first instalment falls due.
    driver.feed(s.hold(offsets[0] - 1, offsets[0] + 5), *s.closes(offsets[0] - 1, offsets[0] + 10))
    (later,) = (e for e in driver.outputs if isinstance(e, ev.PlanPostponed))
    assert later.months == 1
    assert [date.fromordinal(r.due).isoformat() for r in driver.states["A1"].receivables if r.plan] == [
        "2026-06-30",
        "2026-07-31",
        "2026-08-31",
        "2026-09-30",
    ]


def test_a_place_without_a_calendar_gets_offers_by_weekdays() -> None:
    book = default_book()

    def resolved(jurisdiction: str, product: str) -> Policy:
        return replace(book.policy_for(jurisdiction, product), holiday_calendar="USS")

    offer = offered("US", "credit_card", "USD", PolicyBook("missing", resolved))
    dues = [i.due_on for o in offer.options for i in o.instalments]
    assert dues
    assert all(d.weekday() < 5 for d in dues)
