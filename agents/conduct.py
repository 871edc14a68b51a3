"""Conduct: what contacts make of an open offer's window, and which attempts broke the contact rules.

An offer is an act and is never rewritten. Where contacts since have closed its window, another word follows it
(`ContactRevised`) at once: the first window, from that of the offer on, that no contact closes. It follows from the
offer, the contacts and the rules alone, so whichever contact is heard of first, the last word is the same.

An attempt is judged at its day's close, when the contacts of the day are known (`ContactBreached`), once. One that is
heard of later, and what it puts over the cap, is judged at the next close.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from agents.base import Environment, derived_id
from agents.contacting import MOST, forget, instant, reached
from agents.grounds import joint_policy, longest_first
from agents.offers import FACT, SOURCE, Desk
from schemas import events as ev
from state.borrower import BorrowerState, Reached
from state.contacts import broken, first_open, next_window, zone_for
from state.policy import Policy, PolicyBook
from state.profile import granted_ids, merge, millis

REVISED, BREACHED = "contact_revised:", "contact_breached:"
# What an attempt that has been judged may still turn out to have broken, when earlier contacts are heard of.
COUNTED = frozenset({"cap_reached", "quiet_after_conversation"})


def note(desk: Desk, event: ev.ContactNoted, today: date, policies: PolicyBook) -> None:
    """Take a contact. today: the last date that is closed; what lies so far before it that no rule counts it goes.

    policies: those of the open day, by which all are judged at once where more come than are kept.
    """
    reached(desk.s, event, desk.today)
    if len(desk.s.contacts) > MOST:
        # Before the oldest go, without which the others could not be counted.
        _judge(desk, desk.s.contacts, policies)
    forget(desk.s, today)


def revise(desk: Desk, env: Environment) -> None:
    """Say from when on the borrower may be reached about his open offer, where the last word on it is untrue now."""
    s, offer = desk.s, desk.s.open_offer()
    if offer is None or not offer.reach or not all(a in s.cases for a in offer.account_ids):
        return
    debts = longest_first(s.cases[a].debt for a in offer.account_ids)
    policy = joint_policy([env.policies.policy_for(d.jurisdiction, d.product) for d in debts])
    rules, own = policy.contacts, own_zone(s, policy, desk.today)
    attempts = [instant(c.at) for c in s.contacts if c.attempt]
    conversations = [instant(c.at) for c in s.contacts if c.conversation]
    found = first_open(instant(offer.reach), rules, own, attempts, conversations)
    window = (millis(found[0]), millis(found[1])) if found is not None else (0, 0)
    if window == offer.window:
        return
    made = env.recorded(FACT + offer.offer_id)
    assert isinstance(made, ev.OfferPublished)
    start, end, reason = found or (*next_window(instant(offer.reach), rules, own), "cap_reached")
    s.offer = replace(offer, window=window, revisions=offer.revisions + 1)
    revised = ev.ContactRevised(
        event_id=derived_id(desk.cause.event_id, "ContactRevised", s.borrower_id),
        occurred_at=desk.cause.occurred_at,
        source=SOURCE,
        offer_id=offer.offer_id,
        borrower_id=s.borrower_id,
        contact=ev.Contact(
            not_before=start,
            not_after=end,
            channels=made.contact.channels if found is not None else (),
            time_zone=zone_for(rules, own).info.key,
            held_back=reason,
        ),
        business_date=date.fromordinal(desk.today),
        caused_by=desk.cause.event_id,
        reason=reason or "outside_hours",
        number=offer.revisions + 1,
    )
    desk.outputs.append(revised)
    desk.facts.append((REVISED + revised.event_id, revised))


def judge(desk: Desk, policies: PolicyBook) -> None:
    """Judge the attempts of days that are closed now. policies: those of all days."""
    s = desk.s
    if not s.judge_on or s.judge_on > desk.today:
        return
    _judge(desk, [c for c in s.contacts if c.judge_on <= desk.today], policies)


def _judge(desk: Desk, contacts: Sequence[Reached], policies: PolicyBook) -> None:
    """Judge contacts that were not judged yet, and once more the attempts behind the first of them."""
    s = desk.s
    first = min((c.at for c in contacts if c.judge_on), default=None)
    judged: dict[Reached, Reached] = {}
    for number, c in enumerate(contacts):
        if first is None or c.at < first:
            continue
        rules = _broken(s, c, contacts[:number], policies) if c.attempt and c.attempt_id and not c.breached else None
        if rules is not None and rules[0]:
            _breach(desk, c, *rules)
        judged[c] = replace(c, judge_on=0, breached=c.breached or bool(rules and rules[0]))
    s.contacts = tuple(judged.get(c, c) for c in s.contacts)
    s.judge_on = min((c.judge_on for c in s.contacts if c.judge_on), default=0)


def _broken(
    s: BorrowerState, c: Reached, earlier: Sequence[Reached], policies: PolicyBook
) -> tuple[tuple[str, ...], str, str]:
    """Return the rules that an attempt broke, the policy whose they are, and the time zone in which it was judged."""
    zone = ZoneInfo(policies.policy_for(c.jurisdiction, c.product).business_time_zone)
    day = instant(c.at).astimezone(zone).date().toordinal()
    policy = policies.on(day).policy_for(c.jurisdiction, c.product)
    own = own_zone(s, policy, day)
    found = broken(
        instant(c.at),
        policy.contacts,
        own,
        [instant(e.at) for e in earlier if e.attempt],
        [instant(e.at) for e in earlier if e.conversation],
    )
    if not c.judge_on:
        # Its hours were judged by what was known of his time zone when it was new.
        found = tuple(rule for rule in found if rule in COUNTED)
    return found, policy.version, zone_for(policy.contacts, own).info.key


def _breach(desk: Desk, c: Reached, rules: tuple[str, ...], policy: str, time_zone: str) -> None:
    breached = ev.ContactBreached(
        # Once an attempt, at whichever close it is found.
        event_id=derived_id(f"{c.account_id}/{c.attempt_id}", "ContactBreached", desk.s.borrower_id),
        occurred_at=desk.cause.occurred_at,
        source=SOURCE,
        borrower_id=desk.s.borrower_id,
        account_id=c.account_id,
        attempt_id=c.attempt_id,
        attempted_at=instant(c.at),
        rules=rules,
        time_zone=time_zone,
        policy=policy,
        business_date=date.fromordinal(desk.today),
        caused_by=desk.cause.event_id,
    )
    desk.outputs.append(breached)
    desk.facts.append((BREACHED + breached.event_id, breached))


def own_zone(s: BorrowerState, policy: Policy, day: int) -> str:
    """Return the time zone that is known of a borrower on a day (ordinal), empty where none is."""
    rules = policy.affordability
    granted = granted_ids(s.consents, rules.purposes, s.erased)
    known = merge((r for r in s.readings if r.field == "time_zone"), granted, rules, day, home_currency="", currency="")
    return known.text("time_zone")
