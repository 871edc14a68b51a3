"""When and how a borrower may be contacted about an offer, after all earlier attempts and conversations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256

from agents.planner.assessment import Assessment
from schemas import events as ev
from state.borrower import BorrowerState, ContactRecord
from state.contact_rules import MOST_REMEMBERED, REMEMBERED_DAYS, allowed, next_window, open_windows, zone_for
from state.policy import Contacts
from state.profile import millis

# Nobody in distress is called or visited unasked.
INTRUSIVE = frozenset({"call", "visit"})

REMEMBERED = timedelta(days=REMEMBERED_DAYS)
MOST = MOST_REMEMBERED
AHEAD = timedelta(days=4)


def add_contact(s: BorrowerState, event: ev.ContactRecorded, review_on: int) -> None:
    """Note a contact of any account of the borrower; a person has one telephone. review_on: at that day's close."""
    noted = ContactRecord(
        millis(event.occurred_at),
        event.attempt,
        event.conversation,
        event.account_id,
        event.attempt_id,
        event.jurisdiction,
        event.product,
        0 if event.past else review_on,
        event.past,
        event.party,
    )
    s.contacts = tuple(sorted((*s.contacts, noted), key=_order))
    if noted.review_on:
        s.review_on = min(s.review_on or review_on, review_on)


def _order(c: ContactRecord) -> tuple[int, bool, bool, str, str]:
    """Return the order in which contacts count; of two in one instant, the same one first whichever came first."""
    return (c.at, c.attempt, c.conversation, c.account_id, c.attempt_id)


def drop_old_contacts(s: BorrowerState, today: date) -> None:
    """Drop contacts that no rule counts any more, or beyond the most that are kept."""
    since = millis(datetime.combine(today - REMEMBERED, time(), UTC))
    s.contacts = tuple(c for c in s.contacts if c.at >= since)[-MOST:]


def contact_of(assessment: Assessment, contacts: Sequence[ContactRecord], after: datetime, through: date) -> ev.Contact:
    """Return when and how the borrower may be reached about an offer, in their own time zone.

    through: the last local day on which the offer is open; there is a window on each day until then that no contact
    closes, as far as contacts are known.

    The policy's cap of attempts and its silence after a conversation count over all their accounts. A contact that
    was noted with a later instant than the offer's counts as well, since the offer comes after it; but not one of
    a later week: whose clock is wrong silences nobody for years.
    """
    rules = assessment.policy.contacts
    own = assessment.profile.text("time_zone")
    known = attempts_and_conversations(contacts)
    contacts = [c for c in contacts if c.at <= millis(after + AHEAD)]
    now = max(after, max((instant(c.at) for c in contacts), default=after))
    verdict = allowed(now, rules, own, *attempts_and_conversations(contacts))
    channels = rules.channels
    if assessment.supportive:
        channels = tuple(c for c in channels if c not in INTRUSIVE) or channels
    if verdict.not_before is None:
        channels = ()
    start, end = next_window(verdict.not_before or now, rules, own)
    windows, _ = windows_from(start, through, rules, own, *known) if channels else ((), "")
    held_back = "" if verdict.reason in ("allowed", "outside_hours") else verdict.reason
    return ev.Contact(
        not_before=start,
        not_after=end,
        channels=channels,
        time_zone=zone_for(rules, own).info.key,
        held_back=held_back,
        windows=windows,
    )


def attempts_and_conversations(contacts: Iterable[ContactRecord]) -> tuple[list[datetime], list[datetime]]:
    """Return the instants of attempts and of conversations."""
    known = tuple(contacts)
    return [instant(c.at) for c in known if c.attempt], [instant(c.at) for c in known if c.conversation]


def windows_from(
    start: datetime,
    through: date,
    rules: Contacts,
    own: str,
    attempts: Sequence[datetime],
    conversations: Sequence[datetime],
) -> tuple[tuple[ev.ContactWindow, ...], str]:
    """Return the windows from an instant through a local day that no contact closes, as `open_windows` does."""
    found, reason = open_windows(start, through, rules, own, attempts, conversations)
    return tuple(ev.ContactWindow(not_before=begins, not_after=ends) for begins, ends in found), reason


def digest_of(windows: Iterable[ev.ContactWindow]) -> int:
    """Return what tells windows from others: 0 for none, else 62 bits of their SHA-256."""
    text = ",".join(f"{millis(w.not_before)}-{millis(w.not_after)}" for w in windows)
    return hash_of(text) if text else 0


def hash_of(text: str) -> int:
    """Return 62 bits of the SHA-256 of a text."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") >> 2


def instant(at: int) -> datetime:
    """Return the instant of milliseconds since the epoch."""
    return datetime.fromtimestamp(at / 1000, UTC)
