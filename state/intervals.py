"""Intervals of shares that were counted."""

from __future__ import annotations

from math import sqrt

# The normal quantile of a two-sided 95 % interval.
Z = 1.959964


def wilson(count: int, of: int) -> tuple[float, float] | None:
    """Return the 95 % score interval of a share (Wilson 1927), 0 to 1; None where it is a share of nothing."""
    if of < 1:
        return None
    value, z = count / of, Z * Z
    centre = (value + z / of / 2) / (1 + z / of)
    half = Z * sqrt(value * (1 - value) / of + z / of / of / 4) / (1 + z / of)
    return max(0.0, centre - half), min(1.0, centre + half)
