"""Present value of monthly payments at an original effective rate (IFRS 9 B5.4.5, EBA/GL/2016/07 §49 ff).

Payments are a month apart and the first is a month from now, so period n is discounted by (1 + r/12)^n.
Discount factors come from repeated multiplication alone, which every machine does alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from state.schedules import MONTHLY

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
