"""What may happen to a plan while it is kept: an early payment, a hold that pauses it, another plan in its place."""

from __future__ import annotations

from datetime import date

from msgspec.structs import replace

from agents.account_day import Day, receivable_order
from agents.plan_fit import months_on
from schemas import events as ev
from state.account import Plan
from state.ledger import half_up


def settle_early(d: Day, amount: int) -> None:
    """Drop the interest that is not yet earned where a payment settles all that is owed.

    Of the instalment that falls due next, interest is earned by the day, from the due date before it (or the
    activation); of later ones, none is. A smaller payment in advance pays the next instalments as they stand.
    """
    s = d.s
    if s.plan is None:
        return
    before, spared, kept = s.plan.settled_due or s.plan.activated, 0, []
    for r in s.receivables:
        drop = 0
        if r.plan and r.due > d.day:
            passed, whole = max(d.day - before, 0), max(r.due - before, 1)
            drop = r.interest - min(r.interest, half_up(r.interest * passed, whole))
        if r.plan:
            before = r.due
        spared += drop
        kept.append(replace(r, interest=r.interest - drop, asked=r.asked - drop) if drop else r)
    if spared and amount >= sum(r.owed() for r in kept):
        s.receivables = tuple(kept)
        s.plan = replace(s.plan, saved=s.plan.saved + spared)


def pause(d: Day) -> None:
    """Note that a hold pauses the plan, or, where that is over, let all that is unpaid be due later.

    It moves by as many months as instalments fell due meanwhile: nobody who had a respite has to pay several
    instalments at once when it ends.
    """
    s = d.s
    plan = s.plan
    if plan is None:
        return
    paused = any(h.covers(d.day) and h.kind in d.policy.delinquency.pausing_holds for h in s.holds)
    if paused:
        if not plan.paused_from:
            s.plan = replace(plan, paused_from=d.day)
        return
    if not plan.paused_from:
        return
    s.plan = replace(plan, paused_from=0)
    moving = [r for r in s.receivables if r.plan and r.owed() and not r.settled and r.due >= plan.paused_from]
    months = sum(r.due < d.day for r in moving)
    if not months:
        return
    anchor = max(date.fromordinal(r.due).day for r in moving)
    while _moved(moving[0].due, months, anchor) < d.day:
        months += 1
    dues = {r.number: _moved(r.due, months, anchor) for r in moving}
    s.receivables = tuple(
        sorted(
            (
                replace(r, due=dues[r.number], reported=False) if r.plan and r.number in dues else r
                for r in s.receivables
            ),
            key=receivable_order,
        )
    )
    d.say(
        ev.PlanPostponed,
        plan_id=plan.plan_id,
        offer_id=plan.offer_id,
        months=months,
        next_due_on=date.fromordinal(dues[moving[0].number]),
        last_due_on=date.fromordinal(dues[moving[-1].number]),
    )


def _moved(due: int, months: int, anchor: int) -> int:
    return months_on(date.fromordinal(due), months, anchor).toordinal()


def review(d: Day, fact: ev.PlanReviewRequested) -> None:
    """Let the borrower have another plan in the place of this one, if it is still the same."""
    if d.s.plan is not None and d.s.plan.plan_id == fact.plan_id:
        d.s.plan = replace(d.s.plan, review=d.day)


def succeed(d: Day, old: Plan, new: Plan) -> Plan:
    """Say that a plan took the place of another by agreement; what the first replaced is owed again if it breaks."""
    d.say(
        ev.PlanReplaced,
        plan_id=old.plan_id,
        offer_id=old.offer_id,
        by_plan_id=new.plan_id,
        kept=old.kept,
        missed=old.missed,
    )
    others = (r for r in new.replaced if not r.plan)
    return replace(
        new,
        replaced=tuple(sorted((*old.replaced, *others), key=receivable_order)),
        waived=old.waived.plus(new.waived),
        paid=old.paid,
        saved=old.saved,
        charged=old.charged,
    )
