"""The life of a plan on an account: it takes over the schedule, is kept or missed, completes or breaks.

While it is active the plan's instalments are what is owed, and collection stops (for cards in China:
信用卡办法 Art 70). If it breaks, what it replaced is owed again, with all that was paid allocated to it.

The schedule that counts is what was accepted, fitted to what is owed on the day on which the plan begins. Too little
that was agreed is asked for behind the last instalment, too much is taken off the last ones, and nobody has to pay more
a month than they accepted, unless the legal term leaves no other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from agents.account.day import AccountHeader, DayFold, receivable_order
from schemas import events as ev
from state.account import DistressedRestructuring, Paid, Plan, Receivable
from state.calendars import DueDays, add_months
from state.delinquency import days_late, paused_days
from state.ledger import allocate, owed_on, tolerance
from state.policy import Policy
from state.schedules import MONTHLY, rounded


def activate(d: DayFold, fact: ev.PlanActivated) -> None:
    """Let an accepted plan take over the schedule.

    What was owed and the plan's principal may differ by what happened between the offer and its acceptance; see
    `adjust_schedule`. What the borrower then has to pay is published, so that nothing falls due of which they were not
    told.
    """
    s = d.s
    if is_refused(d, fact):
        return
    d.post_penalty()
    before = s.plan
    if before is not None and not (before.review or before.is_temporary):
        break_plan(d, "replaced")
        before = None
    limit = last_day(fact.activated_on, d.policy)
    taken, beside = _split_receivables(d, fact, limit)
    waived, financed = _financed(taken, fact, d.day)
    fitted = adjust_schedule(fact.instalments, financed, fact.annual_rate_bps, limit, d.policy)
    if fitted.forgiven:
        waived = waived.plus(_split_amount(owed_on(taken, d.day).minus(waived), fitted.forgiven))
    dues = [i.due_on for i in fitted.instalments]
    anchor = d.policy.due_days.anchor_of(dues) if dues else 0
    plan = Plan(fact.plan_id, fact.offer_id, d.day, taken, waived, annual_rate_bps=fact.annual_rate_bps, anchor=anchor)
    s.plan = plan if before is None else replace_plan(d, before, plan)
    if before is not None and before.is_temporary:
        leave_arrangement(d, before)
    s.had_plan = True
    s.forborne_on = max(d.day, _grace_end(fitted.instalments))
    if not s.overdue_since and not s.arrears_free_since:
        # An account without arrears is in probation from the plan on; else no probation after it could ever end.
        s.arrears_free_since = d.day
    note_distressed(d, fact)
    if fitted.instalments != fact.instalments or fitted.forgiven or beside:
        d.emit(
            ev.PlanScheduleAdjusted(
                **d.header,
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
        )
    s.waived = s.waived.plus(waived)
    # An instalment that asks for nothing is none: nothing is kept by paying nothing.
    asked = (
        Receivable(
            i.number,
            i.due_on.toordinal(),
            i.principal,
            i.interest,
            0,
            0,
            i.amount,
            plan=True,
            interest_due=i.interest,
        )
        for i in fitted.instalments
        if i.amount
    )
    s.receivables = tuple(sorted((*asked, *beside), key=receivable_order))
    d.allocate_credit()


def is_refused(d: DayFold, fact: ev.PlanActivated) -> bool:
    """Break a plan at once for an account that has ended or whose debt is terminated; return whether it was."""
    s = d.s
    if not s.closed_on and s.bad_debt != "terminated":
        return False
    reason = "account_closed" if s.closed_on else "terminated"
    d.emit(ev.PlanBroken(**d.header, plan_id=fact.plan_id, offer_id=fact.offer_id, reason=reason, kept=0, missed=0))
    return True


def note_distressed(d: DayFold, fact: ev.PlanActivated) -> None:
    """Note a distressed restructuring where a plan loses more of the present value than the policy lets pass."""
    if fact.distressed_obligation_bps > d.policy.options.distressed_over_bps:
        d.s.distressed_restructuring = DistressedRestructuring(d.s.forborne_on, fact.distressed_obligation_bps)


def _grace_end(instalments: Sequence[ev.PlanInstalment]) -> int:
    """Return the day (ordinal) on which a deferred plan's grace period ends: a month before its first instalment."""
    first = min((i.due_on for i in instalments if i.amount), default=None)
    return add_months(first, -1).toordinal() if first is not None else 0


def _split_receivables(
    d: DayFold, fact: ev.PlanActivated, limit: date
) -> tuple[tuple[Receivable, ...], tuple[Receivable, ...]]:
    """Return what a plan takes over, and what stays beside it.

    What was billed and is not yet due stays beside, as what is billed during a plan does, the newest first, where the
    term has no room for it; but nothing stays beside of what was agreed.
    """
    taken = d.s.receivables
    beside: tuple[Receivable, ...] = ()
    most = term_capacity(fact.instalments, limit, d.policy)
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


def _split_amount(owed: Paid, amount: int) -> Paid:
    """Return an amount as parts of what is owed: charges first, principal last."""
    penalty = min(owed.penalty, amount)
    fees = min(owed.fees, amount - penalty)
    interest = min(owed.interest, amount - penalty - fees)
    return Paid(amount - penalty - fees - interest, interest, fees, penalty)


class PlanRecord(AccountHeader):
    """The fields that all reports of a plan's end have in common."""

    plan_id: str
    offer_id: str
    kept: int
    missed: int


def record_of(d: DayFold, plan: Plan) -> PlanRecord:
    """Return what every report of a plan's end has: which plan it is, and how many instalments were kept and missed."""
    return {**d.header, "plan_id": plan.plan_id, "offer_id": plan.offer_id, "kept": plan.kept, "missed": plan.missed}


def count_kept(d: DayFold, plan: Plan, number: int, due: int) -> Plan:
    """Report that an instalment of a plan, due on a day (ordinal), was kept; returns the plan with it counted."""
    due_on = date.fromordinal(due)
    d.emit(
        ev.PlanInstalmentKept(**d.header, plan_id=plan.plan_id, offer_id=plan.offer_id, number=number, due_on=due_on)
    )
    return replace(plan, kept=plan.kept + 1, missed_in_a_row=0)


def count_missed(d: DayFold, plan: Plan, number: int, due: int, unpaid: int) -> Plan:
    """Report that an instalment of a plan, due on a day (ordinal), was missed; returns the plan with it counted."""
    due_on = date.fromordinal(due)
    d.emit(
        ev.PlanInstalmentMissed(
            **d.header, plan_id=plan.plan_id, offer_id=plan.offer_id, number=number, due_on=due_on, unpaid=unpaid
        )
    )
    return replace(plan, missed=plan.missed + 1, missed_in_a_row=plan.missed_in_a_row + 1)


def track_instalments(d: DayFold) -> None:
    """Emit the plan instalments that were paid or missed by this day, and end the plan where it ends."""
    pause_or_postpone(d)
    s = d.s
    plan = s.plan
    if plan is None:
        return
    rules, grace = d.policy.delinquency, d.policy.plans.kept_within_days
    paused = d.paused()
    after: list[Receivable] = []
    for r in s.receivables:
        if r.plan and r.unpaid() <= tolerance(rules, r.amount_due):
            # What is within tolerance from the start is paid when it is due, not when it is agreed.
            if not r.settled and (r.unpaid() < r.amount_due or r.due <= d.day):
                if r.amount_due and not r.missed_reported:
                    plan = count_kept(d, plan, r.number, r.due)
                r = replace(r, settled=True)
        elif r.plan and not r.settled and not r.missed_reported and days_late(r.due, paused, d.day) > grace:
            plan = count_missed(d, plan, r.number, r.due, r.unpaid())
            r = replace(r, missed_reported=True)
        after.append(r)
    for r in after:
        if r.plan:
            if not r.settled:
                break
            if r.number > plan.settled_through:
                plan = replace(plan, settled_through=r.number)
    s.receivables = tuple(after)
    s.plan = plan
    if all(r.settled or not r.plan or not r.amount_due for r in after):
        d.emit(
            ev.PlanCompleted(
                **record_of(d, plan),
                early=any(r.plan and r.due > d.day for r in after),
                interest_saved=plan.saved,
            )
        )
        s.plan = None
        # What is left of it within tolerance is still owed, and bears no charge.
        s.receivables = tuple(r for r in after if not r.plan or r.owed())
        return
    s.plan = plan = _count_months(d, plan)
    if plan.missed_in_a_row >= d.policy.plans.broken_after_missed:
        break_plan(d, "missed")


def _count_months(d: DayFold, plan: Plan) -> Plan:
    """Count each further month that leaves a plan unpaid after its last instalment was missed, as one more missed.

    Nothing falls due behind the last instalment. A month whose date is paused passes without being counted.
    """
    paused = d.paused()
    while (due := next_month(d, plan)) and due < d.day:
        is_paused = paused_days(paused, due - 1, due) > 0
        late = d.day - due - paused_days(paused, due, d.day)
        if not is_paused and late <= d.policy.plans.kept_within_days:
            break
        plan = replace(plan, months=plan.months + 1, missed_in_a_row=plan.missed_in_a_row + (not is_paused))
    return plan


def next_month(d: DayFold, plan: Plan) -> int:
    """Return the date (ordinal) of the next month after a plan's last instalment, 0 while that was not missed."""
    last = next((r for r in reversed(d.s.receivables) if r.plan), None)
    if last is None or not last.missed_reported:
        return 0
    due_days = d.policy.due_days
    anchor = plan.anchor or due_days.anchor_of([date.fromordinal(r.due) for r in d.s.receivables if r.plan])
    return due_days.months_on(date.fromordinal(last.due), plan.months + 1, anchor).toordinal()


def break_plan(d: DayFold, reason: str) -> None:
    """End a plan that does not stand: what it replaced is owed again, and what was paid is allocated to that."""
    s = d.s
    plan = s.plan
    if plan is None:
        return
    d.emit(ev.PlanBroken(**record_of(d, plan), reason=reason))
    s.plans_broken += 1
    restore_replaced(d, plan)
    if plan.defers:
        # Whether there are arrears is measured later in the day; a probation runs from here at the earliest.
        s.payments_deferred_to, s.arrears_free_since = plan.deferred_before, s.arrears_free_since or d.day


def restore_replaced(d: DayFold, plan: Plan) -> None:
    """Let what a plan replaced be owed again, and allocate to it what was paid of the plan."""
    s = d.s
    others = [r for r in s.receivables if not r.plan]
    restored = list(plan.replaced)
    s.waived = s.waived.minus(plan.waived)
    if not d.policy.plans.waiver_returns:
        # A plan that took the place of another may have waived of that one's interest, which is owed no more.
        restored, waived = forgive(restored, plan.waived)
        s.waived = s.waived.plus(waived)
    s.plan = None
    s.receivables = tuple(sorted([*restored, *others], key=receivable_order))
    s.paid = s.paid.minus(plan.paid)
    again = allocate(
        s.receivables,
        plan.paid.total(),
        d.day,
        d.policy.allocation,
        performing=d.performing(),
        freed=plan.counted - plan.paid.total(),
    )
    s.receivables = again.receivables
    s.paid = s.paid.plus(again.paid)
    s.credit += again.left


def forgive(receivables: Sequence[Receivable], waived: Paid) -> tuple[list[Receivable], Paid]:
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
        asked = r.amount_due - cut.total() + cut.penalty
        after.append(
            replace(
                r,
                amount_due=asked,
                interest_due=r.interest_due - cut.interest,
                fees_due=r.fees_due - cut.fees,
                paid_toward=min(r.paid_toward, asked),
                principal=r.principal - cut.principal,
                interest=r.interest - cut.interest,
                fees=r.fees - cut.fees,
                penalty=r.penalty - cut.penalty,
            )
        )
    return after, waived.minus(left)


def pause_or_postpone(d: DayFold) -> None:
    """Note that a hold pauses the plan, or, where that is over, let it go on later.

    What fell due meanwhile and all after it move by as many months as instalments fell due: nobody who had a respite
    has to pay several instalments at once when it ends.
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
    fell = [
        r
        for r in s.receivables
        if r.plan and plan.paused_from <= r.due < d.day and r.owed() and not (r.settled or r.missed_reported)
    ]
    if not fell:
        return
    due_days, first, months = d.policy.due_days, date.fromordinal(fell[0].due), len(fell)
    moving = [r for r in s.receivables if r.plan and r.due >= fell[0].due and (r.due >= d.day or r in fell)]
    anchor = plan.anchor or due_days.anchor_of([date.fromordinal(r.due) for r in moving])
    while due_days.months_on(first, months, anchor).toordinal() < d.day:
        months += 1
    moved = [replace(r, due=due_days.months_on(date.fromordinal(r.due), months, anchor).toordinal()) for r in moving]
    s.receivables = tuple(sorted((*(r for r in s.receivables if r not in moving), *moved), key=receivable_order))
    last = max(r.due for r in s.receivables if r.plan)
    d.emit(
        ev.PlanPostponed(
            **d.header,
            plan_id=plan.plan_id,
            offer_id=plan.offer_id,
            months=months,
            next_due_on=date.fromordinal(moved[0].due),
            last_due_on=date.fromordinal(last),
        )
    )


def request_review(d: DayFold, fact: ev.PlanReviewRequested) -> None:
    """Let the borrower have another plan in the place of this one, if it is still the same."""
    if d.s.plan is not None and d.s.plan.plan_id == fact.plan_id and not d.s.closed_on:
        d.s.plan = replace(d.s.plan, review=d.day)


def leave_arrangement(d: DayFold, plan: Plan) -> None:
    """End an arrangement for a time that was kept so far: what it deferred is due on its last day, or today."""
    s = d.s
    if plan.defers:
        s.payments_deferred_to = min(s.payments_deferred_to, d.day)
        s.arrears_free_since = s.arrears_free_since or d.day


def report_replaced(d: DayFold, old: Plan, by_plan_id: str) -> None:
    """Report that another plan takes the place of one, as agreed."""
    d.emit(ev.PlanReplaced(**record_of(d, old), by_plan_id=by_plan_id))


def replace_plan(d: DayFold, old: Plan, new: Plan) -> Plan:
    """Replace a plan by another as agreed; what the first one replaced is owed again if the second breaks."""
    report_replaced(d, old, new.plan_id)
    others = (r for r in new.replaced if not r.plan)
    return replace(
        new,
        replaced=tuple(sorted((*old.replaced, *others), key=receivable_order)),
        waived=old.waived.plus(new.waived),
        paid=old.paid,
        saved=old.saved,
        counted=old.counted,
    )


class Fitted(Struct, frozen=True):
    """A schedule, and what is not asked for since it is within the tolerance of an instalment, in minor units."""

    instalments: tuple[ev.PlanInstalment, ...]
    forgiven: int = 0


def last_day(activated: date, policy: Policy) -> date:
    """Return the last day on which an instalment of a plan may be due: its legal term after it began, rolled as due
    dates are.
    """
    return policy.due_days.roll(add_months(activated, policy.plans.max_term_months))


def term_capacity(agreed: Sequence[ev.PlanInstalment], limit: date, policy: Policy) -> int:
    """Return how much principal a plan can repay by a day in instalments no larger than its largest, minor units."""
    within = [i for i in agreed if i.due_on <= limit]
    return sum(i.principal for i in within) + len(_later(within, agreed, limit, policy.due_days)) * _most(agreed)


def adjust_schedule(
    agreed: Sequence[ev.PlanInstalment], financed: int, annual_rate_bps: int, limit: date, policy: Policy
) -> Fitted:
    """Return the schedule that repays `financed` (>= 0, minor units) with none due after `limit`.

    Its principal and what is forgiven sum to `financed`, exactly. Where less is owed than was agreed the amounts stay
    as they are, interest is worked out anew on the balance that falls faster, and the last instalments go. Where more
    is owed it is asked for behind the last instalment, in instalments no larger than the largest that was accepted;
    what the term has no room for is spread evenly over all that ask for something. A difference within the tolerance
    of the last instalment goes onto it, or is forgiven where it would grow beyond what was accepted: as an instalment
    of its own it would count as paid without a payment.
    """
    schedule = list(agreed)
    less = financed < sum(i.principal for i in agreed)
    if less:
        schedule = _shortened(agreed, financed, annual_rate_bps, policy)
    within = [i for i in schedule if i.due_on <= limit]
    cut = len(within) < len(schedule)
    if financed and not within:
        within = [ev.PlanInstalment(number=1, due_on=limit, amount=0, principal=0, interest=0)]
    gap = financed - sum(i.principal for i in within)
    most = _most(agreed)
    if not gap:
        return _without_tail(within, most, policy) if less else Fitted(tuple(within))
    if gap <= tolerance(policy.delinquency, within[-1].amount):
        return _onto_last(within, gap, most)
    longer = _lengthened(within, gap, most, _later(within, agreed, limit, policy.due_days))
    return Fitted(tuple(_at_rate(longer, annual_rate_bps, policy) if cut else longer))


def _most(agreed: Sequence[ev.PlanInstalment]) -> int:
    return max((i.amount for i in agreed), default=0)


def _shortened(
    agreed: Sequence[ev.PlanInstalment], financed: int, annual_rate_bps: int, policy: Policy
) -> list[ev.PlanInstalment]:
    """Return the instalments with their amounts as they are until a smaller principal is repaid."""
    left = financed
    kept: list[ev.PlanInstalment] = []
    for i in agreed:
        if not left:
            break
        # No rate above the agreed one, by the plan's own interest either.
        interest = min(rounded(left * annual_rate_bps, MONTHLY, policy.options.rounding), i.interest)
        principal = min(i.amount - interest, left)
        left -= principal
        kept.append(replace(i, amount=principal + interest, principal=principal, interest=interest))
    return kept


def _without_tail(schedule: list[ev.PlanInstalment], most: int, policy: Policy) -> Fitted:
    if schedule and schedule[-1].amount <= tolerance(policy.delinquency, schedule[-1].amount):
        return _onto_last(schedule[:-1], schedule[-1].principal, most)
    return Fitted(tuple(schedule))


def _onto_last(schedule: list[ev.PlanInstalment], gap: int, most: int) -> Fitted:
    if schedule and schedule[-1].amount + gap <= most:
        return Fitted((*schedule[:-1], _grown(schedule[-1], gap)))
    return Fitted(tuple(schedule), gap)


def _lengthened(schedule: list[ev.PlanInstalment], gap: int, most: int, later: list[date]) -> list[ev.PlanInstalment]:
    later = later[: -(-gap // most)] if most else []
    behind = min(gap, len(later) * most)
    number = schedule[-1].number
    longer = schedule + [
        ev.PlanInstalment(number=number + n, due_on=due, amount=part, principal=part, interest=0)
        for n, (due, part) in enumerate(zip(later, _evenly(behind, len(later)), strict=True), 1)
    ]
    # Who has nothing to pay in the first months has nothing to pay then whatever the rest grows to.
    asking = [n for n, i in enumerate(longer) if i.amount] or list(range(len(longer)))
    for n, more in zip(asking, _evenly(gap - behind, len(asking)), strict=True):
        longer[n] = _grown(longer[n], more)
    return longer


def _at_rate(schedule: list[ev.PlanInstalment], annual_rate_bps: int, policy: Policy) -> list[ev.PlanInstalment]:
    """Return a schedule that repays faster than was agreed, without the interest that is then not earned."""
    left = sum(i.principal for i in schedule)
    found = []
    for i in schedule:
        interest = min(rounded(left * annual_rate_bps, MONTHLY, policy.options.rounding), i.interest)
        left -= i.principal
        found.append(replace(i, amount=i.principal + interest, interest=interest))
    return found


def _later(
    schedule: Sequence[ev.PlanInstalment], agreed: Sequence[ev.PlanInstalment], limit: date, due_days: DueDays
) -> list[date]:
    """Return the due dates that a schedule may have behind its last one, a month apart, on the day that was agreed."""
    found: list[date] = []
    if schedule:
        anchor = due_days.anchor_of([i.due_on for i in agreed or schedule])
        while (due := due_days.months_on(schedule[-1].due_on, len(found) + 1, anchor)) <= limit:
            found.append(due)
    return found


def _grown(i: ev.PlanInstalment, more: int) -> ev.PlanInstalment:
    return replace(i, amount=i.amount + more, principal=i.principal + more)


def _evenly(amount: int, parts: int) -> list[int]:
    """Return an amount in parts that differ by at most one minor unit, the larger ones first."""
    each, rest = divmod(amount, parts) if parts else (0, 0)
    return [each + (n < rest) for n in range(parts)]
