"""Calendars: business days, anchored months and local dates. All take dates as arguments and read no clock.

A calendar is a code of the `holidays` package: a country (`CN`, `DE`), a country with its subdivision
(`US-NY`, `DE-BY`) or a financial market (`ECB`, `XNYS`). None means weekdays only. A calendar that the
package does not know never stops a decision: weekdays stand in for it, and `covers` says so, so that
the caller can raise an alert.

What is promised to a person "by" a date may only be ended at the close of a business date at whose end the date is over
for the person too: a person to the west of the business still has that date when its business date ends.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

if TYPE_CHECKING:
    from holidays import HolidayBase

Convention = Literal["following", "modified_following", "preceding"]
DueDateConvention = Literal["none", Convention]

_SATURDAY = 5


class DueDays(Struct, frozen=True):
    """Whether due dates keep clear of days on which banks do not work: a convention and the calendar of the place.

    none: a due date stays where it falls. The other conventions are those of `adjust`. Where the calendar is missing,
    weekdays stand in for it.
    """

    convention: DueDateConvention = "none"
    calendar: str | None = None

    def roll(self, day: date) -> date:
        """Return the day on which what is to fall due on a day is due."""
        return day if self.convention == "none" else adjust(day, self.calendar, self.convention)

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
    found = _calendar(calendar) if calendar else None
    return calendar is None or (found is not None and found.start_year <= day.year < found.end_year)


def is_business_day(day: date, calendar: str | None) -> bool:
    """Return whether banks work on a day: neither weekend nor holiday, or a weekend day worked in lieu (CN)."""
    found = _calendar(calendar) if calendar else None
    if found is None or not found.start_year <= day.year <= found.end_year:
        return day.weekday() < _SATURDAY
    return bool(found.is_working_day(day))


def next_business_day(day: date, calendar: str | None) -> date:
    """Return the first business day after a day."""
    return adjust(day + timedelta(days=1), calendar, "following")


def adjust(day: date, calendar: str | None, convention: Convention = "following") -> date:
    """Return the business day on which something due on a day falls.

    following: the day or the next business day; modified_following: so, but back where that would be
    in another month; preceding: the day or the last business day before it (ISDA 2006, 4.12).
    """
    if convention == "preceding":
        return _walk(day, calendar, -1)
    moved = _walk(day, calendar, 1)
    if convention == "modified_following" and moved.month != day.month:
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


def _walk(day: date, calendar: str | None, step: int) -> date:
    while not is_business_day(day, calendar):
        day += timedelta(days=step)
    return day


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


_DAY = timedelta(days=1)


def date_in(moment: datetime, zone: ZoneInfo) -> date:
    """Return the date that a time zone has at an aware instant."""
    return moment.astimezone(zone).date()


@lru_cache(maxsize=4096)
def end_of(day: date, zone: ZoneInfo) -> datetime:
    """Return the first instant (UTC) after a date in a time zone.

    A midnight that comes twice is the first of the two; one that the clock skips is the change itself (PEP 495).
    """
    return datetime.combine(day + _DAY, time(), zone).astimezone(UTC)


@lru_cache(maxsize=4096)
def over_at_close(day: date, zone: ZoneInfo, business: ZoneInfo) -> date:
    """Return the first business date, not before `day`, at whose end `day` is over in a person's time zone.

    business: time zone of business dates. It is `day` itself where the person is not to the west of it, else a day
    later, or two (UTC−12 against UTC+14).
    """
    over, close = end_of(day, zone), day
    while end_of(close, business) < over:
        close += _DAY
    return close
