"""Calendars against QuantLib and dateutil, and what happens where a calendar is missing."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import QuantLib
from dateutil.relativedelta import relativedelta
from hypothesis import given, settings
from hypothesis import strategies as st

from state.calendars import (
    DueDays,
    add_months,
    adjust,
    covers,
    is_business_day,
    next_business_day,
)
from state.schedules import due_dates

dates = st.dates(date(1975, 1, 1), date(2060, 12, 31))
calendars = st.sampled_from([None, "CN", "US", "US-NY", "GB", "DE", "ECB", "XNYS", "EG", "ZZ", "DE-ZZ", "", "../x"])
conventions = st.sampled_from(["following", "modified_following", "preceding"])
fuzz = settings(derandomize=True, deadline=None, max_examples=300)


def in_quantlib(day: date) -> QuantLib.Date:
    return QuantLib.Date(day.day, day.month, day.year)


@fuzz
@given(dates, st.integers(-600, 600))
def test_months_are_added_as_dateutil_and_quantlib_add_them(anchor: date, months: int) -> None:
    got = add_months(anchor, months)
    assert got == anchor + relativedelta(months=months)
    if date(1905, 1, 1) < got < date(2195, 1, 1):
        assert in_quantlib(got) == in_quantlib(anchor) + QuantLib.Period(months, QuantLib.Months)


def test_a_month_end_stays_anchored_to_the_first_date() -> None:
    days = [add_months(date(2027, 1, 31), n) for n in range(4)]
    assert days == [date(2027, 1, 31), date(2027, 2, 28), date(2027, 3, 31), date(2027, 4, 30)]


def test_29_february_comes_back_in_each_leap_year() -> None:
    years = [add_months(date(2024, 2, 29), 12 * n) for n in range(5)]
    assert [day.day for day in years] == [29, 28, 28, 28, 29]


@pytest.mark.parametrize(
    ("code", "theirs"), [("ECB", QuantLib.TARGET()), ("XNYS", QuantLib.UnitedStates(QuantLib.UnitedStates.NYSE))]
)
def test_business_days_of_2020_to_2027_are_those_of_quantlib(code: str, theirs: QuantLib.Calendar) -> None:
    start = date(2020, 1, 1)
    days = [start + timedelta(days=n) for n in range((date(2027, 12, 31) - start).days + 1)]
    differ = [day for day in days if is_business_day(day, code) != theirs.isBusinessDay(in_quantlib(day))]
    assert differ == []


@fuzz
@given(dates, calendars, conventions)
def test_an_adjusted_day_is_the_nearest_by_its_convention(day: date, calendar: str | None, convention: str) -> None:
    got = adjust(day, calendar, convention)  # type: ignore[arg-type]
    assert is_business_day(got, calendar)
    low, high = sorted((day, got))
    passed = [low + timedelta(days=n) for n in range((high - low).days + 1)]
    assert not any(is_business_day(other, calendar) for other in passed if other != got)
    if convention == "following":
        assert got >= day
    elif convention == "preceding":
        assert got <= day
    else:
        assert (got.year, got.month) == (day.year, day.month)


@fuzz
@given(dates, calendars)
def test_the_next_business_day_is_later(day: date, calendar: str | None) -> None:
    assert next_business_day(day, calendar) > day


def test_a_business_day_stays_where_it_is() -> None:
    assert adjust(date(2026, 11, 24), "CN") == date(2026, 11, 24)


def test_modified_following_never_leaves_the_month() -> None:
    assert adjust(date(2027, 1, 31), None, "following") == date(2027, 2, 1)
    assert adjust(date(2027, 1, 31), None, "modified_following") == date(2027, 1, 29)


def test_a_weekend_worked_in_lieu_is_a_business_day_in_china() -> None:
    assert is_business_day(date(2026, 2, 14), "CN")
    assert not is_business_day(date(2026, 2, 17), "CN")


def test_2027_has_its_holidays() -> None:
    assert not is_business_day(date(2027, 10, 1), "CN")
    assert not is_business_day(date(2027, 7, 5), "US")
    assert not is_business_day(date(2027, 12, 27), "GB")


def test_a_weekend_is_what_the_country_says() -> None:
    friday, sunday = date(2026, 11, 27), date(2026, 11, 29)
    assert not is_business_day(friday, "EG")
    assert is_business_day(sunday, "EG")


@pytest.mark.parametrize("calendar", ["ZZ", "DE-ZZ", "", "../x"])
def test_weekdays_replace_an_unknown_calendar(calendar: str) -> None:
    friday = date(2026, 12, 25)
    assert is_business_day(friday, calendar)
    assert adjust(date(2026, 12, 26), calendar) == date(2026, 12, 28)
    assert not covers(calendar, friday)


def test_no_calendar_is_a_choice_and_known() -> None:
    assert covers(None, date(2026, 12, 25))
    assert is_business_day(date(2026, 12, 25), None)


def test_a_year_beyond_the_calendar_is_said_to_be_unknown() -> None:
    assert not covers("CN", date(2999, 1, 1))
    assert is_business_day(date(2999, 1, 1), "CN")


known_calendars = st.sampled_from([None, "CN", "US", "GB", "DE", "ECB"])
rules = st.builds(DueDays, st.sampled_from(["none", "following", "modified_following", "preceding"]), known_calendars)
firsts = st.dates(date(2020, 1, 1), date(2027, 12, 31))


@fuzz
@given(rules, firsts, st.integers(1, 24))
def test_due_dates_follow_the_first_and_roll_one_by_one(rule: DueDays, first: date, months: int) -> None:
    for n, due in enumerate(due_dates(first, months, rule)):
        wanted = first + relativedelta(months=n)
        if rule.convention == "none":
            assert due == wanted
        else:
            assert due == adjust(wanted, rule.calendar, rule.convention)
            assert is_business_day(due, rule.calendar)


@fuzz
@given(rules, firsts, st.integers(2, 24), st.integers(1, 24))
def test_a_continued_schedule_equals_one_made_longer(rule: DueDays, first: date, months: int, more: int) -> None:
    dues = due_dates(first, months, rule)
    anchor = rule.anchor_of(dues)
    longer = [rule.months_on(dues[-1], n, anchor) for n in range(1, more + 1)]
    # Any anchor that makes all of the dates is as good; from a few dates alone the agreed one cannot always be told.
    base = next(
        day
        for day in (date(first.year, 1, anchor) + relativedelta(months=first.month - 1 + shift) for shift in (0, -1, 1))
        if rule.roll(day) == dues[0]
    )
    wanted = [
        rule.roll(date(base.year, 1, anchor) + relativedelta(months=base.month - 1 + months - 1 + n))
        for n in range(1, more + 1)
    ]
    assert longer == wanted
    if months > 12 and first.day <= 28:
        assert longer == list(due_dates(first, months + more, rule)[months:])


@pytest.mark.parametrize(
    ("convention", "wanted"),
    [
        ("none", ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]),
        ("following", ["2027-02-01", "2027-03-01", "2027-03-31", "2027-04-30", "2027-06-01"]),
        ("modified_following", ["2027-01-29", "2027-02-26", "2027-03-31", "2027-04-30", "2027-05-28"]),
        ("preceding", ["2027-01-29", "2027-02-26", "2027-03-31", "2027-04-30", "2027-05-28"]),
    ],
)
def test_month_ends_stay_anchored_whichever_way_they_roll(convention: str, wanted: list[str]) -> None:
    # 31 January and 28 February 2027 are Sundays, 31 May is Memorial Day.
    rule = DueDays(convention, "US")  # type: ignore[arg-type]
    dues = due_dates(date(2027, 1, 31), 5, rule)
    assert [str(day) for day in dues] == wanted
    assert rule.anchor_of(dues) == 31
    assert rule.months_on(dues[0], 4, 31) == dues[4]


def test_the_day_before_a_holiday_the_holiday_and_the_day_after() -> None:
    # Thursday 1 October 2026 begins a week of holidays in China.
    for convention, days in {
        "none": ["2026-09-30", "2026-10-01", "2026-10-08"],
        "following": ["2026-09-30", "2026-10-08", "2026-10-08"],
        "preceding": ["2026-09-30", "2026-09-30", "2026-10-08"],
    }.items():
        rule = DueDays(convention, "CN")  # type: ignore[arg-type]
        dues = (date(2026, 9, 30), date(2026, 10, 1), date(2026, 10, 8))
        assert [str(rule.roll(day)) for day in dues] == days


def test_a_missing_calendar_rolls_by_weekdays() -> None:
    assert DueDays("following", "ZZ").roll(date(2026, 12, 26)) == date(2026, 12, 28)
    assert not covers("ZZ", date(2026, 12, 26))
    assert covers("US", date(2026, 12, 26))
    assert covers(None, date(2026, 12, 26))


def test_the_first_due_date_is_later_even_if_it_rolls_back() -> None:
    # Friday 25 December 2026 is a holiday: what is due then or on the weekend is due on Thursday.
    thursday = date(2026, 12, 24)
    assert DueDays("preceding", "US").first_behind(thursday, date(2026, 12, 1)) == date(2026, 12, 28)
    assert DueDays("none", "US").first_behind(thursday, date(2026, 12, 1)) == date(2026, 12, 25)
    assert DueDays("preceding", "US").first_behind(thursday, date(2027, 1, 1)) == date(2027, 1, 1)
