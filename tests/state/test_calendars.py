"""Calendars against QuantLib and dateutil, and what happens where a calendar is missing."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

import pytest
import QuantLib
from dateutil.relativedelta import relativedelta
from hypothesis import given, settings
from hypothesis import strategies as st

from state.calendars import (
    add_months,
    adjust,
    days_between,
    is_business_day,
    next_business_day,
    year_fraction,
)

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


@fuzz
@given(dates, dates)
def test_day_counts_are_those_of_quantlib(start: date, end: date) -> None:
    one, other = in_quantlib(start), in_quantlib(end)
    bond = QuantLib.Thirty360(QuantLib.Thirty360.EurobondBasis)
    assert days_between(start, end, "act/365") == QuantLib.Actual365Fixed().dayCount(one, other)
    assert days_between(start, end, "30E/360") == bond.dayCount(one, other)
    assert float(year_fraction(start, end, "act/365")) == pytest.approx(
        QuantLib.Actual365Fixed().yearFraction(one, other)
    )
    assert float(year_fraction(start, end, "30E/360")) == pytest.approx(bond.yearFraction(one, other))


def test_a_year_fraction_is_exact() -> None:
    assert year_fraction(date(2026, 1, 31), date(2026, 2, 28), "act/365") == Fraction(28, 365)
    assert year_fraction(date(2026, 1, 31), date(2026, 2, 28), "30E/360") == Fraction(28, 360)


@pytest.mark.parametrize(
    ("code", "theirs"), [("ECB", QuantLib.TARGET()), ("XNYS", QuantLib.UnitedStates(QuantLib.UnitedStates.NYSE))]
)
def test_business_days_of_2020_to_2027_are_those_of_quantlib(code: str, theirs: QuantLib.Calendar) -> None:
    start = date(2020, 1, 1)
    days = [start + timedelta(days=n) for n in range((date(2027, 12, 31) - start).days + 1)]
    differ = [day for day in days if is_business_day(day, code).open != theirs.isBusinessDay(in_quantlib(day))]
    assert differ == []


@fuzz
@given(dates, calendars, conventions)
def test_an_adjusted_day_is_the_nearest_business_day_on_the_side_of_its_convention(
    day: date, calendar: str | None, convention: str
) -> None:
    got = adjust(day, calendar, convention)  # type: ignore[arg-type]
    assert is_business_day(got.day, calendar)
    low, high = sorted((day, got.day))
    passed = [low + timedelta(days=n) for n in range((high - low).days + 1)]
    assert not any(is_business_day(other, calendar) for other in passed if other != got.day)
    if convention == "following":
        assert got.day >= day
    elif convention == "preceding":
        assert got.day <= day
    else:
        assert (got.day.year, got.day.month) == (day.year, day.month)


@fuzz
@given(dates, calendars)
def test_the_next_business_day_is_later(day: date, calendar: str | None) -> None:
    assert next_business_day(day, calendar).day > day


def test_a_business_day_stays_where_it_is() -> None:
    assert adjust(date(2026, 11, 24), "CN").day == date(2026, 11, 24)


def test_modified_following_goes_back_rather_than_into_another_month() -> None:
    assert adjust(date(2027, 1, 31), None, "following").day == date(2027, 2, 1)
    assert adjust(date(2027, 1, 31), None, "modified_following").day == date(2027, 1, 29)


def test_a_weekend_day_worked_in_lieu_is_a_business_day_in_china() -> None:
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
def test_weekdays_stand_in_for_an_unknown_calendar_and_the_answer_says_so(calendar: str) -> None:
    friday = date(2026, 12, 25)
    assert is_business_day(friday, calendar).open
    assert not is_business_day(friday, calendar).known
    moved = adjust(date(2026, 12, 26), calendar)
    assert (moved.day, moved.known) == (date(2026, 12, 28), False)


def test_no_calendar_is_a_choice_and_known() -> None:
    assert is_business_day(date(2026, 12, 25), None).known
    assert is_business_day(date(2026, 12, 25), None).open


def test_a_year_beyond_the_calendar_is_said_to_be_unknown() -> None:
    assert not is_business_day(date(2999, 1, 1), "CN").known
