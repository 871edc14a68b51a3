"""Contact rules: when a borrower may be reached, in the borrower's own time zone.

Hours are of the local wall clock, [from_hour, to_hour). Where daylight saving doubles or skips one of the
two hours, the reading that shortens the window counts: a borrower is never called in a forbidden hour.
A time zone that nobody knows gives way to the policy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

from state.policy import Contacts

# How long and how many contacts of a borrower are remembered: no rule can look further back.
REMEMBERED_DAYS = 31
MOST_REMEMBERED = 200

_DAY = timedelta(days=1)


class Verdict(Struct, frozen=True):
    """Whether a contact is allowed; its truth is `allowed`.

    reason: allowed, outside_hours, cap_reached or quiet_after_conversation.
    not_before: the next instant (UTC) at which it would be allowed, None where the policy allows none at all.
    """

    allowed: bool
    reason: str
    not_before: datetime | None

    def __bool__(self) -> bool:
        return self.allowed


def zone_for(contacts: Contacts, time_zone: str) -> ZoneInfo:
    """Return the borrower's time zone, or the policy's where that is unknown or empty, or else UTC."""
    return _zone(time_zone) or _zone(contacts.time_zone) or ZoneInfo("UTC")


@lru_cache(maxsize=8192)
def window(contacts: Contacts, day: date, time_zone: str) -> tuple[datetime, datetime]:
    """Return [start, end) in UTC in which the borrower may be reached on a local day.

    Start equals end on a day that has no such hour (a date that the zone skipped).
    """
    zone = zone_for(contacts, time_zone)
    start = max(_readings(day, contacts.from_hour, zone))
    end = min(_readings(day, contacts.to_hour, zone))
    return start, max(start, end)


def next_window(after: datetime, contacts: Contacts, time_zone: str) -> tuple[datetime, datetime]:
    """Return the first window that is open at or after an instant, without what lies before that instant.

    Raises ValueError where from_hour is not before to_hour: such a policy has no window.
    """
    _refuse_empty(contacts)
    day = after.astimezone(zone_for(contacts, time_zone)).date()
    while True:
        start, end = window(contacts, day, time_zone)
        start = max(start, after.astimezone(UTC))
        if start < end:
            return start, end
        day += _DAY


def allowed(
    now: datetime,
    contacts: Contacts,
    time_zone: str,
    attempts: Sequence[datetime] = (),
    conversations: Sequence[datetime] = (),
) -> Verdict:
    """Decide whether the borrower may be reached at `now`, after earlier attempts and conversations.

    At most `cap` attempts fall on any `cap_days` local days in a row, none behind `conversation_cap` conversations
    within `conversation_cap_days`, and none on the day of a conversation and the days after it,
    `quiet_days_after_conversation` in all (12 CFR 1006.14(b)).
    Attempts and conversations later than `now` do not count. A naive datetime raises ValueError.
    """
    for moment in (now, *attempts, *conversations):
        if moment.tzinfo is None:
            raise ValueError(f"{moment.isoformat()} has no time zone; contacts are judged on aware datetimes")
    _refuse_empty(contacts)
    zone = zone_for(contacts, time_zone)
    tried = [moment.astimezone(zone).date() for moment in attempts if moment <= now]
    spoken = [moment.astimezone(zone).date() for moment in conversations if moment <= now]
    today = now.astimezone(zone).date()
    start, end = window(contacts, today, time_zone)
    reason = _day_reason(contacts, today, tried, spoken)
    if not reason and not start <= now < end:
        reason = "outside_hours"
    if not reason:
        return Verdict(True, "allowed", now.astimezone(UTC))
    return Verdict(False, reason, _reopens(now, contacts, time_zone, tried, spoken))


def first_open(
    after: datetime,
    contacts: Contacts,
    time_zone: str,
    attempts: Sequence[datetime] = (),
    conversations: Sequence[datetime] = (),
) -> tuple[datetime, datetime, str] | None:
    """Return the first window at or after an instant that no contact closes, and why an earlier one is closed.

    A contact closes windows that end after it. More contacts never open an earlier window, so it does not matter in
    which order they are heard of. The reason is cap_reached or quiet_after_conversation, empty where the first window
    is open; None where the policy allows no contact at all. Raises ValueError as `next_window`.
    """
    if contacts.cap == 0:
        return None
    zone, reason = zone_for(contacts, time_zone), ""
    while True:
        start, end = next_window(after, contacts, time_zone)
        day = start.astimezone(zone).date()
        tried = [moment.astimezone(zone).date() for moment in attempts if moment < end]
        spoken = [moment.astimezone(zone).date() for moment in conversations if moment < end]
        closed = _day_reason(contacts, day, tried, spoken)
        if not closed:
            return start, end, reason
        reason = reason or closed
        after = max(_readings(day + _DAY, 0, zone))


def open_windows(
    after: datetime,
    through: date,
    contacts: Contacts,
    time_zone: str,
    attempts: Sequence[datetime] = (),
    conversations: Sequence[datetime] = (),
) -> tuple[list[tuple[datetime, datetime]], str]:
    """Return the windows from an instant through a local day that no contact closes, and why the first closed one is.

    A contact closes windows that end after it. More contacts never open a window, so it does not matter in which order
    they are heard of. The reason is cap_reached or quiet_after_conversation, empty where no window is closed.
    Raises ValueError as `next_window`.
    """
    _refuse_empty(contacts)
    if contacts.cap == 0:
        return [], "cap_reached"
    zone, reason = zone_for(contacts, time_zone), ""
    tried = [(moment, moment.astimezone(zone).date()) for moment in attempts]
    spoken = [(moment, moment.astimezone(zone).date()) for moment in conversations]
    day, found = after.astimezone(zone).date(), []
    while day <= through:
        start, end = window(contacts, day, time_zone)
        start = max(start, after.astimezone(UTC))
        if start < end:
            closed = _day_reason(
                contacts, day, [on for at, on in tried if at < end], [on for at, on in spoken if at < end]
            )
            reason = reason or closed
            if not closed:
                found.append((start, end))
        day += _DAY
    return found, reason


def broken(
    at: datetime,
    contacts: Contacts,
    time_zone: str,
    attempts: Sequence[datetime] = (),
    conversations: Sequence[datetime] = (),
) -> tuple[str, ...]:
    """Return every rule that an attempt at an instant broke, after those attempts and conversations; none is empty.

    outside_hours, cap_reached and quiet_after_conversation, as `allowed` knows them.
    """
    zone = zone_for(contacts, time_zone)
    day = at.astimezone(zone).date()
    start, end = window(contacts, day, time_zone)
    tried = [(day - moment.astimezone(zone).date()).days for moment in attempts]
    spoken = [(day - moment.astimezone(zone).date()).days for moment in conversations]
    found = {
        "outside_hours": not start <= at < end,
        "cap_reached": _is_capped(contacts, tried, spoken),
        "quiet_after_conversation": any(days < contacts.quiet_days_after_conversation for days in spoken),
    }
    return tuple(rule for rule, is_broken in found.items() if is_broken)


def _day_reason(contacts: Contacts, day: date, tried: Sequence[date], spoken: Sequence[date]) -> str:
    if any((day - talk).days < contacts.quiet_days_after_conversation for talk in spoken):
        return "quiet_after_conversation"
    if _is_capped(contacts, [(day - attempt).days for attempt in tried], [(day - talk).days for talk in spoken]):
        return "cap_reached"
    return ""


def _is_capped(contacts: Contacts, tried: Sequence[int], spoken: Sequence[int]) -> bool:
    """Say whether either cap is reached, by how many local days ago each attempt and each conversation was."""
    if sum(days < contacts.cap_days for days in tried) >= contacts.cap:
        return True
    most = contacts.conversation_cap
    return bool(most) and sum(days < contacts.conversation_cap_days for days in spoken) >= most


def _reopens(
    now: datetime, contacts: Contacts, time_zone: str, tried: Sequence[date], spoken: Sequence[date]
) -> datetime | None:
    if contacts.cap == 0:
        return None
    zone, after = zone_for(contacts, time_zone), now
    while True:
        start, _ = next_window(after, contacts, time_zone)
        day = start.astimezone(zone).date()
        if not _day_reason(contacts, day, tried, spoken):
            return start
        after = max(_readings(day + _DAY, 0, zone))


def _refuse_empty(contacts: Contacts) -> None:
    if contacts.from_hour >= contacts.to_hour:
        raise ValueError(f"contact hours [{contacts.from_hour}, {contacts.to_hour}) are empty")


def _readings(day: date, hour: int, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the two instants that a local hour may mean; they differ only where the clock is put forward or back."""
    local = datetime.combine(day + _DAY if hour == 24 else day, time(hour % 24), zone)
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
