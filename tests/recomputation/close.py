"""The close of a day, step by step (docs/rules.md, 3 and 6 to 10)."""

from __future__ import annotations

from datetime import date

from tests.recomputation import ends, plan_acts
from tests.recomputation.account import Account
from tests.recomputation.bad_debt import DEAD, bad_debt, change
from tests.recomputation.classes import best, classes
from tests.recomputation.days import ends_month, half_up_of
from tests.recomputation.money import COMPONENTS


def close(a: Account) -> None:
    """Close today."""
    if a.reopening is not None:
        a.not_applied(a.reopening, a.reopening.reopened_on.isoformat(), "not_closed")
        a.reopening = None
    if a.ended:
        for review in a.reviews:
            a.not_applied(review, review.review_id, "account_closed")
        a.reviews, a.paid_today = [], 0
        a.run, a.counter_days = False, 0
        return
    terminated = a.bad_debt == "terminated" and not a.back_to
    if ends_month(a.today) and not terminated:
        a.put_charges_on()
    if not terminated:
        plan_acts.follow(a)
        missed_and_caught_up(a)
    a.measure()
    counter(a)
    if not terminated:
        bucket(a)
    promises(a)
    stage(a)
    a.moved = False
    bad_debt(a)
    impairment(a, a.moved, terminated)
    if not terminated:
        classes(a)
    collection(a)
    standing(a)
    a.reviews, a.paid_today, a.restored = [], 0, False
    a.money.leave(a.today)
    if not a.arrears and a.plan is None:
        a.forget_holds()
        a.attempts = 0
        if a.standing == "good" and a.stage == 1 and a.bad_debt in ("none", "cured") and best(a):
            # All probations are served.
            a.clean_since, a.had_plan, a.distressed_from = 0, False, 0
    if a.closing is not None and ends.end(a, a.closing):
        the_end(a)
    a.closing = None


def missed_and_caught_up(a: Account) -> None:
    """Report instalments that are missed, with their late fees, and those that are caught up."""
    for i in list(a.money.instalments):
        if i.plan is not None:
            continue
        paid = a.counts_as_paid(i)
        fields = {"number": i.number, "due_on": date.fromordinal(i.due)}
        if i.missed and paid:
            i.missed = False
            a.say("InstalmentCaughtUp", days_late=a.today - i.due, **fields)
        elif (
            not i.missed and not paid and a.due(i) < a.today and a.days_late(a.due(i)) > a.policy.delinquency.grace_days
        ):
            i.missed = True
            a.say("InstalmentMissed", overdue_amount=i.short, currency=a.currency, **fields)
            fee = 0 if a.for_a_time else a.charges.late_fee(i, a.policy)
            if fee:
                a.say("ChargeAccrued", kind="late_fee", amount=fee, currency=a.currency, number=i.number)


def counter(a: Account) -> None:
    """Keep the material counter, the end of arrears, and what is counted until then."""
    if a.arrears and a.material:
        a.run = True
        a.counter_days += a.today not in a.paused
    else:
        a.run, a.counter_days = False, 0
    if a.arrears:
        a.clean_since = -1
    elif a.clean_since == -1 and not a.deferring:
        a.clean_since = a.today


def bucket_of(dpd: int, grace: int) -> str:
    """Return the bucket of days past due."""
    if dpd == 0:
        return "current"
    if dpd <= grace:
        return "grace"
    for limit, name in ((30, "dpd_1_30"), (60, "dpd_31_60"), (90, "dpd_61_90")):
        if dpd <= limit:
            return name
    return "dpd_over_90"


def bucket(a: Account) -> None:
    """Report another bucket."""
    now = bucket_of(a.dpd, a.policy.delinquency.grace_days)
    if now != a.bucket:
        a.say(
            "DelinquencyChanged",
            from_=a.bucket,
            to=now,
            days_past_due=a.dpd,
            counter_days=a.counter_days,
            missed=a.missed,
            overdue_amount=a.overdue,
            currency=a.currency,
        )
    a.bucket = now


def promises(a: Account) -> None:
    """Let the day's payments keep promises; report those that are broken."""
    left = a.paid_today
    for p in sorted(a.promises.values(), key=lambda p: (p.due, p.promise_id)):
        said = {"promise_id": p.promise_id, "due_on": date.fromordinal(p.due), "currency": a.currency}
        if a.today <= p.due:
            part = min(left, p.amount - p.paid)
            p.paid += part
            left -= part
        if p.paid == p.amount:
            del a.promises[p.promise_id]
            a.say("PromiseKept", amount=p.amount, **said)
        elif a.today > p.due:
            del a.promises[p.promise_id]
            a.say("PromiseBroken", amount=p.amount, paid=p.paid, **said)
            if a.policy.bad_debt.broken_promise_counts and a.arrears:
                a.attempts += 1


def stage(a: Account) -> None:
    """Work out the stage by days."""
    rules = a.policy.impairment
    now = 3 if a.dpd >= rules.stage3_from_days > 0 else 2 if a.dpd > rules.stage2_over_days or a.plan else 1
    if now > a.stage_by_days or (
        now < a.stage_by_days
        and not a.arrears
        and not a.deferring
        and a.served(a.clean_since, rules.probation_days, rules.probation_months)
    ):
        a.stage_by_days = now


def impairment(a: Account, changed: bool, was_terminated: bool) -> None:
    """Report another stage or allowance, where it is reported."""
    rules = a.policy.impairment
    now = 3 if a.bad_debt in ("recognised", "charged_off", "recovering") else a.stage_by_days
    exposure = 0 if a.bad_debt in DEAD or a.ended else a.exposure()
    coverage = rules.bad_debt_coverage_bps if a.bad_debt == "recognised" else rules.coverage_bps[now - 1]
    allowance = half_up_of(exposure * coverage, 10_000)
    differs = allowance != a.allowance
    if was_terminated:
        return
    if (
        now != a.stage
        or ((changed or a.restored) and differs)
        or (ends_month(a.today) and differs and (now > 1 or a.allowance))
        or (a.ended and a.allowance)
    ):
        say_impairment(a, now, allowance, exposure)


def say_impairment(a: Account, now: int, allowance: int, exposure: int) -> None:
    """Report a stage and an allowance."""
    a.say(
        "ImpairmentChanged",
        stage=now,
        allowance=allowance,
        exposure=exposure,
        currency=a.currency,
        from_stage=a.stage,
    )
    a.stage, a.allowance = now, allowance


def collection(a: Account) -> None:
    """Report that collection is stopped or resumed."""
    stopped = a.plan is not None or a.hold_in_force() or a.bad_debt == "terminated" or bool(a.ended)
    if stopped != a.stopped:
        a.say("CollectionStopped" if stopped else "CollectionResumed")
    a.stopped = stopped


def standing(a: Account) -> None:
    """Report another credit standing."""
    if a.bad_debt in ("charged_off", "recovering"):
        now = "defaulted"
    elif a.bad_debt == "terminated":
        now = a.standing
    elif a.plan is not None:
        now = "restructured"
    elif a.bad_debt == "recognised" or (a.stage == 3 and a.arrears):
        now = "defaulted"
    elif a.dpd > a.policy.delinquency.grace_days:
        now = "arrears"
    elif a.standing == "good" or (
        not a.arrears and a.stage == 1 and a.served(a.clean_since, a.policy.plans.probation_days, 0)
    ):
        now = "good"
    elif a.arrears:
        now = a.standing
    else:
        now = "repairing"
    if now != a.standing:
        a.say("CreditStandingChanged", from_=a.standing, to=now)
    a.standing = now


def the_end(a: Account) -> None:
    """Report the end of the account, behind all that the day's close reports."""
    outstanding, plan = a.before_the_end["outstanding"], a.before_the_end["plan"]
    if a.ended == "opened_in_error":
        a.said.clear()
    else:
        if a.bad_debt in ("charged_off", "recovering") and a.ended in ("repaid", "settled"):
            change(a, "terminated", outstanding)
        if a.allowance:
            say_impairment(a, a.stage, 0, 0)
        collection(a)
    a.say(
        "AccountEnded",
        reason=a.ended,
        outstanding=tuple((c, outstanding[c]) for c in COMPONENTS),
        currency=a.currency,
        plan_id=plan.plan_id if plan else "",
        offer_id=plan.offer_id if plan else "",
    )
