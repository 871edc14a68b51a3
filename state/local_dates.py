"""Dates that were promised to a person: they begin and end in that person's time zone.

A business date ends in the time zone of the business. A person to the west of it still has that date then, so what was
promised "by" a date may only be ended at the close of a business date at whose end the date is over for the person too.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

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
