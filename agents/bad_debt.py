"""Bad debt: none, candidate, recognised, charged off, recovering, terminated, cured.

A candidate is overdue, was called in vain, and its arrears are material; it is recognised once it is impaired
(automatically) or by a review, as the policy says. While a plan runs it is neither recognised nor cured by itself.
Where the policy charges off by days past due, it does so whatever was tried, unless a hold or a review stands against
it. Recovery goes on after a charge-off (账销案存, 财金〔2017〕90号) until a review terminates it on a coded ground or
it is settled.
"""

from __future__ import annotations

from agents.account_day import Day, clean_for, outstanding_on
from schemas import events as ev
from state.delinquency import is_material, measure


def decide_bad_debt(d: Day, stage: int) -> None:
    """Move the bad-debt status as far as this day's facts and measures let it; `stage` is that by days past due."""
    s, rules = d.s, d.policy.bad_debt
    if not s.overdue_since and s.plan is None:
        s.rejected = False
    if s.bad_debt in ("none", "cured") and not s.rejected:
        _candidate(d)
    if s.bad_debt == "candidate":
        _decide_candidate(d, stage)
    if s.bad_debt in ("candidate", "recognised") and _late_enough(d):
        if s.bad_debt == "candidate":
            _turn(d, "recognised", (f"days past due {s.days_past_due}",))
        _turn(d, "charged_off", (f"days past due {s.days_past_due} >= {rules.charge_off_after}",))
    elif s.bad_debt == "recognised":
        review = _review(d, "charge_off")
        if review is not None:
            _turn(d, "charged_off", (f"review {review.review_id}: {review.ground}",), review.review_id)
        elif s.plan is None and clean_for(d, _probation(d)):
            _turn(d, "cured", (f"clean for {d.day - s.clean_since} days",))
    _recovery(d)


def _late_enough(d: Day) -> bool:
    """Say whether days past due alone charge a debt off, whatever was tried (65 FR 36903 where the pack says so)."""
    after = d.policy.bad_debt.charge_off_after
    return after is not None and d.s.days_past_due >= after


def _probation(d: Day) -> int:
    """Return the clean days before a recognised debt is cured: after a plan, also what a class waits for after one."""
    after_plan = max((c.after_plan_days for c in d.policy.classifications), default=0) if d.s.had_plan else 0
    return max(d.policy.bad_debt.cure_probation_days, after_plan)


def _candidate(d: Day) -> None:
    s, rules, delinquency = d.s, d.policy.bad_debt, d.policy.delinquency
    reasons = []
    if s.missed >= rules.missed_at_least and s.missed:
        reasons.append(f"missed instalments {s.missed} >= {rules.missed_at_least}")
    if s.days_past_due > rules.days_past_due_over:
        reasons.append(f"days past due {s.days_past_due} > {rules.days_past_due_over}")
    if _late_enough(d):
        reasons.append(f"days past due {s.days_past_due} >= {rules.charge_off_after}")
    elif not reasons or s.attempts < rules.attempts_at_least:
        return
    if not is_material(measure(s.receivables, s.holds, d.day, delinquency), delinquency):
        return
    if any(kind in rules.blocking_holds for kind in d.active_holds()):
        return
    if s.attempts >= rules.attempts_at_least:
        reasons.append(f"failed contact attempts {s.attempts} >= {rules.attempts_at_least}")
    _turn(d, "candidate", tuple(reasons))


def _decide_candidate(d: Day, stage: int) -> None:
    s, rules = d.s, d.policy.bad_debt
    if not s.overdue_since and s.plan is None:
        _turn(d, "cured", ("all arrears paid",))
        return
    rejected = _review(d, "reject")
    if rejected is not None:
        s.rejected = True
        _turn(d, "none", (f"review {rejected.review_id}: {rejected.ground}",), rejected.review_id)
        return
    confirmed = _review(d, "recognise")
    if confirmed is not None:
        _turn(d, "recognised", (f"review {confirmed.review_id}: {confirmed.ground}",), confirmed.review_id)
        return
    waited = d.day - s.bad_debt_on
    automatic = rules.recognition == "automatic" and s.plan is None
    if automatic and stage == 3 and waited >= rules.recognise_after_days:
        _turn(d, "recognised", ("impairment stage 3", f"candidate for {waited} days"))


def _recovery(d: Day) -> None:
    s, rules = d.s, d.policy.bad_debt
    if s.bad_debt not in ("charged_off", "recovering"):
        return
    # What came in on the day whose close charges off was paid before.
    if s.bad_debt == "charged_off" and d.paid_today and s.bad_debt_on < d.day:
        _turn(d, "recovering", (f"payment of {d.paid_today} after charge-off",))
    elif s.bad_debt == "recovering" and d.day - s.last_payment > rules.recovery_lapse_days:
        _turn(d, "charged_off", (f"no payment for {d.day - s.last_payment} days",))
    review = _review(d, "terminate")
    if review is not None:
        _turn(d, "terminated", (f"review {review.review_id}: {review.ground}",), review.review_id)
    elif not any(r.owed() for r in s.receivables):
        _turn(d, "terminated", ("settled",))


def _review(d: Day, decision: ev.ReviewDecision) -> ev.BadDebtReviewed | None:
    return next((r for r in d.reviews if r.decision == decision), None)


def _turn(d: Day, to: ev.BadDebtStatus, reasons: tuple[str, ...], *evidence: str) -> None:
    s = d.s
    owed = outstanding_on(s, d.day)
    d.say(
        ev.BadDebtChanged,
        from_=s.bad_debt,
        to=to,
        policy=d.policy.bad_debt.policy,
        days_past_due=s.days_past_due,
        missed=s.missed,
        attempts=s.attempts,
        outstanding=ev.Amounts(principal=owed.principal, interest=owed.interest, fees=owed.fees, penalty=owed.penalty),
        currency=s.currency,
        reasons=reasons,
        evidence=tuple(sorted({*s.evidence, *evidence})),
    )
    s.bad_debt, s.bad_debt_on = to, d.day
