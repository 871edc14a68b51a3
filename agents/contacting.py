"""When and how a borrower may be reached about an offer, after all that others have tried already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from agents.grounds import Grounds
from schemas import events as ev
from state.borrower import BorrowerState, Reached
from state.contacts import allowed, next_window, zone_for
from state.profile import millis

# Nobody in distress is called or visited unasked.
INTRUSIVE = frozenset({"call", "visit"})

# How long and how many contacts are remembered, whatever a policy counts: its longest rule is of days, not months.
REMEMBERED = timedelta(days=31)
MOST = 200
AHEAD = timedelta(days=4)


def reached(s: BorrowerState, event: ev.ContactNoted, today: date) -> None:
    """Note a contact of any account of the borrower; a person has one telephone."""
    noted = Reached(millis(event.occurred_at), event.attempt, event.conversation)
    known = sorted((*s.contacts, noted), key=lambda c: (c.at, c.attempt, c.conversation))
    since = millis(datetime.combine(today - REMEMBERED, time(), UTC))
    s.contacts = tuple(c for c in known if c.at >= since)[-MOST:]


def contact_of(grounds: Grounds, contacts: Sequence[Reached], after: datetime) -> ev.Contact:
    """Return when and how the borrower may be reached about an offer: first thing after it, in his own time zone.

    The policy's cap of attempts and its silence after a conversation count over all his accounts. A contact that
    was noted with a later instant than the offer's counts as well, since the offer comes after it; but not one of
    a later week: whose clock is wrong silences nobody for years.
    """
    rules = grounds.policy.contacts
    own = grounds.profile.text("time_zone")
    contacts = [c for c in contacts if c.at <= millis(after + AHEAD)]
    now = max(after, max((_instant(c.at) for c in contacts), default=after))
    verdict = allowed(
        now,
        rules,
        own,
        [_instant(c.at) for c in contacts if c.attempt],
        [_instant(c.at) for c in contacts if c.conversation],
    )
    channels = rules.channels
    if grounds.supportive:
        channels = tuple(c for c in channels if c not in INTRUSIVE) or channels
    if verdict.not_before is None:
        channels = ()
    start, end = next_window(verdict.not_before or now, rules, own)
    held_back = "" if verdict.reason in ("allowed", "outside_hours") else verdict.reason
    return ev.Contact(
        not_before=start,
        not_after=end,
        channels=channels,
        time_zone=zone_for(rules, own).info.key,
        held_back=held_back,
    )


def _instant(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)
