"""Present value of monthly payments at an original effective rate (IFRS 9 B5.4.5, EBA/GL/2016/07 §49 ff).

Payments are a month apart and the first is a month from now, so period n is discounted by (1 + r/12)^n.
Discount factors come from repeated multiplication alone, which every machine does alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from state.schedules import MONTHLY

LONGEST = 601


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


def loss_bps(before: float, after: float) -> int:
    """Return the diminished financial obligation (NPV0 − NPV1) / NPV0 in basis points, rounded to the nearest."""
    return 0 if before <= 0 else round((before - after) / before * 10_000)
