"""An account that is taken over as it stood at the close of a day (docs/rules.md, 11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schemas import events as ev
from state.policy import Policy
from tests.recomputation.account import Account, Class, Hold, Promise
from tests.recomputation.charges import Charges
from tests.recomputation.close import bucket_of
from tests.recomputation.days import months_after
from tests.recomputation.facts import Facts
from tests.recomputation.money import ASKED, COMPONENTS, FEES, INTEREST, PENALTY, PRINCIPAL, Instalment
from tests.recomputation.plans import Plan, anchor_of, tolerance


def take_over(a: Account, facts: Facts, rules: Callable[[int], Policy]) -> None:
    """Put an account into its opening position."""
    p = facts.position
    assert p is not None
    as_of = p.as_of.toordinal()
    a.today = as_of
    a.rate = p.annual_rate_bps
    a.charges = Charges(p.principal, p.charged, p.statement_principal)
    a.money.credit = p.credit
    a.last_payment = p.last_payment_on.toordinal() if p.last_payment_on else None
    own = [_instalment(n, None) for n in p.instalments]
    for i in own:
        # What the ledger had paid of it counts as principal, and not as paid on the account.
        before = max(0, i.amount_due - sum(i.unpaid[c] for c in ASKED))
        i.allocated[PRINCIPAL] = before
        a.money.ever[i.number] = i.unpaid | {PRINCIPAL: i.unpaid[PRINCIPAL] + before}
    if p.plan is None:
        a.money.instalments = sorted(own, key=lambda i: i.order)
    else:
        _plan(a, p.plan, own)
    _holds(a, facts, as_of, rules)
    grace = a.policy.delinquency.grace_days
    for i in a.money.instalments:
        if not a.counts_as_paid(i):
            within = grace if i.plan is None else a.policy.plans.kept_within_days
            i.missed = a.days_late(i.due) > within
        elif i.plan is not None:
            i.kept = bool(i.paid) or i.due <= as_of
    for i in own if p.plan is not None else ():
        # What the plan replaced was reported as missed before the plan began, or never.
        began = p.plan.activated_on.toordinal()
        late = began - i.due - sum(1 for day in a.paused_by if i.due < day <= began)
        then = rules(began)
        i.missed = i.short > tolerance(i.amount_due, then) and late > then.delinquency.grace_days
    a.measure()
    a.bucket = bucket_of(a.dpd, grace)
    if a.arrears and a.material:
        a.run, a.counter_days = True, a.dpd
        if p.material_since is not None:
            run = range(p.material_since.toordinal(), as_of + 1)
            a.counter_days = sum(1 for day in run if day not in a.paused)
    a.clean_since = -1 if a.arrears else p.clean_since.toordinal() if p.clean_since else as_of
    by_days = a.policy.impairment
    stage = 3 if a.dpd >= by_days.stage3_from_days else 2 if a.dpd > by_days.stage2_over_days or a.plan else 1
    a.allowance = p.allowance
    a.bad_debt = p.bad_debt
    a.bad_debt_on = a.charged_off_on = p.bad_debt_on.toordinal() if p.bad_debt_on else as_of
    bad = a.bad_debt in ("recognised", "charged_off", "recovering")
    # The stage of a bad debt says nothing of its days.
    a.stage_by_days = stage if bad else p.stage or stage
    a.stage = p.stage or (3 if bad else stage)
    a.attempts = p.failed_attempts
    a.rejected = p.rejected
    a.standing = p.standing
    a.had_plan = p.had_plan or p.plan is not None
    stopped = a.plan is not None or a.hold_in_force() or a.bad_debt == "terminated"
    a.stopped = p.collection_stopped or stopped
    for c in a.policy.classifications:
        days = a.counter_days if c.material_counter else a.dpd
        by_day = [t for t in c.thresholds if t.from_days <= days][-1]
        name = p.classes.get(c.policy, by_day.name)
        from_days = next((t.from_days for t in c.thresholds if t.name == name), 0)
        a.classes[c.policy] = Class(name, from_days, 0, reported=True)
    _promises(a, facts, as_of)
    a.money.leave(as_of)


def _instalment(n: ev.PositionInstalment, plan: str | None) -> Instalment:
    unpaid = {PRINCIPAL: n.principal, INTEREST: n.interest, FEES: n.fees, PENALTY: n.penalty}
    open_ = n.principal + n.interest + n.fees
    due = n.amount_due if n.amount_due is not None else open_
    paid = n.paid if n.paid is not None else due - open_
    return Instalment(n.number, n.due_on.toordinal(), unpaid, due, paid, plan, n.billed, interest=n.interest)


def _plan(a: Account, p: ev.PositionPlan, own: list[Instalment]) -> None:
    schedule = [_instalment(n, p.plan_id) for n in p.instalments]
    plan = Plan(p.plan_id, p.offer_id, p.activated_on.toordinal(), p.annual_rate_bps, schedule, own)
    plan.waived = {c: getattr(p.waived, c) for c in COMPONENTS}
    plan.paid[PRINCIPAL] = a.money.paid[PRINCIPAL] = p.paid
    plan.counted = p.paid - sum(i.paid for i in schedule)
    plan.kept, plan.missed, plan.row = p.kept, p.missed, p.missed_in_a_row
    plan.anchor = anchor_of([i.due for i in schedule], a.policy)
    a.plan = plan
    a.plan_from = plan.activated
    first = min(schedule, key=lambda i: i.order, default=None)
    month_before = max(plan.activated, months_after(first.due, -1)) if first is not None else plan.activated
    if not p.kept and not p.missed:
        # The first open instalment is the plan's first.
        a.plan_from = month_before
    if first is not None and (p.kept or first.number > 1):
        plan.before_first = month_before
    a.money.instalments = sorted(schedule, key=lambda i: i.order)


def _holds(a: Account, facts: Facts, as_of: int, rules: Callable[[int], Policy]) -> None:
    """Put in force the holds of the history; their paused days count, by the rules of each day."""
    placed: list[Any] = [h for h in facts.stands[ev.HoldPlaced] if h.from_on.toordinal() <= as_of]
    for h in placed:
        if not a.takes(h, rules(h.from_on.toordinal())):
            continue
        until = a.last_day(h, rules(h.from_on.toordinal()))
        a.holds[h.hold_id] = Hold(h.kind, h.from_on.toordinal(), until, a.known_holds[h.hold_id])
    for day in range(min((h.first for h in a.holds.values()), default=as_of + 1), as_of + 1):
        pausing = rules(day).delinquency.pausing_holds
        by = {name for name, h in a.holds.items() if h.covers(day) and h.kind in pausing}
        if by:
            a.paused_by[day] = by


def _promises(a: Account, facts: Facts, as_of: int) -> None:
    """Let the payments of the history go to the promises of the history; those due later stay open."""
    for day in range(facts.start, as_of + 1):
        today = facts.by_day.get(day, {})
        for fact in today.get(ev.PromiseMade, ()):
            if fact.replaces is not None:
                a.promises.pop(fact.replaces, None)
            a.promises[fact.promise_id] = Promise(fact.promise_id, fact.due_on.toordinal(), fact.amount)
        left = sum(facts.amounts[p.payment_id] for p in today.get(ev.PaymentReceived, ()))
        for p in sorted(a.promises.values(), key=lambda p: (p.due, p.promise_id)):
            if day <= p.due:
                part = min(left, p.amount - p.paid)
                p.paid += part
                left -= part
            if p.paid == p.amount or day >= p.due:
                del a.promises[p.promise_id]
