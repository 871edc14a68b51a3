"""The annual cost of a way to repay, against numpy-financial and known figures."""

from __future__ import annotations

from datetime import date

import numpy_financial as npf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.planner.offer_texts import DisclosedTerms, cost_of
from schemas import events as ev
from state.schedules import annual_cost_bps


@pytest.mark.parametrize(
    ("monthly", "months", "expected"), [(0, 12, 0), (100, 12, 1269), (150, 36, 1957), (50, 60, 617)]
)
def test_a_level_loan_costs_its_rate_compounded(monthly: int, months: int, expected: int) -> None:
    """1 % a month is 12.68 % a year: what is above a whole basis point is rounded up."""
    rate, financed = monthly / 10_000, 10_000_000
    payment = financed / months if not rate else financed * rate / (1 - (1 + rate) ** -months)
    found = annual_cost_bps(financed, [(n, round(payment)) for n in range(1, months + 1)])
    assert abs(found - expected) <= 1


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(1_000, 10**9), st.lists(st.integers(0, 3_000), min_size=1, max_size=60), st.integers(1, 4))
def test_it_is_the_internal_rate_of_return(financed: int, shares: list[int], first: int) -> None:
    payments = [(first + n, financed * share // (500 * len(shares))) for n, share in enumerate(shares)]
    found = annual_cost_bps(financed, payments)
    if sum(a for _, a in payments) <= financed:
        assert found == 0
        return
    flows = [-financed, *[0] * (first - 1), *(a for _, a in payments)]
    monthly = npf.irr(flows)
    # Rounded up to a whole basis point, from a monthly rate that is one step too high at most.
    step = 0.011 * (1 + monthly) ** 11
    assert 0 <= found - ((1 + monthly) ** 12 - 1) * 10_000 + 1e-6 <= 1 + step


def test_months_are_counted_whole_and_at_least_one() -> None:
    def terms(begins: date | None, *dues: date) -> DisclosedTerms:
        parts = tuple(
            ev.PlanInstalment(number=n, due_on=due, amount=1_010, principal=1_000, interest=10)
            for n, due in enumerate(dues, 1)
        )
        return DisclosedTerms(ev.Amounts(principal=1_000 * len(dues)), "CNY", parts, 1_200, 2, 1, begins)

    a_month = cost_of(terms(date(2026, 1, 31), date(2026, 2, 28)))
    assert a_month == cost_of(terms(date(2026, 1, 31), date(2026, 3, 30))) == cost_of(terms(None, date(2026, 2, 28)))
    assert a_month == cost_of(terms(date(2026, 2, 20), date(2026, 2, 28))) == 1_269
    assert cost_of(terms(date(2026, 1, 30), date(2026, 3, 30))) < a_month
