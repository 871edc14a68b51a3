"""Bad debt: none, candidate, recognised, charged off, recovering, terminated, cured.

A candidate is overdue, was called in vain, and its arrears are material; it is recognised once it is impaired
(automatically) or by a review, as the policy says. While a plan runs it is neither recognised nor cured by itself.
Where the policy charges off by days past due, it does so whatever was tried, unless a hold or a review stands against
it. A review acts from every status from which it may, or is answered with the reason. Recovery goes on after a
charge-off (账销案存, 财金〔2017〕90号) until a review terminates it on a coded ground or it is settled.
"""

from __future__ import annotations

from agents.account.classification import earliest_cure
from agents.account.day import DayFold, event_amounts, outstanding_on
from schemas import events as ev
from state.account import AccountState, Paid
from state.delinquency import Measures, is_material, measure

# Reviews of one instant act in this order.
DECISIONS: tuple[ev.ReviewDecision, ...] = ("recognise", "reject", "charge_off", "terminate")
# From which status a review may decide what.
POSSIBLE: dict[ev.ReviewDecision, tuple[ev.BadDebtStatus, ...]] = {
    "recognise": ("none", "cured", "candidate"),
    "reject": ("candidate", "recognised"),
    "charge_off": ("none", "cured", "candidate", "recognised"),
    "terminate": ("charged_off", "recovering"),
}


def decide_bad_debt(d: DayFold, stage: int) -> None:
    """Move the bad-debt status as far as this day's facts and measures let it; `stage` is that by days past due."""
    s = d.s
    if d.revived:
        before, s.bad_debt = s.bad_debt, "terminated"
        change_bad_debt(d, before, ("reopened",))
    if not s.overdue_since and s.plan is None:
        s.bad_debt_rejected = False
    if s.bad_debt in ("none", "cured") and not s.bad_debt_rejected:
        _candidate(d)
    if s.bad_debt == "candidate" and not s.overdue_since and s.plan is None:
        change_bad_debt(d, "cured", ("all arrears paid",))
    for review in sorted(d.reviews, key=lambda r: (r.occurred_at, DECISIONS.index(r.decision), r.review_id)):
        _apply_review(d, review)
    if s.bad_debt == "candidate":
        _recognise(d, stage)
    _charge_off_by_days(d)
    _charge_off_after_hold(d)
    if s.bad_debt == "recognised" and s.plan is None and 0 < earliest_cure(s, d.policy) <= d.day:
        change_bad_debt(d, "cured", (f"clean for {d.day - s.arrears_free_since} days",))
    if s.bad_debt in ("charged_off", "recovering"):
        _recover(d)


def _charges_off_by_days(d: DayFold) -> bool:
    """Return whether days past due alone charge a debt off, whatever was tried (65 FR 36903 where the pack says so)."""
    after = d.policy.bad_debt.charge_off_after
    return after is not None and d.s.days_past_due >= after


def _blocked(d: DayFold, besides: ev.HoldKind | None = None) -> bool:
    """Return whether a hold in force keeps the debt from being recognised."""
    return any(kind in d.policy.bad_debt.blocking_holds for kind in d.active_holds() if kind != besides)


def _candidate(d: DayFold) -> None:
    s, rules, delinquency = d.s, d.policy.bad_debt, d.policy.delinquency
    reasons = []
    if s.missed >= rules.missed_at_least and s.missed:
        reasons.append(f"missed instalments {s.missed} >= {rules.missed_at_least}")
    if s.days_past_due > rules.days_past_due_over:
        reasons.append(f"days past due {s.days_past_due} > {rules.days_past_due_over}")
    if _charges_off_by_days(d):
        reasons.append(f"days past due {s.days_past_due} >= {rules.charge_off_after}")
    elif not reasons or s.failed_contact_attempts < rules.attempts_at_least:
        return
    if not is_material(_measured(d), delinquency) or _blocked(d):
        return
    if s.failed_contact_attempts >= rules.attempts_at_least:
        reasons.append(f"failed contact attempts {s.failed_contact_attempts} >= {rules.attempts_at_least}")
    change_bad_debt(d, "candidate", tuple(reasons))


def _measured(d: DayFold) -> Measures:
    return measure(d.s.receivables, d.paused(), d.day, d.policy.delinquency, d.s.payments_deferred_to)


def _apply_review(d: DayFold, review: ev.BadDebtReviewed) -> None:
    """Let a person's decision act from every status from which it may, or answer it."""
    s = d.s
    reasons = (f"review {review.review_id}: {review.ground}",)
    if s.bad_debt not in POSSIBLE[review.decision]:
        _not_applied(
            d, review, "wrong_status", f"The debt is {s.bad_debt}; {review.decision} acts from {_possible(review)}."
        )
    elif review.decision == "reject":
        s.bad_debt_rejected = True
        change_bad_debt(d, "none", reasons, review.review_id)
    elif review.decision == "terminate":
        change_bad_debt(d, "terminated", reasons, review.review_id)
    elif not outstanding_on(s, d.day).total():
        _not_applied(d, review, "nothing_owed", "Nothing is owed on the account.")
    elif s.bad_debt != "recognised" and _blocked(d):
        _not_applied(
            d, review, "blocked_by_hold", f"{', '.join(d.active_holds())} in force: nothing is recognised meanwhile."
        )
    else:
        if s.bad_debt in ("none", "cured"):
            change_bad_debt(d, "candidate", reasons, review.review_id)
        if s.bad_debt == "candidate":
            change_bad_debt(d, "recognised", reasons, review.review_id)
        if review.decision == "charge_off":
            change_bad_debt(d, "charged_off", reasons, review.review_id)


def _possible(review: ev.BadDebtReviewed) -> str:
    return ", ".join(POSSIBLE[review.decision])


def _not_applied(d: DayFold, review: ev.BadDebtReviewed, code: str, reason: str) -> None:
    d.not_applied(review, review.review_id, code, reason)


def _recognise(d: DayFold, stage: int) -> None:
    s, rules = d.s, d.policy.bad_debt
    waited = d.day - s.bad_debt_on
    automatic = rules.recognition == "automatic" and s.plan is None and not _blocked(d)
    if automatic and stage == 3 and waited >= rules.recognise_after_days:
        change_bad_debt(d, "recognised", ("impairment stage 3", f"candidate for {waited} days"))


def _charge_off_by_days(d: DayFold) -> None:
    s, reason = d.s, f"days past due {d.s.days_past_due}"
    if not _charges_off_by_days(d) or (s.bad_debt == "candidate" and _blocked(d)):
        return
    if s.bad_debt == "candidate":
        change_bad_debt(d, "recognised", (reason,))
    if s.bad_debt == "recognised":
        change_bad_debt(d, "charged_off", (f"{reason} >= {d.policy.bad_debt.charge_off_after}",))


def _charge_off_after_hold(d: DayFold) -> None:
    """Charge off so many days after the notice of a bankruptcy, a death or a fraud (65 FR 36903)."""
    s, after = d.s, d.policy.bad_debt.charge_off_after_hold
    if not after or not s.holds or s.bad_debt not in POSSIBLE["charge_off"] or s.bad_debt_rejected:
        return
    for hold in sorted(s.holds, key=lambda h: (h.start, h.hold_id)):
        days = after.get(hold.kind)
        if days is None or not hold.covers(d.day) or d.day < hold.start + days or _blocked(d, hold.kind):
            continue
        if outstanding_on(s, d.day).total():
            reasons = (f"{hold.kind} hold {hold.hold_id} since {days} days",)
            if s.bad_debt in ("none", "cured"):
                change_bad_debt(d, "candidate", reasons, hold.hold_id)
            if s.bad_debt == "candidate":
                change_bad_debt(d, "recognised", reasons, hold.hold_id)
            change_bad_debt(d, "charged_off", reasons, hold.hold_id)
        return


def _recover(d: DayFold) -> None:
    s, rules = d.s, d.policy.bad_debt
    # What came in on the day whose close charges off was paid before.
    if s.bad_debt == "charged_off" and d.paid_today and s.bad_debt_on < d.day:
        change_bad_debt(d, "recovering", (f"payment of {d.paid_today} after charge-off",))
    elif s.bad_debt == "recovering" and (unpaid := d.day - recovered_on(s)) > rules.recovery_lapse_days:
        change_bad_debt(d, "charged_off", (f"no payment for {unpaid} days",))
    # Interest of months to come is owed nowhere.
    if not outstanding_on(s, d.day).total():
        change_bad_debt(d, "terminated", ("settled",))


def recovered_on(s: AccountState) -> int:
    """Return the day (ordinal) of the last payment of a debt that is recovering.

    An account that is taken over may come without it: it is recovering since its status says so.
    """
    return s.last_payment_on or s.bad_debt_on


def change_bad_debt(
    d: DayFold, to: ev.BadDebtStatus, reasons: tuple[str, ...], *evidence: str, owed: Paid | None = None
) -> None:
    """Change the bad-debt status and emit it. owed: the amount, where it is not what is outstanding."""
    s = d.s
    owed = outstanding_on(s, d.day) if owed is None else owed
    d.emit(
        ev.BadDebtChanged(
            **d.header,
            from_=s.bad_debt,
            to=to,
            policy=d.policy.bad_debt.policy,
            days_past_due=s.days_past_due,
            missed=s.missed,
            attempts=s.failed_contact_attempts,
            outstanding=event_amounts(owed),
            currency=s.currency,
            reasons=reasons,
            evidence=tuple(sorted({*s.bad_debt_evidence, *evidence})),
        )
    )
    s.bad_debt, s.bad_debt_on = to, d.day
