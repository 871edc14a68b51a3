"""Repayment schedules: level, step-up and deferred, exact to the minor unit.

Interest of a month is the balance times a twelfth of the annual rate, rounded as the policy says; the last
instalment takes what the roundings left. Every number is an integer or a ratio of integers, so a schedule is
the same on every machine.
"""

from __future__ import annotations

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
