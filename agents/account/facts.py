"""The facts of an account: the identity of each, the day from which it counts, and its effect on the ledger.

To add one, register it at the end of this file. The order of facts within a day never depends on their arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from agents import input_limits
from agents.account.arrangements import begin_plan, check_arrangement
from agents.account.closure import close_account, reopen_account
from agents.account.day import DayFold, note_attempt
from agents.account.parties import change_party, check_parties, concerns_one, hold_of, owes_debt, release_party_hold
from agents.account.plan_lifecycle import request_review
from agents.account.postings import (
    adjust_instalment,
    bill_instalment,
    post_payment,
    report_failed_payment,
    revise_schedule,
)
from agents.account.rules import Rules
from agents.base import EPOCH, day_identity
from agents.contradictions import digest_of
from schemas import events as ev
from schemas.errors import InvalidEventError
from schemas.topics import key_of
from state.account import AccountFact, AccountState, Pending, Promise, entries_beside_waiting

F = TypeVar("F", bound=ev.Event)
OfAccount = AccountState | ev.AccountOpened | ev.OpeningPosition


@dataclass(frozen=True, slots=True)
class FactType(Generic[F]):
    """All that the account agent knows of one type of fact; `_register` has one call for each.

    rank: facts of one day are folded in this order. prefix, natural_id: of its key within the account. own_date: the
    date from which it counts, if it has one. effective_date: the date from which it counts in any case. check: raises
    InvalidEventError where it does not fit the account or the policy. apply: its effect on the day from which it
    counts. before_accrual: it is applied before the interest of that day accrues.
    """

    rank: int
    prefix: str
    natural_id: Callable[[F], str]
    own_date: Callable[[F], date | None]
    effective_date: Callable[[F, Rules], date]
    check: Callable[[F, AccountState, Rules], None]
    apply: Callable[[DayFold, F], None]
    before_accrual: bool


FACTS: dict[type[ev.Event], FactType[Any]] = {}


def fact_key(event: ev.Event) -> str:
    """Return the identity of a fact within its account, by its natural id."""
    fact = FACTS[type(event)]
    return f"{fact.prefix}:{fact.natural_id(event)}"


def revision_key(statement: ev.InstalmentBilled) -> str:
    """Return the key under which a revision of a statement is kept that a higher one took the place of."""
    return f"{fact_key(statement)}/{statement.revision}"


def identity_of(cause: ev.Event) -> str:
    """Return the natural identity of what changes an account, from which the ids of what it causes derive.

    A fact's has a digest of what it says and when: of contradicting statements under one natural id, each may become a
    cause, and an earlier repetition of the first one once more.
    """
    if isinstance(cause, ev.DayClosed):
        return day_identity(cause)
    return f"{key_of(cause)}/{fact_key(cause)}/{digest_of(_said(cause))}"


def content_of(event: ev.Event) -> ev.Event:
    """Return what an input says; its own date counts where its day is taken from when it occurred."""
    plain = _said(event)
    return plain if FACTS[type(event)].own_date(event) is None else replace(plain, occurred_at=EPOCH)


def _said(event: ev.Event) -> ev.Event:
    plain = replace(event, event_id="", source="")
    return replace(plain, caused_by="") if isinstance(plain, ev.PlanActivated) else plain


def _occurred(event: ev.Event, rules: Rules) -> date:
    return event.occurred_at.astimezone(rules.zone).date()


def billed_from(forms: Sequence[ev.InstalmentBilled], rules: Rules) -> date:
    """Return the day from which a statement counts, by all its revisions that came.

    A correction changes what was asked for, not since when: it counts from the day of the statement that it corrects.
    Where that did not come, it may not appear after its due date.
    """
    counts = max(forms, key=lambda e: e.revision)
    if counts.billed_on is not None:
        return counts.billed_on
    days = [e.billed_on or _occurred(e, rules) for e in forms]
    return min(days) if any(not e.revision for e in forms) else min(*days, counts.due_on)


def effective_day(event: AccountFact, rules: Rules) -> int:
    """Return the business day from which a fact counts, as an ordinal.

    A fact without a date of its own counts from the day it occurred, in the time zone of the policy.
    """
    return FACTS[type(event)].effective_date(event, rules).toordinal()


def pending_order(item: Pending) -> tuple[int, int, str]:
    """Return the order in which pending facts are folded: within a kind by natural id, promises as they were made."""
    made = f"{item.fact.occurred_at:%Y-%m-%dT%H:%M:%S.%f} " if isinstance(item.fact, ev.PromiseMade) else ""
    return (item.day, FACTS[type(item.fact)].rank, made + fact_key(item.fact))


def _check_currency(event: ev.PaymentReceived | ev.PlanActivated, state: OfAccount, rules: Rules) -> None:
    if event.currency != state.currency:
        raise InvalidEventError(
            "wrong_currency",
            f"Account {state.account_id} is kept in {state.currency}, the {type(event).__name__} says "
            f"{event.currency}. Convert it upstream and send it with a new id.",
            "currency",
        )


def _check_plan(event: ev.PlanActivated, state: AccountState, rules: Rules) -> None:
    _check_currency(event, state, rules)
    check_arrangement(event)


def _check_hold(event: ev.HoldPlaced, state: AccountState, rules: Rules) -> None:
    if event.until_on is not None and event.until_on < event.from_on:
        raise InvalidEventError(
            "out_of_range",
            f"Hold {event.hold_id} ends on {event.until_on}, before it starts on {event.from_on}. "
            "Send it with until_on on or after from_on.",
            "until_on",
        )


def _check_ground(event: ev.BadDebtReviewed, state: OfAccount, rules: Rules) -> None:
    # By the rules of its own day, whenever it comes.
    bad = rules.in_force_on(effective_day(event, rules)).policy.bad_debt
    allowed = {"charge_off": bad.charge_off_grounds, "terminate": bad.termination_grounds}.get(event.decision, ())
    if allowed and event.ground not in allowed:
        raise InvalidEventError(
            "unknown_ground",
            f"Ground {event.ground!r} of review {event.review_id} is none of policy {bad.policy}'s for "
            f"{event.decision}: {', '.join(allowed)}. Send the review with one of these.",
            "ground",
        )


def _check_payment(event: ev.PaymentReceived, state: AccountState, rules: Rules) -> None:
    _check_currency(event, state, rules)
    if event.amount > input_limits.NEGLIGIBLE_AMOUNT:
        waiting = (p.fact.amount for p in state.pending if isinstance(p.fact, ev.PaymentReceived))
        input_limits.check_total(event, (event.amount, state.received, *waiting), "amount", input_limits.MAX_RECEIVED)


def _check_bill(event: ev.InstalmentBilled, state: AccountState, rules: Rules) -> None:
    asked = event.principal + event.interest + event.fees
    if asked > input_limits.NEGLIGIBLE_AMOUNT:
        bills = (p.fact for p in state.pending if isinstance(p.fact, ev.InstalmentBilled))
        waiting = (b.principal + b.interest + b.fees for b in bills)
        input_limits.check_total(event, (asked, state.owed().total(), *waiting), "principal")


def entries_stored(s: AccountState) -> int:
    """Return how many things a state keeps whose number nothing else bounds."""
    return len(s.pending) + entries_beside_waiting(s)


def _check_party(event: ev.PartyChanged, state: OfAccount, rules: Rules) -> None:
    check_parties(event, state.borrower_id, (event.borrower_id,))


# What depends on how the account was opened, and is checked again where another opening comes to stand.
_BY_OPENING: dict[type[ev.Event], Callable[[Any, OfAccount, Rules], None]] = {
    ev.PaymentReceived: _check_currency,
    ev.PlanActivated: _check_currency,
    ev.BadDebtReviewed: _check_ground,
    ev.PartyChanged: _check_party,
}


def misfit(event: ev.Event, opening: OfAccount, rules: Rules) -> InvalidEventError | None:
    """Return why a fact does not fit the opening of its account, None where it does. rules: those of all days."""
    check = _BY_OPENING.get(type(event))
    try:
        if check is not None:
            check(event, opening, rules)
    except InvalidEventError as error:
        return error
    return None


def check_fact(event: ev.Event, state: AccountState, rules: Rules) -> None:
    """Raise InvalidEventError where a fact does not fit its account or the policy. rules: those of all days."""
    FACTS[type(event)].check(event, state, rules)


def _count_attempt(d: DayFold, fact: ev.ContactAttempted) -> None:
    failed = fact.outcome in d.policy.bad_debt.failed_outcomes
    if fact.direction == "outbound" and failed and owes_debt(d.s, fact.borrower_id) and d.in_arrears():
        note_attempt(d, fact.attempt_id)


def _note_promise(d: DayFold, fact: ev.PromiseMade) -> None:
    s = d.s
    if s.closed_on:
        d.not_applied(fact, fact.promise_id, "account_closed", "The account is closed.")
        return
    if fact.replaces is not None:
        others = tuple(p for p in s.promises if p.promise_id != fact.replaces)
        if len(others) == len(s.promises):
            reason = f"Promise {fact.replaces}, which it moves, is not open. The new one counts on its own."
            d.not_applied(fact, fact.promise_id, "unknown_promise", reason)
        s.promises = others
    s.promises = (*s.promises, Promise(fact.promise_id, d.day, fact.due_on.toordinal(), fact.amount))


def _place_hold(d: DayFold, fact: ev.HoldPlaced) -> None:
    s = d.s
    released = s.releases.get(fact.hold_id)
    if released is not None:
        s.releases = {k: v for k, v in s.releases.items() if k != fact.hold_id}
    hold = hold_of(fact, d.policy.delinquency.hold_days, released)
    if fact.borrower_id is not None and concerns_one(fact, s.borrower_id, s.parties, d.policy.parties):
        s.party_holds = (*s.party_holds, (fact.borrower_id, hold))
    else:
        s.holds = (*s.holds, hold)


def _release_hold(d: DayFold, fact: ev.HoldReleased) -> None:
    s = d.s
    last = fact.released_on.toordinal() - 1
    if release_party_hold(s, fact.hold_id, last):
        return
    if all(h.hold_id != fact.hold_id for h in s.holds):
        s.releases = {**s.releases, fact.hold_id: last + 1}
        return
    s.holds = tuple(h.shortened(last) if h.hold_id == fact.hold_id else h for h in s.holds)


def _note_review(d: DayFold, fact: ev.BadDebtReviewed) -> None:
    d.reviews.append(fact)


def _fits(event: ev.Event, state: AccountState, rules: Rules) -> None:
    """Accept a fact as it is."""


def _not_folded(d: DayFold, fact: ev.Event) -> None:
    raise AssertionError(f"{type(fact).__name__} waits for no day")


def _register(
    kind: type[F],
    prefix: str,
    natural_id: str | Callable[[F], str],
    own_date: str | None,
    *,
    apply: Callable[[DayFold, F], None],
    check: Callable[[F, AccountState, Rules], None] = _fits,
    effective_date: Callable[[F, Rules], date] | None = None,
    before_accrual: bool = False,
) -> None:
    """Add a type of fact to FACTS; its natural id and its own date may be given as the names of its fields."""
    named = [name for name in (natural_id, own_date) if isinstance(name, str)]
    if unknown := set(named).difference(kind.__struct_fields__):
        raise AttributeError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}")
    id_of = attrgetter(natural_id) if isinstance(natural_id, str) else natural_id
    date_of: Callable[[F], date | None] = attrgetter(own_date) if own_date else lambda event: None

    def stated_or_occurred(event: F, rules: Rules) -> date:
        return date_of(event) or _occurred(event, rules)

    dated = effective_date or stated_or_occurred
    FACTS[kind] = FactType(len(FACTS), prefix, id_of, date_of, dated, check, apply, before_accrual)


# In the order in which facts of one day are folded. Whose a hold is depends on who is a party, and a hold pauses the
# interest of the very day on which it starts: these count before the day's interest accrues.
_register(ev.AccountOpened, "account", lambda e: "", "opened_on", apply=_not_folded)
_register(ev.OpeningPosition, "position", lambda e: "", "as_of", apply=_not_folded)
_register(
    ev.PartyChanged,
    "party",
    lambda e: f"{e.borrower_id}/{e.from_on}",
    "from_on",
    apply=change_party,
    check=_check_party,
    before_accrual=True,
)
_register(ev.AccountReopened, "reopened", lambda e: f"{e.reopened_on}", "reopened_on", apply=reopen_account)
_register(ev.ScheduleRevised, "schedule", lambda e: f"{e.revision:09d}", "effective_on", apply=revise_schedule)
_register(
    ev.InstalmentBilled,
    "bill",
    lambda e: f"{e.number:09d}",
    "billed_on",
    apply=bill_instalment,
    check=_check_bill,
    effective_date=lambda e, rules: billed_from((e,), rules),
)
_register(ev.InstalmentAdjusted, "adjustment", "adjustment_id", "effective_on", apply=adjust_instalment)
_register(ev.AdjustmentReversed, "adjustment_reversal", "adjustment_id", "reversed_on", apply=_not_folded)
_register(ev.HoldPlaced, "hold", "hold_id", "from_on", apply=_place_hold, check=_check_hold, before_accrual=True)
_register(ev.HoldReleased, "release", "hold_id", "released_on", apply=_release_hold, before_accrual=True)
_register(ev.PlanActivated, "plan", "plan_id", "activated_on", apply=begin_plan, check=_check_plan)
_register(
    ev.PlanReviewRequested,
    "plan_review",
    lambda e: f"{e.plan_id}/{e.requested_on}",
    None,
    apply=request_review,
    effective_date=lambda e, rules: e.requested_on,
)
_register(ev.PaymentReceived, "payment", "payment_id", "value_on", apply=post_payment, check=_check_payment)
_register(
    ev.PaymentReversed,
    "reversal",
    lambda e: f"{e.payment_id}/{e.reversal_id}" if e.reversal_id else e.payment_id,
    "reversed_on",
    apply=_not_folded,
)
_register(ev.PaymentFailed, "failure", "payment_id", "failed_on", apply=report_failed_payment)
_register(ev.ContactAttempted, "contact", "attempt_id", None, apply=_count_attempt)
_register(ev.PromiseMade, "promise", "promise_id", None, apply=_note_promise)
_register(ev.BadDebtReviewed, "review", "review_id", None, apply=_note_review, check=_check_ground)
_register(
    ev.AccountClosed, "closed", lambda e: f"{e.closed_on or e.occurred_at.date()}", "closed_on", apply=close_account
)
