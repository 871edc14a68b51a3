"""The facts of an account: who each is, from which day it counts, and what it does to the ledger.

The order of facts within a day is fixed by kind and natural id, never by arrival.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from msgspec.structs import replace

from agents import plausible
from agents.account_day import Day, Rules, note_attempt, receivable_of
from agents.plan_changes import review, settle_early
from agents.plan_life import activate
from schemas import events as ev
from schemas.errors import BadInput
from state.account import AccountFact, AccountState, Hold, Pending, Promise

NATURAL_ID: dict[type[ev.Event], tuple[str, Callable[..., str]]] = {
    ev.AccountOpened: ("account", lambda e: ""),
    ev.AccountClosed: ("closed", lambda e: ""),
    ev.InstalmentBilled: ("bill", lambda e: f"{e.number:09d}"),
    ev.PaymentReceived: ("payment", lambda e: e.payment_id),
    ev.PaymentReversed: ("reversal", lambda e: e.payment_id),
    ev.PaymentFailed: ("failure", lambda e: e.payment_id),
    ev.ContactAttempted: ("contact", lambda e: e.attempt_id),
    ev.PromiseMade: ("promise", lambda e: e.promise_id),
    ev.HoldPlaced: ("hold", lambda e: e.hold_id),
    ev.HoldReleased: ("release", lambda e: e.hold_id),
    ev.BadDebtReviewed: ("review", lambda e: e.review_id),
    ev.PlanActivated: ("plan", lambda e: e.plan_id),
    ev.PlanReviewRequested: ("plan_review", lambda e: f"{e.plan_id}/{e.requested_on}"),
}
RANK = {
    kind: rank
    for rank, kind in enumerate(
        (
            ev.AccountOpened,
            ev.InstalmentBilled,
            ev.HoldPlaced,
            ev.HoldReleased,
            ev.PlanActivated,
            ev.PlanReviewRequested,
            ev.PaymentReceived,
            ev.ContactAttempted,
            ev.PromiseMade,
            ev.BadDebtReviewed,
            ev.AccountClosed,
        )
    )
}


def fact_key(event: ev.Event) -> str:
    """Return the identity of a fact within its account, by its natural id."""
    kind, natural = NATURAL_ID[type(event)]
    return f"{kind}:{natural(event)}"


def _occurred(event: ev.Event, rules: Rules) -> date:
    return event.occurred_at.astimezone(rules.zone).date()


EFFECTIVE_DATE: dict[type[ev.Event], Callable[..., date]] = {
    ev.AccountOpened: lambda e, rules: e.opened_on,
    ev.InstalmentBilled: lambda e, rules: min(_occurred(e, rules), e.due_on),
    ev.AccountClosed: lambda e, rules: e.closed_on or _occurred(e, rules),
    ev.PaymentReceived: lambda e, rules: e.value_on,
    ev.ContactAttempted: _occurred,
    ev.PromiseMade: _occurred,
    ev.HoldPlaced: lambda e, rules: e.from_on,
    ev.HoldReleased: lambda e, rules: e.released_on,
    ev.BadDebtReviewed: _occurred,
    ev.PlanActivated: lambda e, rules: e.activated_on,
    ev.PlanReviewRequested: lambda e, rules: e.requested_on,
}


def effective_day(event: AccountFact, rules: Rules) -> int:
    """Return the business day from which a fact counts, as an ordinal.

    A statement counts from the day it was made, or its due date if that comes first. A fact without a
    date of its own counts from the day it occurred, in the time zone of the policy.
    """
    return EFFECTIVE_DATE[type(event)](event, rules).toordinal()


def pending_order(item: Pending) -> tuple[int, int, str]:
    """Return the order in which pending facts are folded."""
    return (item.day, RANK[type(item.fact)], fact_key(item.fact))


def _check_currency(event: ev.PaymentReceived | ev.PlanActivated, state: AccountState, rules: Rules) -> None:
    if event.currency != state.currency:
        raise BadInput(
            "wrong_currency",
            f"Account {state.account_id} is kept in {state.currency}, the {type(event).__name__} says "
            f"{event.currency}. Convert it upstream and send it with a new id.",
            "currency",
        )


def _check_hold(event: ev.HoldPlaced, state: AccountState, rules: Rules) -> None:
    if event.until_on is not None and event.until_on < event.from_on:
        raise BadInput(
            "out_of_range",
            f"Hold {event.hold_id} ends on {event.until_on}, before it starts on {event.from_on}. "
            "Send it with until_on on or after from_on.",
            "until_on",
        )


def _check_ground(event: ev.BadDebtReviewed, state: AccountState, rules: Rules) -> None:
    bad = rules.policy.bad_debt
    allowed = {"charge_off": bad.charge_off_grounds, "terminate": bad.termination_grounds}.get(event.decision, ())
    if allowed and event.ground not in allowed:
        raise BadInput(
            "unknown_ground",
            f"Ground {event.ground!r} of review {event.review_id} is none of policy {bad.policy}'s for "
            f"{event.decision}: {', '.join(allowed)}. Send the review with one of these.",
            "ground",
        )


def _check_payment(event: ev.PaymentReceived, state: AccountState, rules: Rules) -> None:
    _check_currency(event, state, rules)
    if event.amount > plausible.SMALL:
        waiting = (p.fact.amount for p in state.pending if isinstance(p.fact, ev.PaymentReceived))
        plausible.check_total(event, (event.amount, state.received, *waiting), "amount", plausible.MOST_RECEIVED)


def _check_bill(event: ev.InstalmentBilled, state: AccountState, rules: Rules) -> None:
    asked = event.principal + event.interest + event.fees
    if asked > plausible.SMALL:
        bills = (p.fact for p in state.pending if isinstance(p.fact, ev.InstalmentBilled))
        waiting = (bill.principal + bill.interest + bill.fees for bill in bills)
        plausible.check_total(event, (asked, state.owed().total(), *waiting), "principal")


def check_opening(event: ev.AccountOpened, rules: Rules, closed: int) -> None:
    """Raise BadInput where an account opens too far ahead of the last close (ordinal), or asks for too much."""
    plausible.check_ahead(event, event.opened_on.toordinal(), closed, rules.policy.most_days_ahead)
    plausible.check_total(event, (i.principal + i.interest + i.fees for i in event.instalments), "instalments")
    plausible.check_room(event, len(event.instalments))


def kept_of(s: AccountState) -> int:
    """Return how many things a state keeps whose number nothing else bounds."""
    return len(s.pending) + len(s.receivables) + len(s.holds) + len(s.releases) + len(s.promises) + len(s.reversals)


CHECKS: dict[type[ev.Event], Callable[..., None]] = {
    ev.PaymentReceived: _check_payment,
    ev.InstalmentBilled: _check_bill,
    ev.PlanActivated: _check_currency,
    ev.HoldPlaced: _check_hold,
    ev.BadDebtReviewed: _check_ground,
}


def check(event: ev.Event, state: AccountState, rules: Rules) -> None:
    """Raise BadInput where a fact does not fit its account or the policy."""
    rule = CHECKS.get(type(event))
    if rule is not None:
        rule(event, state, rules)


def _billed(d: Day, fact: ev.InstalmentBilled) -> None:
    d.s.billed += fact.principal
    bill = receivable_of(fact.number, fact.due_on, fact.principal, fact.interest, fact.fees, billed=True)
    d.add_receivables(bill)


def _paid(d: Day, fact: ev.PaymentReceived) -> None:
    s = d.s
    d.post_penalty()
    settle_early(d, fact.amount)
    d.allocate(fact.amount)
    s.received += fact.amount
    s.last_payment = d.day
    d.paid_today += fact.amount
    if s.promises:
        s.promises = tuple(replace(p, paid=p.paid + fact.amount) if d.day <= p.due else p for p in s.promises)


def _contacted(d: Day, fact: ev.ContactAttempted) -> None:
    failed = fact.outcome in d.policy.bad_debt.failed_outcomes
    if fact.direction == "outbound" and failed and d.in_arrears():
        note_attempt(d, fact.attempt_id)


def _promised(d: Day, fact: ev.PromiseMade) -> None:
    due = fact.due_on.toordinal()
    # Payments of a day are folded before its promises, and may be what was promised.
    promise = Promise(fact.promise_id, d.day, due, fact.amount, d.paid_today if d.day <= due else 0)
    d.s.promises = (*d.s.promises, promise)


def _held(d: Day, fact: ev.HoldPlaced) -> None:
    s = d.s
    end = fact.until_on.toordinal() if fact.until_on else 0
    released = s.releases.get(fact.hold_id)
    if released is not None:
        s.releases = {k: v for k, v in s.releases.items() if k != fact.hold_id}
        end = min(end, released - 1) if end else released - 1
    s.holds = (*s.holds, Hold(fact.hold_id, fact.kind, fact.from_on.toordinal(), end))


def _released(d: Day, fact: ev.HoldReleased) -> None:
    s = d.s
    last = fact.released_on.toordinal() - 1
    if all(h.hold_id != fact.hold_id for h in s.holds):
        s.releases = {**s.releases, fact.hold_id: last + 1}
        return
    s.holds = tuple(
        replace(h, end=min(h.end, last) if h.end else last) if h.hold_id == fact.hold_id else h for h in s.holds
    )


def _reviewed(d: Day, fact: ev.BadDebtReviewed) -> None:
    d.reviews.append(fact)


def _closed(d: Day, fact: ev.AccountClosed) -> None:
    d.s.closed = d.day


APPLY: dict[type[ev.Event], Callable[..., None]] = {
    ev.PlanActivated: activate,
    ev.PlanReviewRequested: review,
    ev.InstalmentBilled: _billed,
    ev.PaymentReceived: _paid,
    ev.ContactAttempted: _contacted,
    ev.PromiseMade: _promised,
    ev.HoldPlaced: _held,
    ev.HoldReleased: _released,
    ev.BadDebtReviewed: _reviewed,
    ev.AccountClosed: _closed,
}
