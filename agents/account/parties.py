"""Several people on one account: joint borrowers and guarantors, and which of them may be asked for its debt.

The account's borrower is the one to whom offers are made. A joint borrower owes the whole debt too; a guarantor answers
for it. Who may be contacted about it follows from the account (arrears, holds, plans), from their role, and from the
policy's section `parties`; when and how often, from what is known of each person (`agents.planner.contacts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from agents.account.day import DayFold, signal_header
from agents.account.rules import Rules
from agents.base import derived_id
from schemas import events as ev
from schemas.errors import InvalidEventError
from state.account import AccountState, Hold
from state.policy import Parties

JOINT: ev.PartyRole = "joint"
BUCKETS: tuple[ev.Bucket, ...] = get_args(ev.Bucket)


def check_parties(event: ev.Event, borrower_id: str, parties: Iterable[str]) -> None:
    """Raise InvalidEventError where the borrower is to be a party beside themselves, or somebody is one twice."""
    seen = {borrower_id}
    for party in parties:
        if party in seen:
            twice = "is the account's borrower" if party == borrower_id else "is named twice"
            raise InvalidEventError(
                "duplicate_party",
                f"{type(event).__name__} {event.event_id} has {party} as a party, who {twice}. Name the borrower in "
                "borrower_id alone, and everybody else once.",
                "parties" if hasattr(event, "parties") else "borrower_id",
            )
        seen.add(party)


def sort_parties(parties: Iterable[ev.Party]) -> tuple[ev.Party, ...]:
    """Return parties in the order in which a state has them."""
    return tuple(sorted(parties, key=lambda p: p.borrower_id))


def change_party(d: DayFold, fact: ev.PartyChanged) -> None:
    """Let somebody be a party from this day on, or no more."""
    s = d.s
    others = [p for p in s.parties if p.borrower_id != fact.borrower_id]
    if fact.role is not None:
        others.append(
            ev.Party(borrower_id=fact.borrower_id, role=fact.role, suretyship=fact.suretyship, enforced=fact.enforced)
        )
    s.parties = sort_parties(others)


def owes_debt(s: AccountState, person: str | None) -> bool:
    """Return whether a person owes the debt: the account's borrower, whom None stands for, or a joint borrower."""
    return person in (None, s.borrower_id) or person in joint_borrowers(s)


def joint_borrowers(s: AccountState) -> tuple[str, ...]:
    """Return those who owe the debt beside the borrower, in order."""
    return tuple(p.borrower_id for p in s.parties if p.role == JOINT)


def concerns_one(fact: ev.HoldPlaced, borrower_id: str, parties: Sequence[ev.Party], rules: Parties) -> bool:
    """Return whether a hold concerns the person alone whose it is. parties, rules: those of its first day."""
    if fact.borrower_id in (None, borrower_id):
        return False
    joint = any(p.borrower_id == fact.borrower_id and p.role == JOINT for p in parties)
    return not joint or fact.kind not in rules.holds_for_all


def release_party_hold(s: AccountState, hold_id: str, last: int) -> bool:
    """End a hold that concerns one person with a day (ordinal), and say whether there is one of this id."""
    found = any(h.hold_id == hold_id for _, h in s.party_holds)
    s.party_holds = tuple((who, h.shortened(last) if h.hold_id == hold_id else h) for who, h in s.party_holds)
    return found


def drop_ended_party_holds(s: AccountState, day: int) -> None:
    """Drop the holds of one person that ended before a day (ordinal)."""
    if s.party_holds:
        s.party_holds = tuple((who, h) for who, h in s.party_holds if h.end == 0 or h.end >= day)


def hold_of(fact: ev.HoldPlaced, lengths: Mapping[ev.HoldKind, int], released: int | None) -> Hold:
    """Return a hold as a state has it.

    lengths: days of a hold that comes without an end, by its kind, by the rules of its first day. released: the first
    day (ordinal) without it, None where it was not released.
    """
    start = fact.from_on.toordinal()
    days = 0 if fact.crisis else lengths.get(fact.kind, 0)
    end = fact.until_on.toordinal() if fact.until_on else start + days - 1 if days else 0
    hold = Hold(fact.hold_id, fact.kind, start, end)
    return hold if released is None else hold.shortened(released - 1)


def why_not_contacted(s: AccountState, party: ev.Party, rules: Parties, day: int) -> str:
    """Return why a party may not be contacted about the debt after the close of a day, empty where they may.

    An ordinary guarantor may refuse until the debt was enforced against the debtor without success (民法典 687, with
    686 where the contract does not say which kind it is; BGB § 771); nobody is asked while collection is stopped.
    """
    if s.closed_on or s.bad_debt == "terminated":
        return "closed" if s.closed_on else "terminated"
    if any(who == party.borrower_id and h.covers(day) for who, h in s.party_holds):
        return "hold"
    if s.collection_stopped:
        return "collection_stopped"
    if not s.overdue_since:
        return "not_in_arrears"
    if party.role == JOINT:
        return ""
    if rules.guarantors_from == "never":
        return "guarantors_not_contacted"
    if party.suretyship == "subsidiary" and not party.enforced:
        return "not_enforced"
    return "too_early" if BUCKETS.index(s.bucket) < BUCKETS.index(rules.guarantors_from) else ""


def party_signals(s: AccountState, rules: Rules, cause: ev.Event, identity: str, day: int) -> list[ev.Event]:
    """Return the planner's events about the parties after a day (ordinal), and note them in the state.

    identity: the natural identity of the cause.
    """
    if not s.parties and not s.last_party_signals:
        return []
    policy = rules.in_force_on(day).policy.parties
    now = {p.borrower_id: (p.role, why_not_contacted(s, p, policy, day)) for p in s.parties}
    signals: list[ev.Event] = []
    for person in sorted({*now, *s.last_party_signals}):
        role, reason = now.get(person, ("", "no_party"))
        word = f"{role}|{reason}"
        if s.last_party_signals.get(person) == word:
            continue
        s.last_party_signals = {**s.last_party_signals, person: word}
        header = signal_header(s, cause, derived_id(identity, "PartyNoted", s.account_id, person, day), day)
        header["borrower_id"] = person
        signals.append(
            ev.PartyNoted(
                **header,
                role=role,
                reason=reason,
                jurisdiction=s.jurisdiction,
                product=s.product,
                currency=s.currency,
            )
        )
    s.last_party_signals = {person: s.last_party_signals[person] for person in sorted(now)}
    return signals
