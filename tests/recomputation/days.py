"""Days as ordinals, months that stay anchored, and exact rounding."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, datetime
from fractions import Fraction
from zoneinfo import ZoneInfo


def business_date(instant: datetime, zone: str) -> int:
    """Return the ordinal of the date of an instant in a time zone."""
    return instant.astimezone(ZoneInfo(zone)).date().toordinal()


def ends_month(day: int) -> bool:
    """Say whether a day is the last of its month."""
    return date.fromordinal(day + 1).day == 1


def months_after(day: int, months: int, anchor: int | None = None) -> int:
    """Return a day some months later (or earlier), on the anchor's day of month or the month's last."""
    start = date.fromordinal(day)
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return date(year, month + 1, min(anchor or start.day, monthrange(year, month + 1)[1])).toordinal()


def half_up(value: Fraction | int) -> int:
    """Return the nearest whole number of what is not negative, halves up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def half_up_of(amount: int, of: int) -> int:
    """Return a share of whole numbers, rounded half up."""
    return (2 * amount + of) // (2 * of)


def rounded(value: Fraction, how: str) -> int:
    """Return a whole number by one of the roundings of `options.rounding`."""
    if how == "half_up":
        return half_up(value)
    if how == "up":
        return -(-value.numerator // value.denominator)
    return round(value)
