"""Dates promised to people, over all time zones and their changes of the clock."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from test_contact_rules import fuzz, local_days, zones

from state.calendars import date_in, end_of, over_at_close

UTC = ZoneInfo("UTC")


@fuzz
@given(local_days())
def test_a_date_ends_with_the_first_instant_of_the_next(local: tuple[str, date]) -> None:
    zone, day = ZoneInfo(local[0]), local[1]
    end = end_of(day, zone)
    assert date_in(end - timedelta(milliseconds=1), zone) <= day < date_in(end, zone)


@fuzz
@given(local_days(), zones)
def test_a_promised_date_is_over_at_the_first_close_after_it(local: tuple[str, date], business: str) -> None:
    zone, home, day = ZoneInfo(local[0]), ZoneInfo(business), local[1]
    close = over_at_close(day, zone, home)
    assert timedelta(0) <= close - day <= timedelta(2)
    assert end_of(close, home) >= end_of(day, zone)
    if close > day:
        assert end_of(close - timedelta(1), home) < end_of(day, zone)


@pytest.mark.parametrize(
    ("zone", "day", "end"),
    [
        ("Pacific/Kiritimati", "2026-02-24", "2026-02-24T10:00"),
        ("Asia/Shanghai", "2026-02-24", "2026-02-24T16:00"),
        ("America/New_York", "2026-02-24", "2026-02-25T05:00"),
        # The clock is put forward on 8 March 2026 and back on 1 November: that day has 23 hours, this one 25.
        ("America/New_York", "2026-03-07", "2026-03-08T05:00"),
        ("America/New_York", "2026-03-08", "2026-03-09T04:00"),
        ("America/New_York", "2026-11-01", "2026-11-02T05:00"),
        ("Pacific/Honolulu", "2026-02-24", "2026-02-25T10:00"),
        ("Etc/GMT+12", "2026-02-24", "2026-02-25T12:00"),
        # Midnight itself is skipped in Cairo on 24 April 2026, and comes twice in Havana on 1 November.
        ("Africa/Cairo", "2026-04-23", "2026-04-23T22:00"),
        ("America/Havana", "2026-10-31", "2026-11-01T04:00"),
        ("America/Havana", "2026-11-01", "2026-11-02T05:00"),
    ],
)
def test_known_ends_of_dates(zone: str, day: str, end: str) -> None:
    assert end_of(date.fromisoformat(day), ZoneInfo(zone)) == datetime.fromisoformat(end).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "business", "later"),
    [
        ("Pacific/Kiritimati", "UTC", 0),
        ("UTC", "UTC", 0),
        ("America/New_York", "UTC", 1),
        ("America/New_York", "America/New_York", 0),
        ("America/New_York", "Asia/Shanghai", 1),
        ("Pacific/Honolulu", "UTC", 1),
        ("Pacific/Honolulu", "Pacific/Kiritimati", 1),
        ("Etc/GMT+12", "Pacific/Kiritimati", 2),
    ],
)
def test_known_closes(zone: str, business: str, later: int) -> None:
    day = date(2026, 2, 24)
    assert over_at_close(day, ZoneInfo(zone), ZoneInfo(business)) == day + timedelta(later)
