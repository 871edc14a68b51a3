"""The statuses of an account at the close of a day: bucket, class, impairment, bad debt, collection, credit standing.

Each transition is published once. The rules are the policy's. The order is fixed, so that the same facts always give
the same events: missed instalments and fees, the plan, the measures, bad debt, impairment, classes, collection, credit
standing.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date
from operator import attrgetter

from msgspec.structs import replace

from agents.account import closure
from agents.account.arrangements import follow_plan
from agents.account.bad_debt import decide_bad_debt
from agents.account.classification import arrears_free_for, classify
from agents.account.day import DayFold, note_attempt, outstanding_on, remeasure
from agents.account.next_close import is_month_end, next_fold_day
from agents.account.parties import drop_ended_party_holds
from agents.account.postings import report_reversals
from schemas import events as ev
from state.account import AccountState, Receivable
from state.delinquency import bucket_of, days_late, is_material, measure, paused_days
from state.ledger import half_up, late_fee, tolerance

_due = attrgetter("due")
DEFAULTED: tuple[ev.BadDebtStatus, ...] = ("recognised", "charged_off", "recovering")


def close_business_day(d: DayFold) -> None:
    """Emit all transitions of a day after its facts, and set the next day that is folded."""
    s = d.s
    report_reversals(d)
    drop_ended_party_holds(s, d.day)
    closure.report_reopening(d)
    if s.closed_on:
        for review in d.reviews:
            d.not_applied(review, review.review_id, "account_closed", "The account is closed. Reopen it first.")
        _note_ended_disputes(s, d.day)
        s.next_fold_on = next_fold_day(d)
        return
    if is_calm(s, d.day) and d.closing is None and not d.reviews and not d.renamed:
        drop_settled_instalments(d, d.day)
        s.next_fold_on = next_fold_day(d)
        return
    terminated = s.bad_debt == "terminated"
    if not terminated:
        _measure_close(d)
    _settle_promises(d)
    stage = _measure_stage(d)
    decide_bad_debt(d, stage)
    if not terminated:
        _report_impairment(d, stage)
        classify(d)
    _report_collection(d)
    _report_credit_standing(d)
    _note_ended_disputes(s, d.day)
    _drop_past_arrears(d)
    closure.end_account(d)
    s.next_fold_on = next_fold_day(d)


def _measure_close(d: DayFold) -> None:
    """Emit paid, missed and caught-up instalments of this close, and measure what is late."""
    if is_month_end(d.day) or d.closing is not None:
        d.post_penalty()
    follow_plan(d)
    _report_instalments(d)
    drop_settled_instalments(d, d.day)
    remeasure(d)
    _measure_materiality(d)
    _report_bucket(d)


def drop_settled_instalments(d: DayFold, day: int) -> None:
    """Take out the instalments that have left the account by the close of a day (ordinal), whether it was visited."""
    s = d.s
    if not s.receivables or s.receivables[0].due > day:
        return
    # What is due comes first. A mortgage has hundreds of instalments, and each day that is folded comes by here.
    due = bisect_right(s.receivables, day, key=_due)
    through = s.plan.settled_through if s.plan is not None else None
    # What was paid of a plan out of turn stays until all before it is, since months are counted from the last one.
    # What was paid in advance stays until it is due: its interest is not owed if all is repaid before.
    leaving: list[Receivable] = []
    staying: list[Receivable] = []
    for r in s.receivables[:due]:
        gone = r.is_gone(day) and not (r.plan and through is not None and r.number > through)
        (leaving if gone else staying).append(r)
    if leaving:
        s.receivables = (*staying, *s.receivables[due:])
        dues = [r.due for r in leaving if r.plan]
        if s.plan is not None and dues:
            s.plan = replace(s.plan, settled_due=max(s.plan.settled_due, *dues))


def is_calm(s: AccountState, day: int) -> bool:
    """Return whether no event is possible: the account has no arrears, and nothing is left of earlier ones."""
    return (
        (not s.receivables or s.receivables[0].due >= day)
        and s.bucket == "current"
        and s.plan is None
        and not s.holds
        and s.bad_debt in ("none", "cured")
        and s.ifrs9_stage == 1
        and s.ifrs9_stage_by_days == 1
        and s.credit_standing == "good"
        and not s.arrears_free_since
        and not s.overdue_since
        and not s.promises
        and not s.materiality_since
        and not s.collection_stopped
        and not s.allowance
        and not s.bad_debt_rejected
        and s.distressed_restructuring is None
    )


def _report_instalments(d: DayFold) -> None:
    s, rules = d.s, d.policy.delinquency
    paused = d.paused()
    for index, r in enumerate(s.receivables):
        if r.plan:
            continue
        unpaid = r.unpaid()
        if r.missed_reported and unpaid <= tolerance(rules, r.amount_due):
            d.emit(
                ev.InstalmentCaughtUp(
                    **d.header,
                    number=r.number,
                    due_on=date.fromordinal(r.due),
                    days_late=d.day - r.due,
                )
            )
            s.receivables = (*s.receivables[:index], replace(r, missed_reported=False), *s.receivables[index + 1 :])
        elif (
            (due := max(r.due, s.payments_deferred_to)) < d.day
            and not r.missed_reported
            and unpaid > tolerance(rules, r.amount_due)
            and days_late(due, paused, d.day) > rules.grace_days
        ):
            d.emit(
                ev.InstalmentMissed(
                    **d.header,
                    number=r.number,
                    due_on=date.fromordinal(r.due),
                    overdue_amount=unpaid,
                    currency=s.currency,
                )
            )
            s.receivables = (*s.receivables[:index], replace(r, missed_reported=True), *s.receivables[index + 1 :])
            spared = s.plan is not None and s.plan.is_temporary
            fee = 0 if spared else min(late_fee(d.policy.charges, unpaid), d.chargeable())
            if fee > 0:
                d.charge(index, fee, "late_fee")


def _measure_materiality(d: DayFold) -> None:
    s, rules = d.s, d.policy.delinquency
    paused = d.paused()
    m = measure(s.receivables, paused, d.day, rules, s.payments_deferred_to)
    if m.oldest_due and is_material(m, rules):
        s.materiality_since = s.materiality_since or d.day
        s.days_past_due_material = d.day - s.materiality_since + 1 - paused_days(paused, s.materiality_since - 1, d.day)
    else:
        s.materiality_since = s.days_past_due_material = 0


def _report_bucket(d: DayFold) -> None:
    s = d.s
    to = bucket_of(s.days_past_due, d.policy.delinquency.grace_days)
    if to != s.bucket:
        d.emit(
            ev.DelinquencyChanged(
                **d.header,
                from_=s.bucket,
                to=to,
                days_past_due=s.days_past_due,
                counter_days=s.days_past_due_material,
                missed=s.missed,
                overdue_amount=s.overdue_amount,
                currency=s.currency,
            )
        )
        s.bucket = to


def _settle_promises(d: DayFold) -> None:
    """Count what came in today toward promises, each unit of money once, the earliest due date first."""
    s, money = d.s, d.paid_today
    if not s.promises:
        return
    open_ = []
    for p in sorted(s.promises, key=lambda p: (p.due, p.promise_id)):
        if d.day <= p.due:
            part = min(money, p.amount - p.paid)
            money -= part
            p = replace(p, paid=p.paid + part)
        due_on = date.fromordinal(p.due)
        if p.paid >= p.amount:
            d.emit(
                ev.PromiseKept(**d.header, promise_id=p.promise_id, due_on=due_on, amount=p.amount, currency=s.currency)
            )
        elif p.due < d.day:
            d.emit(
                ev.PromiseBroken(
                    **d.header,
                    promise_id=p.promise_id,
                    due_on=due_on,
                    amount=p.amount,
                    paid=p.paid,
                    currency=s.currency,
                )
            )
            if d.policy.bad_debt.broken_promise_counts and s.overdue_since:
                note_attempt(d, p.promise_id)
        else:
            open_.append(p)
    s.promises = tuple(open_)


def _measure_stage(d: DayFold) -> int:
    """Return the stage by days past due; better only through probation."""
    s, rules = d.s, d.policy.impairment
    if s.days_past_due >= rules.stage3_from_days:
        stage = 3
    else:
        stage = 2 if s.days_past_due > rules.stage2_over_days or s.plan is not None else 1
    before = s.ifrs9_stage_by_days
    if stage < before and not arrears_free_for(d, rules.probation_days, rules.probation_months):
        stage = before
    s.ifrs9_stage_by_days = stage
    return stage


def _report_impairment(d: DayFold, stage: int) -> None:
    s, rules = d.s, d.policy.impairment
    if s.bad_debt in DEFAULTED:
        stage = 3
    exposure = outstanding_on(s, d.day).total()
    coverage = rules.bad_debt_coverage_bps if s.bad_debt == "recognised" else rules.coverage_bps[stage - 1]
    if s.bad_debt in ("charged_off", "recovering", "terminated"):
        exposure = 0
    allowance = half_up(exposure * coverage, 10_000)
    # Of an account of which nothing was ever reported, the first stage's allowance is not either.
    remeasured = is_month_end(d.day) and (stage > 1 or s.allowance)
    if stage != s.ifrs9_stage or (allowance != s.allowance and (remeasured or d.restored or s.bad_debt_on == d.day)):
        d.emit(
            ev.ImpairmentChanged(
                **d.header,
                from_stage=s.ifrs9_stage,
                stage=stage,
                allowance=allowance,
                exposure=exposure,
                currency=s.currency,
            )
        )
        s.ifrs9_stage, s.allowance = stage, allowance


def _report_collection(d: DayFold) -> None:
    s = d.s
    reasons = ["plan"] if s.plan is not None else []
    reasons += [f"hold:{kind}" for kind in d.active_holds()]
    if s.bad_debt == "terminated":
        reasons.append("terminated")
    if bool(reasons) == s.collection_stopped:
        return
    s.collection_stopped = bool(reasons)
    if reasons:
        d.emit(ev.CollectionStopped(**d.header, reason=reasons[0]))
    else:
        d.emit(ev.CollectionResumed(**d.header, reason=_why_resumed(d)))


def _why_resumed(d: DayFold) -> str:
    """Return the code of what ended why collection was stopped."""
    if d.restored:
        return "reopened"
    for kind, why in (
        (ev.PlanBroken, "plan_broken"),
        (ev.PlanCompleted, "plan_completed"),
        (ev.PlanEnded, "plan_ended"),
    ):
        if any(isinstance(e, kind) for e in d.emitted):
            return why
    # What the position of an account that was taken over stopped is a reason of another system.
    return "hold_ended" if any(0 < h.end < d.day for h in d.s.holds) else "taken_over"


def _report_credit_standing(d: DayFold) -> None:
    s = d.s
    to: ev.CreditStanding
    if s.bad_debt in ("charged_off", "recovering"):
        to, reason = "defaulted", f"bad debt {s.bad_debt}"
    elif s.bad_debt == "terminated":
        to, reason = s.credit_standing, ""
    elif s.plan is not None:
        to, reason = "restructured", "plan active"
    elif s.bad_debt == "recognised" or (s.ifrs9_stage == 3 and s.overdue_since):
        to, reason = "defaulted", f"days past due {s.days_past_due}"
    elif s.days_past_due > d.policy.delinquency.grace_days:
        to, reason = "arrears", f"days past due {s.days_past_due}"
    elif s.credit_standing == "good" or (_probation_served(d) and s.ifrs9_stage == 1):
        to, reason = "good", "probation served"
    elif s.overdue_since:
        to, reason = s.credit_standing, ""
    else:
        to, reason = "repairing", "arrears paid"
    if to != s.credit_standing:
        d.emit(ev.CreditStandingChanged(**d.header, from_=s.credit_standing, to=to, reasons=(reason,)))
        s.credit_standing = to


def _probation_served(d: DayFold) -> bool:
    """Return whether the account was without arrears for its probation, or never had any."""
    s = d.s
    return arrears_free_for(d, d.policy.plans.probation_days) or not (s.arrears_free_since or s.overdue_since)


def _note_ended_disputes(s: AccountState, day: int) -> None:
    ends = [h.end + 1 for h in s.holds if h.kind == "dispute" and h.start <= h.end < day]
    s.dispute_ended_on = max(s.dispute_ended_on, *ends) if ends else s.dispute_ended_on


def _drop_past_arrears(d: DayFold) -> None:
    """Drop what earlier arrears left once nothing depends on it, so that a calm account is calm again.

    While a plan runs the arrears that it replaced may return, and with them the days that holds paused.
    """
    s = d.s
    if not s.overdue_since and s.plan is None:
        s.failed_contact_attempts, s.bad_debt_evidence = 0, ()
        s.holds = tuple(h for h in s.holds if h.end == 0 or h.end >= d.day)
        served = s.credit_standing == "good" and s.ifrs9_stage == 1 and not any(s.classes.values())
        if s.arrears_free_since and served and s.bad_debt in ("none", "cured"):
            s.arrears_free_since, s.had_plan, s.distressed_restructuring = 0, False, None
