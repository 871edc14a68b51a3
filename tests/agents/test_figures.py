"""Exposure, lateness, rate and saving: one meaning each, in whatever a borrower is shown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import pytest

from agents.amounts import whole
from schemas import events as ev
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.support.account_events import AccountEvents, at

START = date(2025, 12, 1)
PLACE = {"jurisdiction": "EU", "currency": "EUR"}


def means(on: date, income: int = 300_000, **more: object) -> list[ev.Event]:
    """Return a consent and a report of means of borrower B1."""
    base = {"occurred_at": at(on), "source": "test", "borrower_id": "B1"}
    report = ev.ProfileReported(
        **base,
        event_id=f"profile-{on}",
        kind="declared",
        as_of=on,
        consent_id="K1",
        monthly_income=income,
        **{"monthly_expenses": 150_000, "household_size": 1} | more,
    )
    return [
        ev.ConsentGranted(**base, event_id=f"consent-{on}", consent_id="K1", purpose="repayment_planning"),
        report,
    ]


def offers(events: Iterable[ev.Event]) -> list[ev.OfferPublished]:
    """Return the offers that the events lead to."""
    with LocalRuntime.open(None, default_book()) as runtime:
        return [e for e in runtime.feed(list(events)) if isinstance(e, ev.OfferPublished)]


def days(story: AccountEvents, *dates: date) -> list[ev.DayClosed]:
    """Return the closes of dates."""
    return [c for d in dates for c in story.closes((d - story.start).days, (d - story.start).days)]


def saving_is_said(option: ev.Option) -> bool:
    """Say whether the borrower reads of a saving."""
    return any("less than under your contract" in reason for reason in option.reasons)


def test_a_matured_loan_makes_every_option_cost_more() -> None:
    story = AccountEvents(start=date(2025, 12, 10))
    opened = story.opened(31, amount=91_200, product="payday_loan", annual_rate_bps=2_400, **PLACE)
    (offer,) = offers(
        [
            opened,
            *means(date(2025, 12, 11)),
            *days(story, date(2026, 1, 10), date(2026, 2, 9), date(2026, 2, 10)),
        ]
    )
    assert {o.option_id: o.saves for o in offer.options}["54m-level-cut_5000"] == -27_274
    assert all(o.saves == 91_200 - o.total_cost < 0 for o in offer.options)
    assert not any(saving_is_said(o) for o in offer.options)


@pytest.mark.parametrize("known_on", [date(2026, 3, 8), date(2026, 3, 9), date(2026, 3, 10), date(2026, 3, 12)])
def test_the_saving_on_a_card_is_the_same_around_a_due_date(known_on: date) -> None:
    story = AccountEvents(start=START)
    card = story.opened(product="credit_card", **PLACE)
    bills = [story.billed(1, 20, 40, 30_000, 500), story.billed(2, 51, 71, 30_000, 500)]
    bills.append(story.billed(3, 79, 99, 40_000, 500))
    closes = days(story, known_on - timedelta(days=1)), days(story, known_on)
    offer = offers([card, *bills, *closes[0], *means(known_on), *closes[1]])[-1]
    assert [(o.total_cost, o.saves) for o in offer.options] == [
        (123_813, -22_313),
        (116_576, -15_076),
        (111_666, -10_166),
        (103_026, -1_526),
    ]


def test_a_saving_is_shown_only_against_a_schedule() -> None:
    story = AccountEvents(start=date(2025, 12, 10))
    dues = [(date(2026, month, 10) - story.start).days for month in range(1, 13)]
    loan = story.opened(*dues, amount=20_000, interest=2_000, jurisdiction="US", currency="USD")
    (offer,) = offers(
        [
            loan,
            *means(date(2025, 12, 11), 400_000, currency="USD"),
            *days(story, date(2026, 2, 9), date(2026, 2, 10)),
        ]
    )
    assert [o.saves for o in offer.options] == [264_000 - o.total_cost for o in offer.options]
    assert offer.options[-1].saves == 16_330
    assert "You pay $163.30 less than under your contract." in offer.options[-1].reasons
    assert [saving_is_said(o) for o in offer.options] == [False, False, False, True]


def test_a_joint_option_says_the_highest_rate_that_is_charged() -> None:
    free, dear = AccountEvents("A1", START), AccountEvents("A2", START)
    monthly = [(date(2026, month, 10) - START).days for month in range(1, 13)]
    opened = [
        free.opened(*monthly[:6], product="bnpl", annual_rate_bps=0, **PLACE),
        dear.opened(*monthly, amount=50_000, interest=1_000, annual_rate_bps=2_400, **PLACE),
    ]
    closes = days(free, date(2026, 1, 10), date(2026, 2, 9), date(2026, 2, 10))
    (offer,) = offers([*opened, *means(START, 600_000), *closes])
    assert offer.account_ids == ("A1", "A2")
    for option in offer.options:
        assert option.annual_rate_bps == max(s.annual_rate_bps for s in option.shares) > 0
    lead = next(o for o in offer.options if o.option_id == offer.recommended_option_id)
    assert f" at {lead.annual_rate_bps // 100}% a year" in offer.disclosures["fees_and_interest_going_on"]


def test_future_interest_is_in_the_contract_not_the_exposure() -> None:
    story = AccountEvents(start=START)
    opened = story.opened(9, 40, 70, 101, amount=50_000, interest=700, **PLACE)
    with LocalRuntime.open(None, default_book()) as runtime:
        said = runtime.feed([opened, *days(story, date(2026, 1, 25))])
    debt = next(e for e in said if isinstance(e, ev.WorkoutRequested)).debt
    assert whole(debt.outstanding) == 4 * 50_000 + 2 * 700
    assert debt.contract_total == 4 * 50_700
