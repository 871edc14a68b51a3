"""The steps of bad debt at a close (docs/rules.md, 8)."""

from __future__ import annotations

from schemas import events as ev
from tests.recomputation.account import Account
from tests.recomputation.money import COMPONENTS

DEAD = ("charged_off", "recovering", "terminated")


def change(a: Account, to: str, outstanding: dict[str, int] | None = None) -> None:
    """Move to another status of bad debt."""
    owed = a.owed() if outstanding is None else outstanding
    a.say(
        "BadDebtChanged",
        from_=a.bad_debt,
        to=to,
        policy=a.policy.bad_debt.policy,
        days_past_due=a.dpd,
        missed=a.missed,
        attempts=a.attempts,
        outstanding=tuple((c, owed[c]) for c in COMPONENTS),
        currency=a.currency,
    )
    a.bad_debt, a.bad_debt_on, a.moved = to, a.today, True
    if to == "charged_off":
        a.charged_off_on = a.today


def charge_off(a: Account) -> None:
    """Charge off, with the steps in between."""
    for to in ("candidate", "recognised", "charged_off"):
        if to == "candidate" and a.bad_debt not in ("none", "cured"):
            continue
        if to == "recognised" and a.bad_debt != "candidate":
            continue
        change(a, to)


def bad_debt(a: Account) -> None:
    """Take the day's steps of bad debt, in their order."""
    rules = a.policy.bad_debt
    if a.back_to:
        change(a, a.back_to)
        a.back_to = ""
    if not a.arrears and a.plan is None:
        a.rejected = False
    blocked = a.hold_in_force(rules.blocking_holds)
    if a.bad_debt in ("none", "cured") and a.material and not blocked and not a.rejected:
        behind = (a.missed >= max(1, rules.missed_at_least) or a.dpd > rules.days_past_due_over) and (
            a.attempts >= rules.attempts_at_least
        )
        if behind or (rules.charge_off_after is not None and a.dpd >= rules.charge_off_after):
            change(a, "candidate")
    if a.bad_debt == "candidate" and not a.arrears and a.plan is None:
        change(a, "cured")
    for review in a.reviews:
        _review(a, review, blocked)
    if (
        a.bad_debt == "candidate"
        and rules.recognition == "automatic"
        and a.plan is None
        and not blocked
        and a.stage_by_days == 3
        and a.today - a.bad_debt_on >= rules.recognise_after_days
    ):
        change(a, "recognised")
    if (
        rules.charge_off_after is not None
        and a.dpd >= rules.charge_off_after
        and (a.bad_debt == "recognised" or (a.bad_debt == "candidate" and not blocked))
    ):
        charge_off(a)
    _charge_off_under_hold(a)
    if a.bad_debt == "recognised" and not a.arrears and a.plan is None and _cured(a):
        change(a, "cured")
    _recovery(a)


def _review(a: Account, review: ev.BadDebtReviewed, blocked: bool) -> None:
    may = {
        "recognise": ("none", "cured", "candidate"),
        "reject": ("candidate", "recognised"),
        "charge_off": ("none", "cured", "candidate", "recognised"),
        "terminate": ("charged_off", "recovering"),
    }[review.decision]
    recognises = review.decision == "recognise" or (review.decision == "charge_off" and a.bad_debt != "recognised")
    if a.bad_debt not in may:
        a.not_applied(review, review.review_id, "wrong_status")
    elif review.decision in ("recognise", "charge_off") and not a.exposure():
        a.not_applied(review, review.review_id, "nothing_owed")
    elif recognises and blocked:
        a.not_applied(review, review.review_id, "blocked_by_hold")
    elif review.decision == "recognise":
        if a.bad_debt != "candidate":
            change(a, "candidate")
        change(a, "recognised")
    elif review.decision == "reject":
        change(a, "none")
        a.rejected = True
    elif review.decision == "charge_off":
        charge_off(a)
    else:
        change(a, "terminated")


def _charge_off_under_hold(a: Account) -> None:
    rules = a.policy.bad_debt
    if a.bad_debt in DEAD or not a.exposure() or a.rejected:
        return
    for hold in a.holds.values():
        days = rules.charge_off_after_hold.get(hold.kind)  # type: ignore[call-overload]
        if days is None or not hold.covers(a.today) or a.today - hold.first < days:
            continue
        if not a.hold_in_force(tuple(k for k in rules.blocking_holds if k != hold.kind)):
            charge_off(a)
            return


def _cured(a: Account) -> bool:
    rules = a.policy.bad_debt
    # Recognised without arrears, or after them, it is so for a whole probation.
    since = max(a.clean_since, a.bad_debt_on)
    if not a.served(since, rules.cure_probation_days, rules.cure_probation_months):
        return False
    if not a.had_plan:
        return True
    since = max(since, a.plan_from)
    return all(a.served(since, c.after_plan_days, c.after_plan_months) for c in a.policy.classifications)


def _recovery(a: Account) -> None:
    rules = a.policy.bad_debt
    if a.bad_debt == "charged_off" and a.last_payment == a.today > a.charged_off_on:
        change(a, "recovering")
    elif a.bad_debt == "recovering" and a.today - (a.last_payment or a.bad_debt_on) > rules.recovery_lapse_days:
        change(a, "charged_off")
    if a.bad_debt in ("charged_off", "recovering") and not a.exposure():
        change(a, "terminated")
