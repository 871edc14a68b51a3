"""An account as of a closed day on which it was perhaps not visited, and what it still lacks to be bad debt.

A close visits only the accounts for which that day matters, so a stored state is that of the last visit. Nothing is
published between two visits, but days past due grow. Whatever shows an account outside therefore folds a copy through
the last closed day; whatever keeps a copy keeps an `Aging` with it, from which any later day follows without the rules.
"""

from __future__ import annotations

from copy import copy
from datetime import date
from typing import Literal, NamedTuple

from msgspec import Struct

from agents.account.closure import ERROR, PAID
from agents.account.day import outstanding_on
from agents.account.fold import advance
from agents.account.rules import Rules
from agents.account.waiting import WAITING
from schemas import events as ev
from state.account import AccountState, Hold, Receivable
from state.delinquency import Measures, is_material
from state.ledger import tolerance
from state.policy import Policy

Need = Literal[
    "late",
    "attempts",
    "material",
    "no_blocking_hold",
    "not_rejected",
    "stage_3",
    "waited",
    "no_plan",
    "review",
    "days",
    "held",
]


def as_of(state: AccountState, rules: Rules, day: int) -> AccountState:
    """Return the state at the close of a day (ordinal). The state itself is not changed, and nothing is published.

    rules: of the account's jurisdiction and product, with all changes: each day is folded by the rules of that day.
    `through` of what is returned is that day. It is a later one where the state is ahead of the day, which cannot be
    undone: another partition may close a day before this one, and an account may be opened on a day to come.
    """
    shown = copy(state)
    if shown.folded_through < day:
        advance(shown, rules, day)
    if shown.folded_through < day:
        # A visit on which nothing happens changes nothing but the measures, which are what is wanted.
        shown.next_fold_on = day
        advance(shown, rules, day)
    return shown


def as_closed(s: AccountState) -> AccountState:
    """Return an account as it is shown: of a closed one, nothing is late, and what its end settled is not owed.

    The state keeps it all, since a reopening brings it back. The state itself is not changed.
    """
    if not s.closed_on:
        return s
    shown = copy(s)
    shown.bucket, shown.overdue_since, shown.plan = "current", 0, None
    if s.closed_reason in (*PAID, ERROR):
        shown.receivables = ()
    return shown


class Aged(NamedTuple):
    """What changes without a visit, as it is at the close of a day; amounts are minor units."""

    days_past_due: int
    counter_days: int
    overdue: int
    interest: int
    fees: int


class Aging(Struct, frozen=True, array_like=True):
    """The measures, interest and fees of an account at its last visit, and what days without a visit add to them.

    since: the day (ordinal) of that visit. step, counter_step: what each day adds to days_past_due and to counter_days:
    0 while a hold pauses, or without arrears, else 1. more_overdue: what falls overdue without a visit, remainders
    within tolerance, each from a day on. more_owed: interest and fees that are owed from their due day on, which is
    visited a day later.
    """

    since: int
    days_past_due: int
    step: int
    counter_days: int
    counter_step: int
    overdue: int
    interest: int
    fees: int
    more_overdue: tuple[tuple[int, int], ...] = ()
    more_owed: tuple[tuple[int, int, int], ...] = ()

    def on(self, day: int) -> Aged:
        """Return what there is at the close of a day from `since` up to the eve of the next visit."""
        days = max(0, day - self.since)
        owed = [(interest, fees) for first, interest, fees in self.more_owed if first <= day]
        return Aged(
            self.days_past_due + self.step * days,
            self.counter_days + self.counter_step * days,
            self.overdue + sum(amount for first, amount in self.more_overdue if first <= day),
            self.interest + sum(interest for interest, _ in owed),
            self.fees + sum(fees for _, fees in owed),
        )


def aging(state: AccountState, rules: Rules) -> Aging:
    """Return how the measures of a state go on until it is visited next; facts that wait count at that visit."""
    since = state.folded_through
    if state.closed_on:
        owed = outstanding_on(as_closed(state), state.closed_on)
        return Aging(since, 0, 0, 0, 0, 0, owed.interest, owed.fees)
    # Without arrears there are none until the day on which there are some is visited.
    tomorrow = as_of(WAITING.without(state), rules, since + 1) if state.overdue_since else state
    owed = outstanding_on(state, since)
    # On the day on which it is visited there are new terms.
    until = state.next_fold_on or date.max.toordinal()
    to_come = [r for r in state.receivables if r.due >= since]
    overdue = [(max(r.due, state.payments_deferred_to), r) for r in state.receivables]
    return Aging(
        since,
        state.days_past_due,
        tomorrow.days_past_due - state.days_past_due,
        state.days_past_due_material,
        tomorrow.days_past_due_material - state.days_past_due_material,
        state.overdue_amount,
        owed.interest,
        owed.fees,
        tuple((due + 1, r.owed()) for due, r in overdue if r.owed() and since <= due < until - 1),
        tuple(
            (r.due, r.interest, r.fees)
            for r in to_come
            if since < r.due < until and not r.billed and (r.interest or r.fees)
        ),
    )


def next_instalment(state: AccountState, rules: Rules, day: int) -> Receivable | None:
    """Return the next instalment due from a day (ordinal) on that counts as unpaid, None without one.

    Under an arrangement for a time it is the next payment that was agreed.
    """
    if state.closed_on:
        return None
    delinquency = rules.in_force_on(day).policy.delinquency
    if state.plan is not None and state.plan.is_temporary:
        asks = (a for a in state.plan.asks if a.due >= day and a.unpaid() > tolerance(delinquency, a.amount))
        return next(
            (Receivable(a.number, a.due, a.unpaid(), 0, 0, 0, a.amount, plan=True, paid_toward=a.paid) for a in asks),
            None,
        )
    ahead = (r for r in state.receivables if r.due >= day and r.unpaid() > tolerance(delinquency, r.amount_due))
    return next(ahead, None)


class Condition(Struct, frozen=True):
    """One condition of a step into bad debt, as it stands at the close of a day.

    figures: what it goes by, by name: counts, days, minor units, basis points. kinds: of the holds that it is about.
    """

    need: Need
    met: bool
    figures: dict[str, int] = {}
    kinds: tuple[ev.HoldKind, ...] = ()


class NextStep(Struct, frozen=True):
    """A step of the bad-debt status, taken at the close of a day on which all its conditions are met."""

    to: ev.BadDebtStatus
    conditions: tuple[Condition, ...]


def next_steps(state: AccountState, rules: Rules) -> tuple[NextStep, ...]:
    """Return the steps further into bad debt that an account may take without a review, and what each lacks.

    state: as of a closed day. None where the account was closed or the debt is charged off, recovering or terminated.
    """
    policy = rules.in_force_on(state.folded_through).policy
    bad = policy.bad_debt
    if state.closed_on or state.bad_debt in ("charged_off", "recovering", "terminated"):
        return ()
    steps = []
    if state.bad_debt in ("none", "cured"):
        steps.append(NextStep("candidate", _of_candidate(state, policy)))
    elif state.bad_debt == "candidate":
        steps.append(NextStep("recognised", _of_recognition(state, policy)))
    if state.bad_debt in ("candidate", "recognised") and bad.charge_off_after is not None:
        figures = {"days_past_due": state.days_past_due, "charge_off_after": bad.charge_off_after}
        late = Condition("days", state.days_past_due >= bad.charge_off_after, figures)
        blocked = (_no_blocking_hold(state, policy),) if state.bad_debt == "candidate" else ()
        steps.append(NextStep("charged_off", (late, *blocked)))
    for hold in _in_force(state):
        after = bad.charge_off_after_hold.get(hold.kind)
        if after is not None:
            # The day on which the hold starts is the first of them.
            figures = {"days": state.folded_through - hold.start, "charge_off_after": after}
            held = Condition("held", state.folded_through >= hold.start + after, figures, (hold.kind,))
            conditions = (held, _no_blocking_hold(state, policy, besides=hold.kind), *_not_rejected(state))
            steps.append(NextStep("charged_off", conditions))
    return tuple(steps)


def _of_candidate(state: AccountState, policy: Policy) -> tuple[Condition, ...]:
    """Return the conditions of a candidate; one that days past due alone charge off needs no attempts to collect."""
    bad, delinquency = policy.bad_debt, policy.delinquency
    missed = bool(state.missed) and state.missed >= bad.missed_at_least
    charged_off = bad.charge_off_after is not None and state.days_past_due >= bad.charge_off_after
    exposure = outstanding_on(state, state.folded_through).total()
    measured = Measures(state.days_past_due, state.missed, state.overdue_amount, exposure, state.overdue_since)
    return (
        Condition(
            "late",
            missed or charged_off or state.days_past_due > bad.days_past_due_over,
            {
                "missed": state.missed,
                "missed_at_least": max(1, bad.missed_at_least),
                "days_past_due": state.days_past_due,
                "days_past_due_over": bad.days_past_due_over,
            },
        ),
        Condition(
            "attempts",
            charged_off or state.failed_contact_attempts >= bad.attempts_at_least,
            {"attempts": state.failed_contact_attempts, "attempts_at_least": bad.attempts_at_least},
        ),
        Condition(
            "material",
            is_material(measured, delinquency),
            {
                "overdue": state.overdue_amount,
                "over": delinquency.material_absolute,
                "share_bps": state.overdue_amount * 10_000 // exposure if exposure else 0,
                "share_over_bps": delinquency.material_relative_bps,
            },
        ),
        _no_blocking_hold(state, policy),
        *_not_rejected(state),
    )


def _of_recognition(state: AccountState, policy: Policy) -> tuple[Condition, ...]:
    if policy.bad_debt.recognition == "review":
        return (Condition("review", met=False),)
    waited, needed = state.folded_through - state.bad_debt_on, policy.bad_debt.recognise_after_days
    return (
        Condition(
            "stage_3",
            state.ifrs9_stage == 3,
            {"days_past_due": state.days_past_due, "stage3_from_days": policy.impairment.stage3_from_days},
        ),
        Condition("waited", waited >= needed, {"days": waited, "recognise_after_days": needed}),
        Condition("no_plan", state.plan is None),
        _no_blocking_hold(state, policy),
    )


def _in_force(state: AccountState) -> list[Hold]:
    return [h for h in state.holds if h.covers(state.folded_through)]


def _no_blocking_hold(state: AccountState, policy: Policy, besides: ev.HoldKind | None = None) -> Condition:
    blocking = {h.kind for h in _in_force(state) if h.kind in policy.bad_debt.blocking_holds and h.kind != besides}
    return Condition("no_blocking_hold", not blocking, {}, tuple(sorted(blocking)))


def _not_rejected(state: AccountState) -> tuple[Condition, ...]:
    return (Condition("not_rejected", met=False),) if state.bad_debt_rejected else ()
