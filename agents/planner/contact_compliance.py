"""Contact compliance: the contact window of an open offer, and attempts that broke the contact rules.

An offer is never rewritten. Where later contacts have closed its window, a `ContactRevised` follows at once: the first
window, from that of the offer on, that no contact closes. It follows from the offer, the contacts and the rules alone,
so whichever contact is received first, the last revision is the same.

An attempt is reviewed once, at its day's close, when the contacts of the day are known (`ContactBreached`). One that is
received later, and what it puts over the cap, is reviewed at the next close.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from agents.base import DecisionContext, derived_id
from agents.planner.assessment import joint_policy, longest_overdue_first
from agents.planner.contact_windows import (
    MOST,
    add_contact,
    attempts_and_conversations,
    digest_of,
    drop_old_contacts,
    instant,
    windows_from,
)
from agents.planner.update import OFFER_FACT, BorrowerUpdate
from schemas import events as ev
from state.borrower import BorrowerState, ContactRecord
from state.contact_rules import broken, first_open, next_window, zone_for
from state.policy import Policy, PolicyBook
from state.profile import granted_ids, merge, millis

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
    if len(update.s.contacts) > MOST:
        # Before the oldest go, without which the others could not be counted.
        _review(update, update.s.contacts, policies)
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
    if window == offer.contact_window and digest_of(windows) == offer.windows:
        return
    made = context.get_fact(OFFER_FACT + offer.offer_id)
    assert isinstance(made, ev.OfferPublished)
    start, end, reason = found or (*next_window(instant(offer.contactable_from), rules, own), "cap_reached")
    s.offer = replace(offer, contact_window=window, windows=digest_of(windows), revisions=offer.revisions + 1)
    revised = ev.ContactRevised(
        # Of contacts with several accounts any may be heard of first.
        **update.header(derived_id(offer.offer_id, "ContactRevised", offer.revisions + 1)),
        offer_id=offer.offer_id,
        contact=ev.Contact(
            not_before=start,
            not_after=end,
            channels=made.contact.channels if found is not None else (),
            time_zone=zone_for(rules, own).info.key,
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
    _review(update, [c for c in s.contacts if c.review_on <= update.today], policies)


def _review(update: BorrowerUpdate, contacts: Sequence[ContactRecord], policies: PolicyBook) -> None:
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
    return found, policy.version, zone_for(policy.contacts, own).info.key


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
