"""The numbers of the field that were checked by hand, and the same from libraries that others wrote."""

from __future__ import annotations

from datetime import date

import numpy_financial as npf
import pytest
import QuantLib as ql  # noqa: N813 (the name that its own documentation uses)
from hypothesis import given, settings
from hypothesis import strategies as st

from state.schedules import amortise, level_payment, loss_bps, present_value

DUE = date(2026, 1, 31)


@pytest.mark.parametrize(
    ("principal", "rate_bps", "months", "regular", "last"),
    [
        (1_000_000, 1_825, 60, 25_530, 25_489),
        (1_234_567, 1_200, 36, 41_005, 41_018),
        (8_888_888, 0, 60, 148_148, 148_156),
    ],
)
def test_level_plans_come_out_to_the_cent(principal: int, rate_bps: int, months: int, regular: int, last: int) -> None:
    plan = amortise(principal, rate_bps, months, DUE)
    assert (plan[0].amount, plan[-1].amount) == (regular, last)
    assert sum(i.principal for i in plan) == principal


@pytest.mark.parametrize(("months", "per_cent"), [(60, 34.7), (36, 23.4), (12, 9.2)])
def test_an_interest_free_plan_loses_what_it_loses(months: int, per_cent: float) -> None:
    plan = amortise(1_000_000, 0, months, DUE)
    loss = loss_bps(1_000_000, present_value([i.amount for i in plan], 1_825)) / 100
    assert round(loss, 1) == per_cent


@pytest.mark.parametrize("months", [12, 36, 60])
def test_a_longer_term_at_the_same_rate_loses_nothing(months: int) -> None:
    plan = amortise(1_000_000, 1_825, months, DUE)
    assert loss_bps(1_000_000, present_value([i.amount for i in plan], 1_825)) == 0


def test_month_ends_stay_anchored() -> None:
    assert [i.due_on.day for i in amortise(10_000, 0, 4, DUE)] == [31, 28, 31, 30]


rates = st.integers(1, 4_000)
terms = st.integers(1, 60)
principals = st.integers(10_000, 10**9)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(principals, rates, terms)
def test_level_payments_are_numpy_financials_within_a_cent(principal: int, rate: int, months: int) -> None:
    assert abs(level_payment(principal, rate, months) + npf.pmt(rate / 120_000, months, principal)) <= 1


@settings(max_examples=100, deadline=None, derandomize=True)
@given(principals, rates, terms, st.sampled_from(["level", "step_up", "deferred"]))
def test_present_values_are_numpy_financials_and_quantlibs(principal: int, rate: int, months: int, shape: str) -> None:
    if shape == "deferred" and months < 2:
        return
    amounts = [i.amount for i in amortise(principal, rate, months, DUE, shape)]  # type: ignore[arg-type]
    ours = present_value(amounts, rate)
    assert ours == pytest.approx(npf.npv(rate / 120_000, [0, *amounts]), rel=1e-9)
    period = ql.InterestRate(rate / 10_000, ql.Thirty360(ql.Thirty360.European), ql.Compounded, ql.Monthly)
    theirs = sum(a * period.discountFactor(n / 12) for n, a in enumerate(amounts, 1))
    assert ours == pytest.approx(theirs, rel=1e-9)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.integers(1, 10**8),
    st.integers(0, 4_000),
    terms,
    st.sampled_from(["level", "step_up", "deferred"]),
    st.sampled_from(["half_up", "up", "half_even"]),
)
def test_every_schedule_repays_exactly_and_never_grows(
    principal: int, rate: int, months: int, shape: str, rounding: str
) -> None:
    if shape == "deferred" and months < 2:
        return
    plan = amortise(principal, rate, months, DUE, shape, rounding)  # type: ignore[arg-type]
    assert sum(i.principal for i in plan) == principal
    assert all(i.principal >= 0 and i.interest >= 0 and i.amount == i.principal + i.interest for i in plan)
    assert len(plan) <= months
    if shape == "level" and rounding == "half_up" and len(plan) == months and months > 1:
        r = rate / 120_000
        bound = ((1 + r) ** months - 1) / r + 1 if r else months + 1
        assert abs(plan[-1].amount - plan[0].amount) <= bound
