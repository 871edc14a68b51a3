"""The regions of an account at the close of a day: bucket, class, impairment, bad debt, collection, standing.

Each transition is said once. The rules are the policy's; the order is fixed, so that the same facts
always say the same: missed instalments and fees, the plan, the measures, bad debt, impairment,
classes, collection, credit standing.
"""

from __future__ import annotations

from datetime import date

from msgspec.structs import replace

from agents.account_day import (
    Day,
    clean_for,
    is_month_end,
    next_day,
    note_attempt,
    outstanding_on,
    probation_of,
    proving_since,
    remeasure,
)
from agents.bad_debt import decide_bad_debt
from agents.plan_life import follow
from schemas import events as ev
from state.account import AccountState
from state.delinquency import bucket_of, days_late, is_material, measure, paused_days
from state.ledger import half_up, late_fee, tolerance
from state.policy import Classification, Policy

DEFAULTED: tuple[ev.BadDebtStatus, ...] = ("recognised", "charged_off", "recovering")


def close_day(d: Day) -> None:
    """Say all transitions of a day once its facts are in, and name the next day that matters."""
    s = d.s
    if is_calm(s, d.day):
        settled = 0
        while settled < len(s.receivables) and not s.receivables[settled].owed():
            settled += 1
        if settled:
            s.receivables = s.receivables[settled:]
        s.due = next_day(d)
        return
    if is_month_end(d.day):
        d.post_penalty()
    follow(d)
    _instalments(d)
    # What was paid of a plan out of turn stays until all before it is, since interest is earned from one to the next.
    settled = s.plan.settled_through if s.plan is not None else 0
    s.receivables = tuple(
        r for r in s.receivables if r.owed() or r.reported or (r.plan and s.plan is not None and r.number > settled)
    )
    remeasure(d)
    _counter(d)
    _bucket(d)
    _promises(d)
    stage = _stage(d)
    decide_bad_debt(d, stage)
    _impairment(d, stage)
    _classes(d)
    _collection(d)
    _standing(d)
    _forget(d)
    s.due = next_day(d)


def is_calm(s: AccountState, day: int) -> bool:
    """Say whether nothing can be said of an account: no arrears, and nothing left of earlier ones."""
    return (
        (not s.receivables or s.receivables[0].due >= day)
        and s.bucket == "current"
        and s.plan is None
        and not s.holds
        and s.bad_debt in ("none", "cured")
        and s.stage == 1
        and s.standing == "good"
        and not s.clean_since
        and not s.overdue_since
        and not s.promises
        and not s.material_since
        and not s.collection_stopped
        and s.distressed is None
    )


def _instalments(d: Day) -> None:
    s, rules = d.s, d.policy.delinquency
    for index, r in enumerate(s.receivables):
        if r.plan:
            continue
        unpaid = r.unpaid()
        if r.reported and unpaid <= tolerance(rules, r.asked):
            d.say(
                ev.InstalmentCaughtUp,
                number=r.number,
                due_on=date.fromordinal(r.due),
                days_late=d.day - r.due,
            )
            s.receivables = (*s.receivables[:index], replace(r, reported=False), *s.receivables[index + 1 :])
        elif (
            r.due < d.day
            and not r.reported
            and unpaid > tolerance(rules, r.asked)
            and days_late(r, s.holds, d.day, rules) > rules.grace_days
        ):
            d.say(
                ev.InstalmentMissed,
                number=r.number,
                due_on=date.fromordinal(r.due),
                overdue_amount=unpaid,
                currency=s.currency,
            )
            s.receivables = (*s.receivables[:index], replace(r, reported=True), *s.receivables[index + 1 :])
            fee = min(late_fee(d.policy.charges, unpaid), d.room())
            if fee > 0:
                d.charge(index, fee, "late_fee")


def _counter(d: Day) -> None:
    s, rules = d.s, d.policy.delinquency
    m = measure(s.receivables, s.holds, d.day, rules)
    if m.oldest_due and is_material(m, rules):
        s.material_since = s.material_since or d.day
        s.counter_days = (
            d.day - s.material_since + 1 - paused_days(s.holds, rules.pausing_holds, s.material_since - 1, d.day)
        )
    else:
        s.material_since = s.counter_days = 0


def _bucket(d: Day) -> None:
    s = d.s
    to = bucket_of(s.days_past_due, d.policy.delinquency.grace_days)
    if to != s.bucket:
        d.say(
            ev.DelinquencyChanged,
            from_=s.bucket,
            to=to,
            days_past_due=s.days_past_due,
            counter_days=s.counter_days,
            missed=s.missed,
            overdue_amount=s.overdue,
            currency=s.currency,
        )
        s.bucket = to


def _promises(d: Day) -> None:
    s = d.s
    for p in s.promises:
        if p.due < d.day and p.paid < p.amount and d.policy.bad_debt.broken_promise_counts and s.overdue_since:
            note_attempt(d, p.promise_id)
    s.promises = tuple(p for p in s.promises if p.due >= d.day and p.paid < p.amount)


def _stage(d: Day) -> int:
    """Return the stage by days past due; better only through probation."""
    s, rules = d.s, d.policy.impairment
    if s.days_past_due >= rules.stage3_from_days:
        return 3
    stage = 2 if s.days_past_due > rules.stage2_over_days or s.plan is not None else 1
    if stage < s.stage and not clean_for(d, rules.probation_days):
        return s.stage
    return stage


def _impairment(d: Day, stage: int) -> None:
    s, rules = d.s, d.policy.impairment
    if s.bad_debt in DEFAULTED:
        stage = 3
    exposure = outstanding_on(s, d.day).total()
    coverage = rules.bad_debt_coverage_bps if s.bad_debt == "recognised" else rules.coverage_bps[stage - 1]
    if s.bad_debt in ("charged_off", "recovering", "terminated"):
        exposure = 0
    allowance = half_up(exposure * coverage, 10_000)
    remeasured = is_month_end(d.day) and stage > 1 and allowance != s.allowance
    if stage != s.stage or remeasured or (s.bad_debt_on == d.day and allowance != s.allowance):
        d.say(
            ev.ImpairmentChanged,
            from_stage=s.stage,
            stage=stage,
            allowance=allowance,
            exposure=exposure,
            currency=s.currency,
        )
        s.stage, s.allowance = stage, allowance


def _classes(d: Day) -> None:
    s = d.s
    for rule in d.policy.classifications:
        measured = s.counter_days if rule.material_counter else s.days_past_due
        now = s.classes.get(rule.policy, 0)
        to = max((i for i, t in enumerate(rule.thresholds) if measured >= t.from_days), default=0)
        reason = f"counter days {measured}" if rule.material_counter else f"days past due {measured}"
        if s.distressed is not None and _distressed(d, rule) > to:
            to, reason = _distressed(d, rule), f"distressed restructuring with a loss of {s.distressed.loss_bps} bps"
        wait, since = probation_of(s, rule), proving_since(s, rule)
        if to == now or (to < now and wait and not (since and d.day - since >= wait)):
            continue
        reasons = [reason]
        if to < now:
            reasons.append(f"clean for {d.day - since} days" if since else "no probation")
        d.say(
            ev.ClassificationChanged,
            policy=rule.policy,
            from_=rule.thresholds[now].name,
            to=rule.thresholds[to].name,
            days_past_due=s.days_past_due,
            reasons=tuple(reasons),
        )
        s.classes = {**s.classes, rule.policy: to}
    # Arrears that come after the probation are judged by their days again.
    if s.distressed is not None and not any(_proving(d, rule) for rule in d.policy.classifications):
        s.distressed = None


def _distressed(d: Day, rule: Classification) -> int:
    """Return the rank of the class that a distressed restructuring makes of the account, 0 for none."""
    if not rule.distressed or not _proving(d, rule):
        return 0
    return next((i for i, t in enumerate(rule.thresholds) if t.name == rule.distressed), 0)


def _proving(d: Day, rule: Classification) -> bool:
    """Say whether the probation after a distressed restructuring is still to be served under a classification."""
    since = proving_since(d.s, rule)
    return not since or d.day - since < max(probation_of(d.s, rule), 1)


def carried(classes: dict[str, int], old: Policy, new: Policy) -> dict[str, int]:
    """Return the ranks of an account's classes where other rules take over.

    A class keeps its name; one that is no more becomes the last that begins no later. A classification that is no more
    is dropped.
    """
    before = {rule.policy: rule.thresholds for rule in old.classifications}
    found = {}
    for rule in new.classifications:
        if rule.policy in classes and rule.policy in before:
            was = before[rule.policy][classes[rule.policy]]
            same = [i for i, t in enumerate(rule.thresholds) if t.name == was.name]
            milder = [i for i, t in enumerate(rule.thresholds) if t.from_days <= was.from_days]
            found[rule.policy] = (same or milder)[-1]
    return found


def _collection(d: Day) -> None:
    s = d.s
    reasons = ["plan"] if s.plan is not None else []
    reasons += [f"hold:{kind}" for kind in d.active_holds()]
    if s.bad_debt == "terminated":
        reasons.append("terminated")
    if bool(reasons) == s.collection_stopped:
        return
    s.collection_stopped = bool(reasons)
    if reasons:
        d.say(ev.CollectionStopped, reason=reasons[0])
    else:
        ended = next((kind for kind, _ in d.said if kind in (ev.PlanBroken, ev.PlanCompleted)), None)
        why = {ev.PlanBroken: "plan_broken", ev.PlanCompleted: "plan_completed"}
        d.say(ev.CollectionResumed, reason=why[ended] if ended else "hold_ended")


def _standing(d: Day) -> None:
    s = d.s
    to: ev.CreditStanding
    if s.bad_debt in ("charged_off", "recovering"):
        to, reason = "defaulted", f"bad debt {s.bad_debt}"
    elif s.bad_debt == "terminated":
        to, reason = s.standing, ""
    elif s.plan is not None:
        to, reason = "restructured", "plan active"
    elif s.bad_debt == "recognised" or (s.stage == 3 and s.overdue_since):
        to, reason = "defaulted", f"days past due {s.days_past_due}"
    elif s.days_past_due > d.policy.delinquency.grace_days:
        to, reason = "arrears", f"days past due {s.days_past_due}"
    elif s.standing == "good" or (clean_for(d, d.policy.plans.probation_days) and s.stage == 1):
        to, reason = "good", "probation served"
    elif s.overdue_since:
        to, reason = s.standing, ""
    else:
        to, reason = "repairing", "arrears paid"
    if to != s.standing:
        d.say(ev.CreditStandingChanged, from_=s.standing, to=to, reasons=(reason,))
        s.standing = to


def _forget(d: Day) -> None:
    """Drop what earlier arrears left once nothing depends on it, so that a calm account is calm again.

    While a plan runs the arrears that it replaced may return, and with them the days that holds paused.
    """
    s = d.s
    if not s.overdue_since and s.plan is None:
        s.attempts, s.evidence = 0, ()
        s.holds = tuple(h for h in s.holds if h.end == 0 or h.end >= d.day)
        served = s.standing == "good" and s.stage == 1 and not any(s.classes.values())
        if s.clean_since and served and s.bad_debt in ("none", "cured"):
            s.clean_since, s.had_plan, s.distressed = 0, False, None
