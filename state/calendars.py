"""Calendars: business days, anchored months and day counts. All take dates as arguments and read no clock.

A calendar is a code of the `holidays` package: a country (`CN`, `DE`), a country with its subdivision
(`US-NY`, `DE-BY`) or a financial market (`ECB`, `XNYS`). None means weekdays only. A calendar that the
package does not know never stops a decision: weekdays stand in for it, and the answer says
`known=False`, so that the caller can raise an alert.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from holidays import HolidayBase

Convention = Literal["following", "modified_following", "preceding"]
DayCount = Literal["act/365", "30E/360"]

_SATURDAY = 5


class BusinessDay(Struct, frozen=True):
    """Whether a day is a business day; its truth is `open`. known: False where weekdays stood in for the calendar."""

    open: bool
    known: bool = True

    def __bool__(self) -> bool:
        return self.open


class Adjusted(Struct, frozen=True):
    """A date moved to a business day. known: False where weekdays stood in for the calendar."""

    day: date
    known: bool = True


class DueDays(Struct, frozen=True):
    """Whether due dates keep clear of days on which banks do not work: a convention and the calendar of the place.

    none: a due date stays where it falls. The other conventions are those of `adjust`. Where the calendar is missing,
    weekdays stand in for it.
    """

    convention: Literal["none", "following", "modified_following", "preceding"] = "none"
    calendar: str | None = None

    def roll(self, day: date) -> date:
        """Return the day on which what is to fall due on a day is due."""
        return day if self.convention == "none" else adjust(day, self.calendar, self.convention).day

    def first_behind(self, day: date, wanted: date) -> date:
        """Return the first date, from the wanted one on, on which what falls due is due after a day."""
        due = max(wanted, day + timedelta(days=1))
        while self.roll(due) <= day:
            due += timedelta(days=1)
        return due

    def anchor_of(self, dues: Sequence[date]) -> int:
        """Return the day of the month (1 to 31) that monthly due dates are anchored to.

        It is the one that makes all of them, month ends and rolled days included; of several, their latest day of the
        month where that is one, else the least. Dates that no anchor makes were not made here: their latest day counts.
        """
        latest = max(due.day for due in dues)
        if self.convention == "none":
            return latest
        found = [day for day in range(1, 32) if all(self._unrolled(due, day) for due in dues)]
        return latest if latest in found or not found else found[0]

    def months_on(self, due: date, months: int, anchor: int) -> date:
        """Return a due date so many months on, on the day of the month that the schedule is anchored to, rolled."""
        first = due if self.convention == "none" else self._unrolled(due, anchor) or due
        return self.roll(_anchored(first, anchor, months))

    def _unrolled(self, due: date, anchor: int) -> date | None:
        """Return the date that was rolled to a due date, None where none of this anchor was."""
        near = (_anchored(due, anchor, shift) for shift in (0, -1, 1))
        return next((day for day in near if self.roll(day) == due), None)


# Due dates stay where they fall.
AS_THEY_FALL = DueDays()


def _anchored(day: date, anchor: int, months: int) -> date:
    # January has every day that an anchor can be.
    return add_months(date(day.year, 1, anchor), day.month - 1 + months)


def is_known(calendar: str) -> bool:
    """Say whether a calendar of this code exists."""
    return _calendar(calendar) is not None


def covers(calendar: str | None, day: date) -> bool:
    """Say whether a calendar has holidays for the year of a day and the next; None asks for none."""
    years = (date(day.year, 1, 1), date(day.year + 1, 1, 1))
    return all(is_business_day(first, calendar).known for first in years)


def is_business_day(day: date, calendar: str | None) -> BusinessDay:
    """Return whether banks work on a day: neither weekend nor holiday, or a weekend day worked in lieu (CN)."""
    calendar_of = _calendar(calendar) if calendar else None
    if calendar_of is None or not calendar_of.start_year <= day.year <= calendar_of.end_year:
        return BusinessDay(day.weekday() < _SATURDAY, known=calendar is None)
    return BusinessDay(bool(calendar_of.is_working_day(day)))


def next_business_day(day: date, calendar: str | None) -> Adjusted:
    """Return the first business day after a day."""
    return adjust(day + timedelta(days=1), calendar, "following")


def adjust(day: date, calendar: str | None, convention: Convention = "following") -> Adjusted:
    """Return the business day on which something due on a day falls.

    following: the day or the next business day; modified_following: so, but back where that would be
    in another month; preceding: the day or the last business day before it (ISDA 2006, 4.12).
    """
    if convention == "preceding":
        return _walk(day, calendar, -1)
    moved = _walk(day, calendar, 1)
    if convention == "modified_following" and moved.day.month != day.month:
        return _walk(day, calendar, -1)
    return moved


def add_months(anchor: date, months: int) -> date:
    """Return the anchor's day of the month `months` later (or earlier), the last day where the month is shorter.

    Count from the first date, not from the last answer: 31 January gives 28 February and then 31 March.
    """
    index = anchor.year * 12 + anchor.month - 1 + months
    year, month = index // 12, index % 12 + 1
    if anchor.day <= 28:
        return date(year, month, anchor.day)
    return date(year, month, min(anchor.day, monthrange(year, month)[1]))


def days_between(start: date, end: date, convention: DayCount = "act/365") -> int:
    """Return the days from start to end as a convention counts them; negative where end is earlier.

    act/365 counts calendar days; 30E/360 (ISDA 2006, 4.16 g) takes each month as 30 days, the 31st as the 30th.
    """
    if convention == "act/365":
        return (end - start).days
    months = (end.year - start.year) * 12 + end.month - start.month
    return months * 30 + min(end.day, 30) - min(start.day, 30)


def year_fraction(start: date, end: date, convention: DayCount = "act/365") -> Fraction:
    """Return the exact share of a year from start to end."""
    return Fraction(days_between(start, end, convention), 365 if convention == "act/365" else 360)


def _walk(day: date, calendar: str | None, step: int) -> Adjusted:
    known = True
    while True:
        answer = is_business_day(day, calendar)
        known = known and answer.known
        if answer:
            return Adjusted(day, known)
        day += timedelta(days=step)


@lru_cache(maxsize=256)
def _calendar(code: str) -> HolidayBase | None:
    """Return a calendar of the `holidays` package, None where it has none of this code."""
    # Imported where it is needed: it takes half a second, and most commands ask for no business day.
    import holidays

    name, _, subdivision = code.partition("-")
    makers: tuple[Callable[..., HolidayBase], ...] = (holidays.country_holidays, holidays.financial_holidays)
    for make in makers:
        try:
            return make(name, subdiv=subdivision) if subdivision else make(name)
        except (NotImplementedError, TypeError):
            continue
    return None
