"""Contact rules fuzzed over all time zones and their daylight saving changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.contact_rules import allowed, broken, first_open, next_window, window, zone_for
from state.policy import Contacts

ZONES = sorted(name for name in available_timezones() if name != "localtime" and not name.startswith("posix"))
# Zones whose clocks change oddly: half an hour, at midnight, or by a whole skipped date.
ODD = [
    "Australia/Lord_Howe",
    "America/Asuncion",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Tehran",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "America/Scoresbysund",
    "Africa/Casablanca",
    "Europe/London",
]
zones = st.sampled_from(ODD) | st.sampled_from(ZONES)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC))
hours = st.integers(0, 23).flatmap(lambda start: st.tuples(st.just(start), st.integers(start + 1, 24)))
fuzz = settings(derandomize=True, deadline=None, max_examples=400)

US = Contacts(from_hour=8, to_hour=21, cap=7, cap_days=7, quiet_days_after_conversation=7)


def changes(zone: str, year: int) -> list[date]:
    """Return the local dates around each change of the clock in a year."""
    info, start = ZoneInfo(zone), datetime(year, 1, 1, tzinfo=UTC)
    offsets = [(start + timedelta(days=n)).astimezone(info) for n in range(367)]
    return [
        before.date() + timedelta(days=shift)
        for before, after in pairwise(offsets)
        if before.utcoffset() != after.utcoffset()
        for shift in (-1, 0, 1)
    ]


@st.composite
def local_days(draw: st.DrawFn) -> tuple[str, date]:
    zone, year = draw(zones), draw(st.integers(1990, 2036))
    around = changes(zone, year)
    plain = st.dates(date(year, 1, 1), date(year, 12, 31))
    near_a_change: bool = draw(st.booleans())
    return zone, draw(st.sampled_from(around) if around and near_a_change else plain)


@fuzz
@given(local_days(), hours)
def test_no_instant_of_a_window_is_outside_the_local_hours(place: tuple[str, date], span: tuple[int, int]) -> None:
    zone, day = place
    start, end = window(Contacts(from_hour=span[0], to_hour=span[1]), day, zone)
    assert start.tzinfo is UTC
    assert start <= end
    instant = start
    while instant < end:
        local = instant.astimezone(ZoneInfo(zone))
        assert local.date() == day
        assert span[0] <= local.hour < span[1]
        instant += timedelta(minutes=5)


@fuzz
@given(local_days(), hours)
def test_a_window_omits_at_most_the_change_of_the_clock(place: tuple[str, date], span: tuple[int, int]) -> None:
    zone, day = place
    info = ZoneInfo(zone)
    start, end = window(Contacts(from_hour=span[0], to_hour=span[1]), day, zone)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=info)
    offsets = {(noon + timedelta(hours=h)).astimezone(info).utcoffset() for h in (-48, -24, 0, 24, 48)}
    shift = max(offsets) - min(offsets)  # type: ignore[type-var,operator]
    missing = timedelta(hours=span[1] - span[0]) - (end - start)
    assert missing <= shift
    assert -missing <= shift


@fuzz
@given(zones, moments, hours)
def test_the_next_window_is_open_at_or_after_the_instant_asked(
    zone: str, after: datetime, span: tuple[int, int]
) -> None:
    contacts = Contacts(from_hour=span[0], to_hour=span[1])
    start, end = next_window(after, contacts, zone)
    assert after <= start < end
    assert start - after < timedelta(days=3)
    assert allowed(start, contacts, zone)
    assert not allowed(end, contacts, zone) or span == (0, 24)


@settings(derandomize=True, deadline=None, max_examples=120)
@given(
    zones,
    moments,
    st.integers(1, 4),
    st.integers(1, 8),
    st.integers(0, 8),
    st.tuples(st.integers(0, 3), st.integers(1, 3)),
    st.lists(st.integers(1, 60 * 30), min_size=1, max_size=60),
    st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_asking_before_each_attempt_never_breaks_a_rule(
    zone: str,
    start: datetime,
    cap: int,
    days: int,
    quiet: int,
    talks: tuple[int, int],
    pauses: list[int],
    spoke: list[bool],
) -> None:
    contacts = Contacts(
        from_hour=9,
        to_hour=20,
        cap=cap,
        cap_days=days,
        quiet_days_after_conversation=quiet,
        conversation_cap=talks[0],
        conversation_cap_days=talks[1],
    )
    now, attempts, conversations = start, list[datetime](), list[datetime]()
    for pause, talked in zip(pauses, spoke, strict=False):
        now += timedelta(minutes=pause)
        if allowed(now, contacts, zone, attempts, conversations):
            attempts.append(now)
            if talked:
                conversations.append(now)
    info = ZoneInfo(zone)
    local = [moment.astimezone(info).date() for moment in attempts]
    for day in local:
        assert sum(day <= other < day + timedelta(days=days) for other in local) <= cap
    spoken = [moment.astimezone(info).date() for moment in conversations]
    for day in spoken if talks[0] else ():
        assert sum(day <= other < day + timedelta(days=talks[1]) for other in spoken) <= talks[0]
    for talk in conversations:
        last = talk.astimezone(info).date() + timedelta(days=quiet)
        assert not any(talk < moment and moment.astimezone(info).date() < last for moment in attempts)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(zones, moments, st.lists(st.integers(0, 60 * 24 * 9), max_size=12), st.lists(st.integers(0, 60 * 24 * 9)))
def test_a_refusal_names_the_first_moment_that_is_allowed(
    zone: str, now: datetime, ago: list[int], talks: list[int]
) -> None:
    attempts = [now - timedelta(minutes=m) for m in ago]
    conversations = [now - timedelta(minutes=m) for m in talks]
    verdict = allowed(now, US, zone, attempts, conversations)
    opens = verdict.not_before
    assert opens is not None
    assert opens >= now
    assert allowed(opens, US, zone, attempts, conversations)
    before = now
    while before < opens:
        assert not allowed(before, US, zone, attempts, conversations)
        before += timedelta(minutes=37)


def test_a_window_follows_daylight_saving() -> None:
    winter = window(US, date(2026, 1, 15), "America/New_York")
    summer = window(US, date(2026, 7, 15), "America/New_York")
    assert winter == (datetime(2026, 1, 15, 13, tzinfo=UTC), datetime(2026, 1, 16, 2, tzinfo=UTC))
    assert summer == (datetime(2026, 7, 15, 12, tzinfo=UTC), datetime(2026, 7, 16, 1, tzinfo=UTC))


def test_a_doubled_hour_opens_late_and_closes_early() -> None:
    night = date(2026, 10, 25)  # 03:00 -> 02:00 in Berlin
    assert window(Contacts(from_hour=2, to_hour=9), night, "Europe/Berlin")[0] == datetime(2026, 10, 25, 1, tzinfo=UTC)
    assert window(Contacts(from_hour=0, to_hour=2), night, "Europe/Berlin")[1] == datetime(2026, 10, 25, 0, tzinfo=UTC)


def test_a_date_that_the_zone_skipped_has_no_window() -> None:
    start, end = window(US, date(2011, 12, 30), "Pacific/Apia")
    assert start == end


@pytest.mark.parametrize("hour", [7, 21])
def test_the_minute_before_opening_and_the_last_hour_are_out(hour: int) -> None:
    now = datetime(2026, 11, 24, hour, 59 if hour == 7 else 0, tzinfo=UTC)
    verdict = allowed(now, US, "UTC")
    assert (verdict.allowed, verdict.reason) == (False, "outside_hours")


def test_chinas_six_attempts_a_day_start_again_next_morning() -> None:
    china = Contacts(from_hour=8, to_hour=22, cap=6, cap_days=1)
    attempts = [datetime(2026, 11, 24, hour, tzinfo=ZoneInfo("Asia/Shanghai")) for hour in range(9, 15)]
    verdict = allowed(datetime(2026, 11, 24, 15, tzinfo=ZoneInfo("Asia/Shanghai")), china, "Asia/Shanghai", attempts)
    assert verdict.reason == "cap_reached"
    assert verdict.not_before == datetime(2026, 11, 25, 0, tzinfo=UTC)


def test_a_conversation_silences_its_day_and_the_six_after_it() -> None:
    talk = datetime(2026, 11, 2, 15, tzinfo=UTC)
    last = allowed(datetime(2026, 11, 8, 15, tzinfo=UTC), US, "UTC", [talk], [talk])
    assert (last.reason, last.not_before) == ("quiet_after_conversation", datetime(2026, 11, 9, 8, tzinfo=UTC))
    assert allowed(datetime(2026, 11, 9, 15, tzinfo=UTC), US, "UTC", [talk], [talk])


def test_a_cap_of_zero_allows_nothing_ever() -> None:
    verdict = allowed(datetime(2026, 11, 24, 12, tzinfo=UTC), Contacts(cap=0), "UTC")
    assert (verdict.allowed, verdict.not_before) == (False, None)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "/etc/passwd", "Europe", "a" * 5000, "\0"])
def test_the_policys_zone_replaces_an_unknown_one(name: str) -> None:
    contacts = Contacts(time_zone="Asia/Shanghai")
    zone = zone_for(contacts, name)
    assert zone.key == "Asia/Shanghai"


def test_utc_stands_in_where_the_policys_zone_is_unknown_too() -> None:
    assert zone_for(Contacts(time_zone="Mars/Olympus"), "").key == "UTC"


def test_a_datetime_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        allowed(datetime(2026, 11, 24, 12), US, "UTC")


def test_hours_that_never_open_are_refused() -> None:
    with pytest.raises(ValueError, match="are empty"):
        next_window(datetime(2026, 11, 24, tzinfo=UTC), Contacts(from_hour=21, to_hour=8), "UTC")


def test_what_comes_after_the_moment_asked_about_does_not_count() -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    later = [now + timedelta(minutes=n) for n in range(1, 9)]
    assert allowed(now, US, "UTC", later, later)


SHANGHAI = ZoneInfo("Asia/Shanghai")
CHINA = Contacts(from_hour=8, to_hour=22, cap=6, cap_days=1, conversation_cap=3, conversation_cap_days=1)


@pytest.mark.parametrize(("talks", "reason"), [(2, "allowed"), (3, "cap_reached")])
def test_three_effective_calls_close_the_day(talks: int, reason: str) -> None:
    at = [datetime(2026, 11, 24, 9 + n, tzinfo=SHANGHAI) for n in range(talks)]
    verdict = allowed(datetime(2026, 11, 24, 15, tzinfo=SHANGHAI), CHINA, "Asia/Shanghai", at, at)
    assert verdict.reason == reason
    if not verdict:
        assert verdict.not_before == datetime(2026, 11, 25, 8, tzinfo=SHANGHAI)
        opened = first_open(datetime(2026, 11, 24, 15, tzinfo=SHANGHAI), CHINA, "Asia/Shanghai", at, at)
        assert opened is not None
        assert opened[0] == verdict.not_before
        assert opened[2] == "cap_reached"


def test_effective_calls_of_yesterday_do_not_count() -> None:
    eve = [datetime(2026, 11, 23, 9 + n, tzinfo=SHANGHAI) for n in range(3)]
    day = [datetime(2026, 11, 24, 9 + n, tzinfo=SHANGHAI) for n in range(3)]
    fourth = datetime(2026, 11, 24, 16, tzinfo=SHANGHAI)
    assert broken(day[2], CHINA, "Asia/Shanghai", eve + day[:2], eve + day[:2]) == ()
    assert broken(fourth, CHINA, "Asia/Shanghai", eve + day, eve + day) == ("cap_reached",)
    # Unanswered dials are counted by the other cap alone.
    assert broken(fourth, CHINA, "Asia/Shanghai", eve + day, eve) == ()


def test_without_a_cap_on_conversations_none_counts() -> None:
    talks = [datetime(2026, 11, 24, 9, n, tzinfo=UTC) for n in range(50)]
    assert allowed(datetime(2026, 11, 24, 12, tzinfo=UTC), Contacts(cap=100), "UTC", (), talks)


def test_the_eighth_attempt_in_seven_days_is_the_first_too_many() -> None:
    attempts = [datetime(2026, 11, 2 + n, 9, tzinfo=UTC) for n in range(7)]
    rules = Contacts(cap=7, cap_days=7)
    assert broken(attempts[6], rules, "UTC", attempts[:6]) == ()
    assert broken(datetime(2026, 11, 8, 10, tzinfo=UTC), rules, "UTC", attempts) == ("cap_reached",)
    assert broken(datetime(2026, 11, 9, 10, tzinfo=UTC), rules, "UTC", attempts) == ()
