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


def reached(s: BorrowerState, event: ev.ContactNoted, judge_on: int) -> None:
    """Note a contact of any account of the borrower; a person has one telephone. judge_on: at that day's close."""
    noted = Reached(
        millis(event.occurred_at),
        event.attempt,
        event.conversation,
        event.account_id,
        event.attempt_id,
        event.jurisdiction,
        event.product,
        judge_on,
    )
    s.contacts = tuple(sorted((*s.contacts, noted), key=_order))
    s.judge_on = min(s.judge_on or judge_on, judge_on)


def _order(c: Reached) -> tuple[int, bool, bool, str, str]:
    """Return the order in which contacts count; of two in one instant, the same one first whichever came first."""
    return (c.at, c.attempt, c.conversation, c.account_id, c.attempt_id)


def forget(s: BorrowerState, today: date) -> None:
    """Drop contacts that no rule counts any more, or beyond the most that are kept."""
    since = millis(datetime.combine(today - REMEMBERED, time(), UTC))
    s.contacts = tuple(c for c in s.contacts if c.at >= since)[-MOST:]


def contact_of(grounds: Grounds, contacts: Sequence[Reached], after: datetime) -> ev.Contact:
    """Return when and how the borrower may be reached about an offer: first thing after it, in his own time zone.

    The policy's cap of attempts and its silence after a conversation count over all his accounts. A contact that
    was noted with a later instant than the offer's counts as well, since the offer comes after it; but not one of
    a later week: whose clock is wrong silences nobody for years.
    """
    rules = grounds.policy.contacts
    own = grounds.profile.text("time_zone")
    contacts = [c for c in contacts if c.at <= millis(after + AHEAD)]
    now = max(after, max((instant(c.at) for c in contacts), default=after))
    verdict = allowed(
        now,
        rules,
        own,
        [instant(c.at) for c in contacts if c.attempt],
        [instant(c.at) for c in contacts if c.conversation],
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


def instant(at: int) -> datetime:
    """Return the instant of milliseconds since the epoch."""
    return datetime.fromtimestamp(at / 1000, UTC)
