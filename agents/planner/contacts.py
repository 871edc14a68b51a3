"""Contacts: when and how a borrower or a party may be reached, and attempts that broke the rules.

The cap of attempts and the silence after a conversation are a person's: what counts are all attempts and conversations
with them, about whichever account, and the hours are those of their own time zone.

An offer is never rewritten. Where later contacts have closed its window, a `ContactRevised` follows at once: the first
window, from that of the offer on, that no contact closes. It follows from the offer, the contacts and the rules alone,
so whichever contact is received first, the last revision is the same.

An attempt is reviewed once, at its day's close, when the contacts of the day are known (`ContactBreached`). One that is
received later, and what it puts over the cap, is reviewed at the next close.

The account says whether a joint borrower or a guarantor may be asked at all (`agents.account.parties`). The last
`PartyContactChanged` follows from that, the contacts and the rules alone, in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from agents.base import DecisionContext, derived_id
from agents.planner.assessment import PERSONAL_HOLDS, Assessment, joint_policy, longest_overdue_first
from agents.planner.update import OFFER_FACT, BorrowerUpdate
from schemas import events as ev
from state.borrower import BorrowerState, ContactRecord, PartyCase
from state.contact_rules import (
    MOST_REMEMBERED,
    REMEMBERED_DAYS,
    allowed,
    broken,
    first_open,
    next_window,
    open_windows,
    zone_for,
)
from state.policy import Contacts, Policy, PolicyBook
from state.profile import granted_ids, merge, millis

# Nobody in distress is called or visited unasked.
INTRUSIVE = frozenset({"call", "visit"})

REMEMBERED = timedelta(days=REMEMBERED_DAYS)
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
    s.contacts = tuple(sorted((*s.contacts, noted), key=_contact_order))
    if noted.review_on:
        s.review_on = min(s.review_on or review_on, review_on)


def _contact_order(c: ContactRecord) -> tuple[int, bool, bool, str, str]:
    """Return the order in which contacts count; of two in one instant, the same one first whichever came first."""
    return (c.at, c.attempt, c.conversation, c.account_id, c.attempt_id)


def drop_old_contacts(s: BorrowerState, today: date) -> None:
    """Drop contacts that no rule counts any more, or beyond the most that are kept."""
    since = millis(datetime.combine(today - REMEMBERED, time(), UTC))
    s.contacts = tuple(c for c in s.contacts if c.at >= since)[-MOST_REMEMBERED:]


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
        time_zone=zone_for(rules, own).key,
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


def windows_digest(windows: Iterable[ev.ContactWindow]) -> int:
    """Return what tells windows from others: 0 for none, else 62 bits of their SHA-256."""
    text = ",".join(f"{millis(w.not_before)}-{millis(w.not_after)}" for w in windows)
    return hash_of(text) if text else 0


def hash_of(text: str) -> int:
    """Return 62 bits of the SHA-256 of a text."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") >> 2


def instant(at: int) -> datetime:
    """Return the instant of milliseconds since the epoch."""
    return datetime.fromtimestamp(at / 1000, UTC)


REVISED, BREACHED = "contact_revised:", "contact_breached:"
# What an attempt that has been judged may still turn out to have broken, when earlier contacts are heard of.
COUNTED = frozenset({"cap_reached", "quiet_after_conversation"})


def record_contact(update: BorrowerUpdate, event: ev.ContactRecorded, today: date, policies: PolicyBook) -> None:
    """Record a contact. today: the last date that is closed; contacts too old for any rule are dropped.

    policies: those of the open day, by which all are judged at once where more come than are kept.
    """
    if not event.attempt and not event.conversation:
        # A letter from the borrower: no rule counts it.
        return
    add_contact(update.s, event, update.today)
    if len(update.s.contacts) > MOST_REMEMBERED:
        # Before the oldest go, without which the others could not be counted.
        _review_contacts(update, update.s.contacts, policies)
    drop_old_contacts(update.s, today)


def revise_contact_window(update: BorrowerUpdate, context: DecisionContext) -> None:
    """Publish when the borrower may be contacted about an open offer, where that has changed since it was published."""
    s, offer = update.s, update.s.open_offer()
    if offer is None or not offer.contactable_from or not all(a in s.cases for a in offer.account_ids):
        return
    debts = longest_overdue_first(s.cases[a].debt for a in offer.account_ids)
    policy = joint_policy([context.policies.policy_for(d.jurisdiction, d.product, d.currency) for d in debts])
    rules, own = policy.contacts, own_zone(s, policy, update.today)
    known = attempts_and_conversations(s.contacts)
    found = first_open(instant(offer.contactable_from), rules, own, *known)
    window = (millis(found[0]), millis(found[1])) if found is not None else (0, 0)
    windows, closed = windows_from(instant(offer.contactable_from), date.fromordinal(offer.expires), rules, own, *known)
    if window == offer.contact_window and windows_digest(windows) == offer.windows:
        return
    made = context.get_fact(OFFER_FACT + offer.offer_id)
    assert isinstance(made, ev.OfferPublished)
    start, end, reason = found or (*next_window(instant(offer.contactable_from), rules, own), "cap_reached")
    s.offer = replace(offer, contact_window=window, windows=windows_digest(windows), revisions=offer.revisions + 1)
    revised = ev.ContactRevised(
        # Of contacts with several accounts any may be heard of first.
        **update.header(derived_id(offer.offer_id, "ContactRevised", offer.revisions + 1)),
        offer_id=offer.offer_id,
        contact=ev.Contact(
            not_before=start,
            not_after=end,
            channels=made.contact.channels if found is not None else (),
            time_zone=zone_for(rules, own).key,
            held_back=reason,
            windows=windows,
        ),
        reason=reason or closed or "outside_hours",
        number=offer.revisions + 1,
    )
    update.emit(revised, REVISED + revised.event_id)


def review_attempts(update: BorrowerUpdate, policies: PolicyBook) -> None:
    """Review the attempts of days that are closed now. policies: those of all days."""
    s = update.s
    if not s.review_on or s.review_on > update.today:
        return
    _review_contacts(update, [c for c in s.contacts if c.review_on <= update.today], policies)


def _review_contacts(update: BorrowerUpdate, contacts: Sequence[ContactRecord], policies: PolicyBook) -> None:
    """Review contacts that were not reviewed yet, and once more the attempts behind the first of them."""
    s = update.s
    first = min((c.at for c in contacts if c.review_on), default=None)
    judged: dict[ContactRecord, ContactRecord] = {}
    for number, c in enumerate(contacts):
        if first is None or c.at < first:
            continue
        rules = (
            _rules_broken(s, c, contacts[:number], policies) if c.attempt and c.attempt_id and not c.breached else None
        )
        if rules is not None and rules[0]:
            _report_breach(update, c, *rules)
        judged[c] = replace(c, review_on=0, breached=c.breached or bool(rules and rules[0]))
    s.contacts = tuple(judged.get(c, c) for c in s.contacts)
    s.review_on = min((c.review_on for c in s.contacts if c.review_on), default=0)


def _rules_broken(
    s: BorrowerState, c: ContactRecord, earlier: Sequence[ContactRecord], policies: PolicyBook
) -> tuple[tuple[str, ...], str, str]:
    """Return the rules that an attempt broke, the policy whose they are, and the time zone in which it was judged."""
    zone = ZoneInfo(policies.policy_for(c.jurisdiction, c.product).business_time_zone)
    day = instant(c.at).astimezone(zone).date().toordinal()
    policy = policies.in_force_on(day).policy_for(c.jurisdiction, c.product)
    own = own_zone(s, policy, day)
    found = broken(
        instant(c.at),
        policy.contacts,
        own,
        [instant(e.at) for e in earlier if e.attempt],
        [instant(e.at) for e in earlier if e.conversation],
    )
    if c.party and not (c.account_id in s.parties and s.parties[c.account_id].allowed_on(day)):
        found = (*found, "not_contactable")
    if not c.review_on:
        # Its hours were reviewed by what was known of their time zone when it was new.
        found = tuple(rule for rule in found if rule in COUNTED)
    return found, policy.version, zone_for(policy.contacts, own).key


def _report_breach(
    update: BorrowerUpdate, c: ContactRecord, rules: tuple[str, ...], policy: str, time_zone: str
) -> None:
    breached = ev.ContactBreached(
        # Once an attempt, at whichever close it is found.
        **update.header(derived_id(f"{c.account_id}/{c.attempt_id}", "ContactBreached", update.s.borrower_id)),
        account_id=c.account_id,
        attempt_id=c.attempt_id,
        attempted_at=instant(c.at),
        rules=rules,
        time_zone=time_zone,
        policy=policy,
    )
    update.emit(breached, BREACHED + breached.event_id)


def own_zone(s: BorrowerState, policy: Policy, day: int) -> str:
    """Return the time zone that is known of a borrower on a day (ordinal), empty where none is."""
    rules = policy.affordability
    granted = granted_ids(s.consents, rules.purposes, s.erased)
    known = merge((r for r in s.readings if r.field == "time_zone"), granted, rules, day, home_currency="", currency="")
    return known.text("time_zone")


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
    digest = hash_of("|".join((case.role, reason, *said)))
    if digest == case.told or (not case.number and reason):
        return
    s.parties = {**s.parties, account: replace(case, told=digest, number=case.number + 1)}
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
    zone = zone_for(rules, own).key
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
