"""Repayment schedules, exact to the minor unit, and the present value of what they pay.

Interest of a month is the balance times a twelfth of the annual rate, rounded as the policy says; the last
instalment takes what the roundings left. Every number is an integer or a ratio of integers, so a schedule is
the same on every machine.

Present value is at an original effective rate (IFRS 9 B5.4.5, EBA/GL/2016/07 §49 ff). Payments are a month apart and
the first is a month from now, so period n is discounted by (1 + r/12)^n. Discount factors come from repeated
multiplication alone, which every machine does alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Literal

from schemas.events import PlanInstalment, Shape
from state.calendars import AS_THEY_FALL, DueDays, add_months

Rounding = Literal["half_up", "up", "half_even"]

# A month's rate is bps / MONTHLY: basis points of a year, over twelve months.
MONTHLY = 12 * 10_000


def rounded(numerator: int, denominator: int, how: Rounding) -> int:
    """Return a non-negative quotient rounded to an integer."""
    whole, rest = divmod(numerator, denominator)
    if how == "up":
        return whole + (rest > 0)
    if 2 * rest == denominator and how == "half_even":
        return whole + (whole & 1)
    return whole + (2 * rest >= denominator)


@lru_cache(maxsize=4096)
def _level_ratio(annual_rate_bps: int, months: int) -> tuple[int, int]:
    """Return the level payment per unit of principal, as a ratio: r / (1 − (1 + r)^−n)."""
    if not annual_rate_bps:
        return 1, months
    grown = (MONTHLY + annual_rate_bps) ** months
    return annual_rate_bps * grown, MONTHLY * (grown - MONTHLY**months)


def level_payment(principal: int, annual_rate_bps: int, months: int, rounding: Rounding = "half_up") -> int:
    """Return the level monthly payment that repays a principal, in minor units."""
    numerator, denominator = _level_ratio(annual_rate_bps, months)
    return rounded(principal * numerator, denominator, rounding)


@lru_cache(maxsize=1024)
def due_dates(first_due: date, months: int, due_days: DueDays = AS_THEY_FALL) -> tuple[date, ...]:
    """Return monthly due dates, anchored on the first: 31 January, 28 February, 31 March; each is rolled for itself."""
    return tuple(due_days.roll(add_months(first_due, n)) for n in range(months))


def amortise(
    principal: int,
    annual_rate_bps: int,
    months: int,
    first_due: date,
    shape: Shape = "level",
    rounding: Rounding = "half_up",
    step_up_bps: int = 5_000,
    deferred_months: int = 1,
    due_days: DueDays = AS_THEY_FALL,
) -> tuple[PlanInstalment, ...]:
    """Return the schedule that repays `principal` (> 0) in `months` (>= 1); Σ principal is exact.

    step_up: the first half of the months asks for `step_up_bps` of the level payment, though never for less
    than the interest; the second half repays the rest in level instalments. deferred: the first
    `deferred_months` ask for interest only (nothing at all where the rate is 0), the others are level. So no
    balance ever grows. A principal too small for its term is repaid in fewer instalments.
    A due date that is rolled to a business day moves no amount, since interest is of months.
    Raises ValueError for a principal or term below 1, or a deferral as long as the term.
    """
    if principal < 1 or months < 1:
        raise ValueError(f"nothing to repay: principal {principal}, months {months}")
    light = 0
    if shape == "step_up":
        light = months // 2
    elif shape == "deferred":
        light = deferred_months
        if light >= months:
            raise ValueError(f"a deferral of {light} months leaves nothing of a term of {months}")
    level = level_payment(principal, annual_rate_bps, months, rounding)
    balance = principal
    dates = due_dates(first_due, months, due_days)
    schedule: list[PlanInstalment] = []
    payment = level if not light else 0
    for number in range(1, months + 1):
        interest = rounded(balance * annual_rate_bps, MONTHLY, rounding) if annual_rate_bps else 0
        if number <= light:
            asked = level * step_up_bps // 10_000 if shape == "step_up" else 0
            part = min(max(asked - interest, 0), balance)
        elif number == months:
            part = balance
        else:
            if number == light + 1 and light:
                payment = level_payment(balance, annual_rate_bps, months - light, rounding)
            part = min(max(payment - interest, 0), balance)
        balance -= part
        schedule.append(
            PlanInstalment(
                number=number, due_on=dates[number - 1], amount=part + interest, principal=part, interest=interest
            )
        )
        if not balance:
            break
    return tuple(schedule)


LONGEST = 601
# Parts of 1 in which a monthly rate is found: a hundredth of a basis point a year is one of them.
STEPS = 12_000_000


@lru_cache(maxsize=512)
def discount_factors(annual_rate_bps: int) -> tuple[float, ...]:
    """Return the factors of periods 0, 1, 2, … at a monthly compounded rate."""
    step = 1 + annual_rate_bps / MONTHLY
    factors = [1.0]
    for _ in range(LONGEST):
        factors.append(factors[-1] / step)
    return tuple(factors)


@lru_cache(maxsize=512)
def annuity_factors(annual_rate_bps: int) -> tuple[float, ...]:
    """Return what n payments of 1 are worth, for n = 0, 1, 2, …"""
    total = 0.0
    sums = [0.0]
    for factor in discount_factors(annual_rate_bps)[1:]:
        total += factor
        sums.append(total)
    return tuple(sums)


def present_value(amounts: Sequence[int], annual_rate_bps: int) -> float:
    """Return the value today of amounts in minor units, the first due in a month."""
    factors = discount_factors(annual_rate_bps)
    return sum(amount * factors[n] for n, amount in enumerate(amounts, 1))


def annual_cost_bps(financed: int, payments: Sequence[tuple[int, int]]) -> int:
    """Return what a loan costs a year: the internal rate of return of its payments, compounded, in bps rounded up.

    financed: minor units. payments: after how many months each is due, in order, and its amount; 0 where they are not
    more than what was financed. The monthly rate is the least number of `STEPS` at which the payments are worth no more
    than that; it is found in whole numbers, so that every machine says the same.
    """
    if financed <= 0 or sum(amount for _, amount in payments) <= financed:
        return 0
    low, high = 0, 1
    while _worth_more(financed, payments, high):
        low, high = high, high * 4
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _worth_more(financed, payments, middle) else (low, middle)
    # (1 + high / STEPS)^12 − 1, in basis points.
    grown, unit = (STEPS + high) ** 12, STEPS**12
    return -((unit - grown) * 10_000 // unit)


def _worth_more(financed: int, payments: Sequence[tuple[int, int]], steps: int) -> bool:
    """Say whether payments are worth more than what was financed, at a monthly rate of so many `STEPS`."""
    # What is still owed just before the first payment, and so on: all in units of STEPS^months.
    owed, scale, month = financed, 1, 0
    for due, amount in payments:
        owed = owed * (STEPS + steps) ** (due - month)
        scale *= STEPS ** (due - month)
        owed -= amount * scale
        month = due
    return owed < 0


def loss_bps(before: float, after: float) -> int:
    """Return the diminished financial obligation (NPV0 − NPV1) / NPV0 in basis points, rounded to the nearest."""
    return 0 if before <= 0 else round((before - after) / before * 10_000)
