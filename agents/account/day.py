"""One day of one account: the facts that count from it, folded into the state, and the events that it emits.

A day is folded once all facts of it are known as far as they have come; a late one folds the
account anew. Days on which nothing can change are not visited: `agents.account.next_close` names the next that matters.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from datetime import date

from msgspec.structs import replace

from agents.account.rules import Rules
from agents.base import EPOCH, EventHeader
from schemas import events as ev
from state.account import AccountState, Paid, Receivable
from state.delinquency import Span, measure, paused_days, pauses
from state.ledger import (
    ACCRUAL_UNIT,
    allocate,
    half_up,
    owed_on,
    penalty_base,
    penalty_rate,
    room_for_charges,
    tolerance,
)

SOURCE = "reprieve.account"
EVIDENCE_KEPT = 50


class AccountHeader(EventHeader):
    """The fields that all events of an account have in common."""

    account_id: str


class SignalHeader(AccountHeader):
    """The fields that events of an account for the planner have in common."""

    borrower_id: str


class DayFold:
    """The fold of one day: the state under change, the rules, and the events that it emits.

    history: the rules of all days, of which `rules` are those of this one. closing: the fact that closes the account at
    the end of the day. reopening: the fact that reopens it though it was open that morning, so that takes back a
    closing of the same day. restored: it was closed before. revived: the end that is undone had terminated its debt.
    renamed: by classification, the class as it was called before other rules took over, where they call it otherwise.
    """

    __slots__ = (
        "closing",
        "day",
        "emitted",
        "history",
        "paid_today",
        "policy",
        "renamed",
        "reopening",
        "restored",
        "reviews",
        "revived",
        "rules",
        "s",
    )

    def __init__(self, state: AccountState, history: Rules, day: int) -> None:
        self.s = state
        self.history = history
        self.rules = history.in_force_on(day)
        self.policy = self.rules.policy
        self.day = day
        self.emitted: list[ev.AnyEvent] = []
        self.reviews: list[ev.BadDebtReviewed] = []
        self.closing: ev.AccountClosed | None = None
        self.reopening: ev.AccountReopened | None = None
        self.restored = self.revived = False
        self.renamed: dict[str, str] = {}
        self.paid_today = 0

    @property
    def header(self) -> AccountHeader:
        """Return what every event of this day has; `agents.account.corrections` fills in ids, cause and time."""
        return {
            "event_id": "",
            "occurred_at": EPOCH,
            "source": SOURCE,
            "account_id": self.s.account_id,
            "business_date": date.fromordinal(self.day),
            "caused_by": "",
        }

    def emit(self, event: ev.AnyEvent) -> None:
        """Publish an event of this day, unless it stands already."""
        self.emitted.append(event)

    def not_applied(self, fact: ev.Event, fact_id: str, code: str, reason: str) -> None:
        """Answer a fact that has no effect; `code` is one of docs/rules.md."""
        self.emit(
            ev.InputNotApplied(**self.header, fact_type=type(fact).__name__, fact_id=fact_id, code=code, reason=reason)
        )

    def paused(self) -> tuple[Span, ...]:
        """Return the days that holds pause, each by the rules of that day."""
        return pauses(self.s.holds, self.history.pausing) if self.s.holds else ()

    def performing(self) -> bool:
        """Return whether the performing waterfall applies: until the account is credit-impaired."""
        return self.s.ifrs9_stage < 3

    def in_arrears(self) -> bool:
        """Return whether anything above tolerance was due before this day and is unpaid."""
        rules = self.policy.delinquency
        for r in () if self.s.closed_on else self.s.receivables:
            if max(r.due, self.s.payments_deferred_to) >= self.day:
                return False
            if r.unpaid() > tolerance(rules, r.amount_due):
                return True
        return False

    def active_holds(self) -> tuple[ev.HoldKind, ...]:
        """Return the kinds of hold in force on this day."""
        return tuple(sorted({h.kind for h in self.s.holds if h.covers(self.day)}))

    # -- money

    def accrue(self) -> None:
        """Earn penalty interest on what has been overdue since the last time, paused days left out.

        None is earned while an arrangement for a time stands (FCA CONC 7.3: suspending charges).
        """
        s = self.s
        overdue = s.receivables and s.receivables[0].due < self.day and not s.closed_on and s.bad_debt != "terminated"
        rules = self.policy.charges
        spared = s.plan is not None and s.plan.is_temporary
        if overdue and not spared and (rate := penalty_rate(rules, s.annual_rate_bps)):
            paused = self.paused()
            for r in s.receivables:
                if r.due >= self.day:
                    break
                if r.plan:
                    continue
                since = max(s.accrued_to, r.due)
                days = self.day - since - (paused_days(paused, since, self.day) if paused else 0)
                s.accrued += penalty_base(r, on_interest=rules.penalty_on_interest) * rate * days
            # Whole units are kept as not yet posted: their fractions alone would outgrow 64 bits within years.
            whole, s.accrued = divmod(s.accrued, ACCRUAL_UNIT)
            s.penalty_posted -= whole
        s.accrued_to = self.day

    def post_penalty(self) -> None:
        """Put the penalty interest earned so far on the oldest overdue instalment, within the cap.

        It waits where there is none; an instalment of a plan bears no charge.
        """
        s = self.s
        due = half_up(s.accrued, ACCRUAL_UNIT) - s.penalty_posted
        if due <= 0:
            return
        index = next((i for i, r in enumerate(s.receivables) if r.due < self.day and not r.plan), None)
        if index is None:
            return
        amount = min(due, self.chargeable())
        s.penalty_posted += due
        if amount > 0:
            self.charge(index, amount, "penalty_interest")

    def chargeable(self) -> int:
        """Return how much may still be charged under the cap of the policy."""
        s = self.s
        return room_for_charges(self.policy.charges, max(s.original_principal, s.billed_principal), s.charged)

    def charge(self, index: int, amount: int, kind: ev.ChargeKind) -> None:
        """Put a charge on the receivable at an index, and report it."""
        s = self.s
        r = s.receivables[index]
        s.receivables = (
            *s.receivables[:index],
            replace(r, penalty=r.penalty + amount),
            *s.receivables[index + 1 :],
        )
        s.charged += amount
        number = r.number if kind == "late_fee" else None
        self.emit(ev.ChargeAccrued(**self.header, kind=kind, amount=amount, currency=s.currency, number=number))

    def allocate(self, amount: int, freed: int = 0, *, whole: bool = False) -> None:
        """Allocate an amount to the receivables; what is left is credit.

        freed, whole: as `state.ledger.allocate` takes them.
        """
        s = self.s
        before = s.receivables
        result = allocate(
            before,
            amount,
            self.day,
            self.policy.allocation,
            performing=self.performing(),
            freed=freed,
            whole=whole,
        )
        s.receivables = result.receivables
        s.paid = s.paid.plus(result.paid)
        s.credit += result.left
        if s.plan is not None:
            # What was billed beside the plan is paid for good; only the plan's part is allocated anew if it breaks.
            paid = owed_to_plan(before).minus(owed_to_plan(s.receivables))
            more = _counted_toward_plan(s.receivables) - _counted_toward_plan(before)
            s.plan = replace(s.plan, paid=s.plan.paid.plus(paid), counted=s.plan.counted + more)

    def allocate_credit(self, freed: int = 0, counted: int = 0) -> None:
        """Allocate credit, and what was freed in the ledger; `counted` was counted toward what asked for it."""
        credit, self.s.credit = self.s.credit, 0
        if credit + freed or counted:
            self.settle_early(credit + freed)
            self.allocate(credit + freed, counted - freed)

    def settle_early(self, amount: int) -> None:
        """Drop the interest of a plan that is not yet earned where an amount settles all that is owed.

        Of the instalment that falls due next, interest is earned by the day, from the due date before it (or the
        activation); of later ones, none is. A smaller payment in advance pays the next instalments as they stand.
        """
        s = self.s
        if s.plan is None or not amount:
            return
        before, spared, kept = s.plan.settled_due or s.plan.activated, 0, []
        for r in s.receivables:
            drop = 0
            if r.plan and r.due > self.day:
                passed, whole = max(self.day - before, 0), max(r.due - before, 1)
                earned = half_up(r.interest_due * passed, whole)
                drop = min(r.interest, max(0, r.interest_due - earned))
            if r.plan:
                before = max(before, r.due)
            spared += drop
            kept.append(_without_interest(r, drop) if drop else r)
        if spared and amount >= sum(r.owed() for r in kept):
            s.receivables = tuple(kept)
            s.plan = replace(s.plan, saved=s.plan.saved + spared)

    def add_receivables(self, *added: Receivable) -> None:
        """Add receivables in the order of their due dates, and let credit pay them."""
        s = self.s
        items = list(s.receivables)
        for r in added:
            insort(items, r, key=receivable_order)
        s.receivables = tuple(items)
        self.allocate_credit()


def owed_to_plan(receivables: Iterable[Receivable]) -> Paid:
    """Return what is still owed to a plan, by component."""
    total = Paid()
    for r in receivables:
        if r.plan:
            total = total.plus(Paid(r.principal, r.interest, r.fees, r.penalty))
    return total


def _without_interest(r: Receivable, drop: int) -> Receivable:
    asked = r.amount_due - drop
    return replace(
        r,
        interest=r.interest - drop,
        amount_due=asked,
        interest_due=r.interest_due - drop,
        paid_toward=min(r.paid_toward, asked),
    )


def _counted_toward_plan(receivables: Iterable[Receivable]) -> int:
    return sum(r.paid_toward for r in receivables if r.plan)


def receivable_order(r: Receivable) -> tuple[int, bool, int]:
    """Return the order in which receivables are owed."""
    return (r.due, r.plan, r.number)


def receivable_of(
    number: int, due: date, principal: int, interest: int, fees: int, *, billed: bool = False
) -> Receivable:
    """Return the receivable of an instalment that was asked for."""
    return Receivable(
        number,
        due.toordinal(),
        principal,
        interest,
        fees,
        0,
        principal + interest + fees,
        billed=billed,
        interest_due=interest,
        fees_due=fees,
    )


def note_attempt(d: DayFold, evidence: str) -> None:
    """Count a failed attempt to collect in the present arrears."""
    s = d.s
    s.failed_contact_attempts += 1
    s.bad_debt_evidence = tuple(sorted({*s.bad_debt_evidence, evidence}))[-EVIDENCE_KEPT:]


def remeasure(d: DayFold) -> None:
    """Put the three measures of this day's close into the state."""
    s, rules = d.s, d.policy.delinquency
    m = measure(s.receivables, d.paused(), d.day, rules, s.payments_deferred_to)
    s.days_past_due, s.missed, s.overdue_amount = m.days_past_due, m.missed, m.overdue
    if m.oldest_due:
        s.overdue_since = s.overdue_since or d.day
        s.arrears_free_since = 0
    elif s.overdue_since:
        # What is deferred is not paid: no probation runs meanwhile.
        s.overdue_since, s.arrears_free_since = 0, 0 if s.plan is not None and s.plan.defers else d.day


def outstanding_on(s: AccountState, day: int) -> Paid:
    """Return what is owed on a day: all principal and charges, and interest and fees of what is due or was billed."""
    return owed_on(s.receivables, day)


def event_amounts(owed: Paid) -> ev.Amounts:
    """Return amounts as an event states them."""
    return ev.Amounts(principal=owed.principal, interest=owed.interest, fees=owed.fees, penalty=owed.penalty)


def signal_header(s: AccountState, cause: ev.Event, event_id: str, day: int) -> SignalHeader:
    """Return what every event for the planner after a day (ordinal) has."""
    return {
        "event_id": event_id,
        "occurred_at": cause.occurred_at,
        "source": SOURCE,
        "borrower_id": s.borrower_id,
        "account_id": s.account_id,
        "business_date": date.fromordinal(day),
        "caused_by": cause.event_id,
    }


def business_date_of(event: ev.Event) -> int:
    """Return the business date (ordinal) of an event of an account."""
    day: date = event.business_date  # type: ignore[attr-defined]
    return day.toordinal()
