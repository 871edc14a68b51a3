"""The life of a plan on an account: it takes over the schedule, is kept or missed, completes or breaks.

While it is active the plan's instalments are what is owed, and collection stops (for cards in China:
信用卡办法 Art 70). If it breaks, what it replaced is owed again, with all that was paid allocated to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from dateutil.relativedelta import relativedelta
from msgspec.structs import replace

from agents.account_day import Day, outstanding_on, receivable_order
from agents.plan_changes import pause, succeed
from schemas import events as ev
from state.account import Distressed, Paid, Plan, Receivable
from state.delinquency import days_late
from state.ledger import allocate, tolerance


def activate(d: Day, fact: ev.PlanActivated) -> None:
    """Let an accepted plan take over the schedule.

    What was owed and the plan's principal may differ by what happened between the offer and its
    acceptance: too much is taken off the last instalments, too little is added behind them in
    instalments no larger than the plan's, so that nobody has to pay more a month than he accepted. What the
    borrower then has to pay is said, so that nothing falls due that he was not told of.
    """
    s = d.s
    d.post_penalty()
    before = s.plan
    if before is not None and not before.review:
        break_plan(d, "replaced")
        before = None
    replaced = s.receivables
    owed = outstanding_on(s, d.day)
    waived = Paid(
        min(fact.waived.principal, owed.principal),
        min(fact.waived.interest, owed.interest),
        min(fact.waived.fees, owed.fees),
        min(fact.waived.penalty, owed.penalty),
    )
    financed = owed.minus(waived).total()
    schedule = fit(fact.instalments, financed)
    plan = Plan(fact.plan_id, fact.offer_id, d.day, replaced, waived, annual_rate_bps=fact.annual_rate_bps)
    s.plan = plan if before is None else succeed(d, before, plan)
    s.had_plan = True
    if not s.overdue_since and not s.clean_since:
        # Who had no arrears proves himself from the plan on; else no probation after it could ever end.
        s.clean_since = d.day
    if fact.distressed_obligation_bps > d.policy.options.distressed_over_bps:
        s.distressed = Distressed(d.day, fact.distressed_obligation_bps)
    difference = financed - sum(i.principal for i in fact.instalments)
    if difference:
        d.say(
            ev.PlanScheduleAdjusted,
            plan_id=plan.plan_id,
            offer_id=plan.offer_id,
            difference=difference,
            agreed=len(fact.instalments),
            instalments=tuple(schedule),
        )
    s.waived = s.waived.plus(waived)
    s.receivables = tuple(
        sorted(
            (
                Receivable(i.number, i.due_on.toordinal(), i.principal, i.interest, 0, 0, i.amount, plan=True)
                for i in schedule
            ),
            key=receivable_order,
        )
    )


def fit(schedule: Sequence[ev.PlanInstalment], financed: int) -> list[ev.PlanInstalment]:
    """Return a schedule whose principal sums to `financed`, without making any instalment larger."""
    fitted = list(schedule)
    gap = financed - sum(i.principal for i in fitted)
    while gap < 0 and fitted:
        last = fitted[-1]
        cut = min(last.principal, -gap)
        gap += cut
        if cut == last.principal:
            fitted.pop()
        else:
            fitted[-1] = replace(last, principal=last.principal - cut, amount=last.amount - cut)
    if gap > 0:
        # At most as many instalments again as the plan has, so that a plan out of all proportion stays bounded.
        most = max(-(-gap // len(schedule)), max((i.amount for i in fitted), default=0))
        last = schedule[-1]
        extra = 0
        while gap > 0:
            extra += 1
            part = min(gap, most)
            gap -= part
            fitted.append(
                ev.PlanInstalment(
                    number=last.number + extra,
                    due_on=last.due_on + relativedelta(months=extra),
                    amount=part,
                    principal=part,
                    interest=0,
                )
            )
    return fitted


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
            if r.number > plan.settled_through:
                if not r.reported:
                    plan = replace(plan, kept=plan.kept + 1, missed_in_a_row=0)
                    _say(d, plan, ev.PlanInstalmentKept, r)
                plan = replace(plan, settled_through=r.number, settled_due=r.due)
        elif r.plan and not r.reported and days_late(r, s.holds, d.day, rules) > grace:
            plan = replace(plan, missed=plan.missed + 1, missed_in_a_row=plan.missed_in_a_row + 1)
            _say(d, plan, ev.PlanInstalmentMissed, r, unpaid=r.unpaid())
            r = replace(r, reported=True)
        after.append(r)
    s.receivables = tuple(after)
    s.plan = plan
    if plan.missed_in_a_row >= d.policy.plans.broken_after_missed:
        break_plan(d, "missed")
    elif all(not r.plan or r.unpaid() <= tolerance(rules, r.asked) for r in after):
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
        s.receivables = tuple(replace(r, plan=False) for r in after)


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
    if d.policy.plans.waiver_returns:
        s.waived = s.waived.minus(plan.waived)
    else:
        restored = waive(restored, plan.waived)
    if plan.charged and restored:
        restored[0] = replace(restored[0], penalty=restored[0].penalty + plan.charged)
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


def waive(receivables: Sequence[Receivable], waived: Paid) -> list[Receivable]:
    """Return receivables with amounts forgiven, oldest first."""
    left = [waived.principal, waived.interest, waived.fees, waived.penalty]
    after = []
    for r in receivables:
        cut = [min(a, b) for a, b in zip(left, (r.principal, r.interest, r.fees, r.penalty), strict=True)]
        left = [a - b for a, b in zip(left, cut, strict=True)]
        after.append(
            replace(
                r,
                principal=r.principal - cut[0],
                interest=r.interest - cut[1],
                fees=r.fees - cut[2],
                penalty=r.penalty - cut[3],
            )
        )
    return after
