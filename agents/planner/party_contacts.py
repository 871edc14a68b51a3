"""Contact with joint borrowers and guarantors: whether and when each may be reached about an account of another's.

Limits are a person's: what counts are all attempts and conversations with them, about whichever account, and the hours
are those of their own time zone. The account says whether they may be asked at all (`agents.account.parties`). The last
word on it (`PartyContactChanged`) follows from that, the contacts and the rules alone, in whatever order they came.
"""

from __future__ import annotations

from datetime import date

from msgspec.structs import replace

from agents.base import derived_id
from agents.planner.assessment import PERSONAL_HOLDS
from agents.planner.contact_compliance import own_zone
from agents.planner.contact_windows import (
    INTRUSIVE,
    REMEMBERED,
    attempts_and_conversations,
    hash_of,
    instant,
    windows_from,
)
from agents.planner.update import BorrowerUpdate
from schemas import events as ev
from state.borrower import BorrowerState, PartyCase
from state.contact_rules import first_open, next_window, zone_for
from state.policy import Policy, PolicyBook
from state.profile import millis

PARTY_FACT = "party_contact:"


def note_party(update: BorrowerUpdate, event: ev.PartyNoted, policy: Policy) -> None:
    """Take down what the person is to an account. policy: by which the first windows are as many as an offer's days."""
    s, day = update.s, event.business_date.toordinal()
    before = s.parties.get(event.account_id)
    if before is not None and day < before.day:
        return
    may = not event.reason
    case = before or PartyCase("", "no_party", day, event.jurisdiction, event.product, event.currency)
    spans = case.spans
    if not spans or spans[-1][1] != may:
        # As much of the past as the contacts that are remembered reach back.
        kept = [n for n, (since, _) in enumerate(spans) if since >= day - REMEMBERED.days]
        spans = (*spans[max(0, (kept[0] if kept else len(spans)) - 1) :], (day, may))
    if may and case.reason:
        case = replace(case, contactable_from=millis(event.occurred_at), until=day + policy.offers.open_days)
    s.parties = {
        **s.parties,
        event.account_id: replace(case, role=event.role, reason=event.reason, day=day, spans=spans),
    }


def ends_on(s: BorrowerState) -> int:
    """Return the day (ordinal) at whose close windows that were said run out, 0 where none do."""
    return min((c.until for c in s.parties.values() if not c.reason), default=0)


def renew(update: BorrowerUpdate, policies: PolicyBook) -> None:
    """Say further windows at the close of a day on which some have run out."""
    s = update.s
    due = [name for name, c in s.parties.items() if not c.reason and c.until <= update.today]
    for name in due:
        case = s.parties[name]
        open_days = policies.policy_for(case.jurisdiction, case.product, case.currency).offers.open_days
        until = update.today + max(1, open_days)
        s.parties = {**s.parties, name: replace(case, contactable_from=millis(update.cause.occurred_at), until=until)}
    if due:
        tell_parties(update, policies)


def tell_parties(update: BorrowerUpdate, policies: PolicyBook) -> None:
    """Say whether and when the person may be reached about each account, where the last word on it is untrue now."""
    for name in sorted(update.s.parties):
        _tell(update, name, policies)


def _tell(update: BorrowerUpdate, account: str, policies: PolicyBook) -> None:
    s, case = update.s, update.s.parties[account]
    policy = policies.policy_for(case.jurisdiction, case.product, case.currency)
    reason = case.reason
    if not reason and any(PERSONAL_HOLDS & set(c.debt.holds) for c in s.cases.values()):
        reason = "hold"
    contact = _contact(s, case, policy, update.today, allowed=not reason)
    said = [*contact.channels, *(f"{millis(w.not_before)}-{millis(w.not_after)}" for w in contact.windows)]
    told = hash_of("|".join((case.role, reason, *said)))
    if told == case.told or (not case.number and reason):
        return
    s.parties = {**s.parties, account: replace(case, told=told, number=case.number + 1)}
    changed = ev.PartyContactChanged(
        **update.header(derived_id(f"{s.borrower_id}/{account}", "PartyContactChanged", case.number + 1)),
        account_id=account,
        role=case.role,
        contact=contact,
        reason=reason,
        number=case.number + 1,
    )
    update.emit(changed, PARTY_FACT + changed.event_id)


def _contact(s: BorrowerState, case: PartyCase, policy: Policy, today: int, *, allowed: bool) -> ev.Contact:
    rules, own = policy.contacts, own_zone(s, policy, today)
    zone = zone_for(rules, own).info.key
    after = instant(case.contactable_from)
    known = attempts_and_conversations(s.contacts)
    found = first_open(after, rules, own, *known) if allowed else None
    if found is None:
        start, end = next_window(after, rules, own)
        return ev.Contact(not_before=start, not_after=end, channels=(), time_zone=zone)
    distressed = s.distressed or any("vulnerability" in c.debt.holds for c in s.cases.values())
    channels = tuple(c for c in rules.channels if c not in INTRUSIVE) if distressed else rules.channels
    windows, _ = windows_from(after, date.fromordinal(case.until), rules, own, *known)
    return ev.Contact(
        not_before=found[0],
        not_after=found[1],
        channels=channels or rules.channels,
        time_zone=zone,
        held_back=found[2],
        windows=windows,
    )
