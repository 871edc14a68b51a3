"""The life of a plan on an account: it takes over the schedule, is kept or missed, completes or breaks.

While it is active the plan's instalments are what is owed, and collection stops (for cards in China:
信用卡办法 Art 70). If it breaks, what it replaced is owed again, with all that was paid allocated to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from msgspec.structs import replace

from agents.account_day import Day, owed_on, receivable_order
from agents.plan_changes import pause, settle_early, succeed
from agents.plan_fit import fit, last_day, room
from schemas import events as ev
from state.account import Distressed, Paid, Plan, Receivable
from state.delinquency import days_late
from state.ledger import allocate, tolerance


def activate(d: Day, fact: ev.PlanActivated) -> None:
    """Let an accepted plan take over the schedule.

    What was owed and the plan's principal may differ by what happened between the offer and its acceptance; see
    `agents.plan_fit`. What the borrower then has to pay is said, so that nothing falls due that he was not told of.
    """
    s = d.s
    d.post_penalty()
    before = s.plan
    if before is not None and not before.review:
        break_plan(d, "replaced")
        before = None
    limit = last_day(fact.activated_on, d.policy)
    taken, beside = _taken(d, fact, limit)
    waived, financed = _financed(taken, fact, d.day)
    fitted = fit(fact.instalments, financed, fact.annual_rate_bps, limit, d.policy)
    if fitted.forgiven:
        waived = waived.plus(_part(owed_on(taken, d.day).minus(waived), fitted.forgiven))
    plan = Plan(fact.plan_id, fact.offer_id, d.day, taken, waived, annual_rate_bps=fact.annual_rate_bps)
    s.plan = plan if before is None else succeed(d, before, plan)
    s.had_plan = True
    if not s.overdue_since and not s.clean_since:
        # Who had no arrears proves himself from the plan on; else no probation after it could ever end.
        s.clean_since = d.day
    if fact.distressed_obligation_bps > d.policy.options.distressed_over_bps:
        s.distressed = Distressed(d.day, fact.distressed_obligation_bps)
    if fitted.instalments != fact.instalments or fitted.forgiven or beside:
        d.say(
            ev.PlanScheduleAdjusted,
            plan_id=plan.plan_id,
            offer_id=plan.offer_id,
            difference=financed - sum(i.principal for i in fact.instalments),
            agreed=len(fact.instalments),
            instalments=fitted.instalments,
            forgiven=fitted.forgiven,
            beside=tuple(
                ev.Instalment(
                    number=r.number,
                    due_on=date.fromordinal(r.due),
                    principal=r.principal,
                    interest=r.interest,
                    fees=r.fees,
                )
                for r in beside
            ),
        )
    s.waived = s.waived.plus(waived)
    # An instalment that asks for nothing is none: nothing is kept by paying nothing.
    asked = (
        Receivable(i.number, i.due_on.toordinal(), i.principal, i.interest, 0, 0, i.amount, plan=True)
        for i in fitted.instalments
        if i.amount
    )
    s.receivables = tuple(sorted((*asked, *beside), key=receivable_order))
    if s.credit:
        credit, s.credit = s.credit, 0
        settle_early(d, credit)
        d.allocate(credit)


def _taken(d: Day, fact: ev.PlanActivated, limit: date) -> tuple[tuple[Receivable, ...], tuple[Receivable, ...]]:
    """Return what a plan takes over, and what stays beside it.

    What was billed and is not yet due stays beside, as what is billed during a plan does, the newest first, where the
    term has no room for it; but nothing stays beside of what was agreed.
    """
    taken = d.s.receivables
    beside: tuple[Receivable, ...] = ()
    most = room(fact.instalments, limit)
    agreed = sum(i.principal for i in fact.instalments)
    for r in reversed(d.s.receivables):
        if _financed(taken, fact, d.day)[1] <= most:
            break
        without = tuple(x for x in taken if x is not r)
        if r.billed and not r.plan and r.due > d.day and _financed(without, fact, d.day)[1] >= agreed:
            taken, beside = without, (r, *beside)
    return taken, beside


def _financed(receivables: Sequence[Receivable], fact: ev.PlanActivated, day: int) -> tuple[Paid, int]:
    """Return what is waived of receivables, and what a plan has to repay of them."""
    owed = owed_on(receivables, day)
    waived = Paid(
        min(fact.waived.principal, owed.principal),
        min(fact.waived.interest, owed.interest),
        min(fact.waived.fees, owed.fees),
        min(fact.waived.penalty, owed.penalty),
    )
    return waived, owed.minus(waived).total()


def _part(owed: Paid, amount: int) -> Paid:
    """Return an amount as parts of what is owed: charges first, principal last."""
    penalty = min(owed.penalty, amount)
    fees = min(owed.fees, amount - penalty)
    interest = min(owed.interest, amount - penalty - fees)
    return Paid(amount - penalty - fees - interest, interest, fees, penalty)


def follow(d: Day) -> None:
    """Say which plan instalments were kept or missed by this day, and end the plan where it ends."""
    pause(d)
    s = d.s
    plan = s.plan
    if plan is None:
        return
    rules, grace = d.policy.delinquency, d.policy.plans.kept_within_days
    after: list[Receivable] = []
    for r in s.receivables:
        if r.plan and r.unpaid() <= tolerance(rules, r.asked):
            # What is within tolerance from the start is paid when it is due, not when it is agreed.
            if not r.settled and (r.unpaid() < r.asked or r.due <= d.day):
                if r.asked and not r.reported:
                    plan = replace(plan, kept=plan.kept + 1, missed_in_a_row=0)
                    _say(d, plan, ev.PlanInstalmentKept, r)
                r = replace(r, settled=True)
        elif r.plan and not r.reported and days_late(r, s.holds, d.day, rules) > grace:
            plan = replace(plan, missed=plan.missed + 1, missed_in_a_row=plan.missed_in_a_row + 1)
            _say(d, plan, ev.PlanInstalmentMissed, r, unpaid=r.unpaid())
            r = replace(r, reported=True)
        after.append(r)
    for r in after:
        if r.plan:
            if not r.settled:
                break
            plan = replace(plan, settled_through=r.number, settled_due=r.due)
    s.receivables = tuple(after)
    s.plan = plan
    if plan.missed_in_a_row >= d.policy.plans.broken_after_missed:
        break_plan(d, "missed")
    elif all(r.settled or not r.plan or not r.asked for r in after):
        d.say(
            ev.PlanCompleted,
            plan_id=plan.plan_id,
            offer_id=plan.offer_id,
            kept=plan.kept,
            missed=plan.missed,
            early=any(r.plan and r.due > d.day for r in after),
            interest_saved=plan.saved,
        )
        s.plan = None
        s.receivables = tuple(replace(r, plan=False, settled=False) for r in after)


def _say(d: Day, plan: Plan, kind: type[ev.Event], r: Receivable, **fields: object) -> None:
    d.say(
        kind,
        plan_id=plan.plan_id,
        offer_id=plan.offer_id,
        number=r.number,
        due_on=date.fromordinal(r.due),
        **fields,
    )


def break_plan(d: Day, reason: str) -> None:
    """End a plan that does not stand: what it replaced is owed again, and what was paid is allocated to that."""
    s = d.s
    plan = s.plan
    if plan is None:
        return
    d.say(
        ev.PlanBroken,
        plan_id=plan.plan_id,
        offer_id=plan.offer_id,
        reason=reason,
        kept=plan.kept,
        missed=plan.missed,
    )
    others = [r for r in s.receivables if not r.plan]
    restored = list(plan.replaced)
    if plan.charged and restored:
        restored[0] = replace(restored[0], penalty=restored[0].penalty + plan.charged)
    s.waived = s.waived.minus(plan.waived)
    if not d.policy.plans.waiver_returns:
        # A plan that took the place of another may have waived of that one's interest, which is owed no more.
        restored, waived = waive(restored, plan.waived)
        s.waived = s.waived.plus(waived)
    s.plan = None
    s.plans_broken += 1
    s.receivables = tuple(sorted([*restored, *others], key=receivable_order))
    s.paid = s.paid.minus(plan.paid)
    again = allocate(
        s.receivables,
        plan.paid.total(),
        d.day,
        d.policy.allocation,
        performing=d.performing(),
    )
    s.receivables = again.receivables
    s.paid = s.paid.plus(again.paid)
    s.credit += again.left


def waive(receivables: Sequence[Receivable], waived: Paid) -> tuple[list[Receivable], Paid]:
    """Return receivables with amounts forgiven, oldest first, and what of these amounts they had."""
    left = waived
    after = []
    for r in receivables:
        cut = Paid(
            min(left.principal, r.principal),
            min(left.interest, r.interest),
            min(left.fees, r.fees),
            min(left.penalty, r.penalty),
        )
        left = left.minus(cut)
        after.append(
            replace(
                r,
                principal=r.principal - cut.principal,
                interest=r.interest - cut.interest,
                fees=r.fees - cut.fees,
                penalty=r.penalty - cut.penalty,
            )
        )
    return after, waived.minus(left)
