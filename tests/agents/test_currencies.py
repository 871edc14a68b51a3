"""Money in currencies with no, two, three and four decimals: in words, in rules and in schedules."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.amounts import money
from schemas import events as ev
from state.currencies import decimals_of
from state.policy_packs.loader import default_book
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import AccountDriver, PlannerDriver
from tests.support.borrower_events import BorrowerEvents

DECIMALS = {"JPY": 0, "KRW": 0, "VND": 0, "CNY": 2, "EUR": 2, "USD": 2, "KWD": 3, "BHD": 3, "CLF": 4, "XXX": 2, "": 2}


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        (123_456_789, "EUR", "1,234,567.89"),
        (123_456_789, "JPY", "123,456,789"),
        (123_456_789, "KWD", "123,456.789"),
        (123_456_789, "CLF", "12,345.6789"),
        (5, "CNY", "0.05"),
        (5, "KRW", "5"),
        (5, "BHD", "0.005"),
        (0, "USD", "0.00"),
        (-150, "EUR", "-1.50"),
        (-1, "KWD", "-0.001"),
        (2**62, "EUR", "46,116,860,184,273,879.04"),
    ],
)
def test_money_is_written_with_the_decimals_of_its_currency(amount: int, currency: str, said: str) -> None:
    assert money(amount, currency) == said


@given(amount=st.integers(-(2**63), 2**63 - 1), currency=st.sampled_from(sorted(DECIMALS)))
def test_what_is_written_is_the_amount_to_the_last_unit(amount: int, currency: str) -> None:
    assert decimals_of(currency) == DECIMALS[currency]
    assert Decimal(money(amount, currency).replace(",", "")) == Decimal(amount).scaleb(-DECIMALS[currency])


PLACES = {"JP": "JPY", "KR": "KRW", "CN": "CNY", "EU": "EUR", "KW": "KWD", "BH": "BHD"}


def offer_in(place: str, locale: str = "en") -> ev.OfferPublished:
    """Return what is offered to a borrower of a place who owes a thousand times his smallest instalment."""
    currency = PLACES[place]
    least = default_book().policy_for(place, "personal_loan").options.minimum_instalment
    driver, teller = PlannerDriver(), BorrowerEvents()
    driver.feed(
        teller.granted(0),
        teller.report(0, income=2_000 * least, monthly_expenses=500 * least, currency=currency, locale=locale),
        teller.request(
            0, jurisdiction=place, currency=currency, principal=1_000 * least, contract_instalment=60 * least
        ),
    )
    driver.close(0)
    return driver.offer()


@pytest.mark.parametrize("place", sorted(PLACES))
@pytest.mark.parametrize("locale", ["en", "zh"])
def test_an_offer_speaks_of_money_as_its_currency_does(place: str, locale: str) -> None:
    offer = offer_in(place, locale)
    assert offer.options
    for option in offer.options:
        assert money(option.instalment_amount, PLACES[place]) in option.label
        assert any(money(option.instalment_amount, PLACES[place]) in reason for reason in option.reasons)
        if DECIMALS[PLACES[place]] == 0:
            assert "." not in option.label


@pytest.mark.parametrize("place", sorted(PLACES))
def test_schedules_are_exact_to_the_minor_unit_of_any_currency(place: str) -> None:
    offer = offer_in(place)
    for option in offer.options:
        for share in option.shares:
            assert sum(i.principal for i in share.instalments) == share.financed
            assert all(i.amount == i.principal + i.interest for i in share.instalments)
        assert option.total_cost == sum(i.amount for i in option.instalments)


def test_thresholds_have_similar_worth_in_every_currency() -> None:
    """A tenth of a dollar to a hundred dollars, at round rates: nobody asks for a yen or for a thousand dinars."""
    dollars = {"JPY": 0.0067, "KRW": 0.00073, "CNY": 0.14, "EUR": 1.1, "KWD": 3.25, "BHD": 2.65}
    for place, currency in PLACES.items():
        options = default_book().policy_for(place, "personal_loan").options
        for amount in (options.minimum_instalment, options.token_payment, options.cost_per_plan):
            assert 1 <= amount / 10 ** decimals_of(currency) * dollars[currency] <= 100, (currency, amount)


@pytest.mark.parametrize(("currency", "overdue", "counts"), [("EUR", 150_00, True), ("PLN", 150_00, False)])
def test_the_default_threshold_is_in_the_accounts_currency(currency: str, overdue: int, counts: bool) -> None:
    # In Poland, EUR 150 are above EUR 100, and PLN 150 below PLN 400.
    s = AccountEvents()
    driver = AccountDriver(default_book())
    opened = s.opened(30, amount=overdue, jurisdiction="PL", product="mortgage", currency=currency)
    driver.feed(opened, *s.closes(0, 31))
    assert bool(driver.states["A1"].materiality_since) is counts
