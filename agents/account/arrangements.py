"""Arrangements for a time: token payments and payment holidays, beside a contract that stays as it is.

A borrower who can afford no plan agrees to pay a small sum a month, or nothing, until a last day. The ledger is the
contract's throughout: what comes in is allocated to it, and counted toward what the arrangement asks for as well.
Meanwhile collection stops and nothing is charged for the delay (FCA CONC 7.3; Directive (EU) 2023/2225 Art 35). By the
policy the contract's days past due run on, or all that falls due by the last day is due on it (EBA/GL/2016/07 para 16:
days are counted by the modified schedule). At its review the planner offers what comes next. An arrangement that is
kept to its last day ends; one that is not breaks, and what it deferred is as late as it would have been without it.
"""

from __future__ import annotations

from msgspec.structs import replace

from agents.account.day import DayFold
from agents.account.plan_lifecycle import (
    activate,
    break_plan,
    count_kept,
    count_missed,
    is_refused,
    leave_arrangement,
    note_distressed,
    record_of,
    report_replaced,
    restore_replaced,
    track_instalments,
)
from schemas import events as ev
from schemas.errors import InvalidEventError
from state.account import AccountState, Ask, Paid, Plan
from state.delinquency import days_late
from state.ledger import tolerance


def check_arrangement(event: ev.PlanActivated) -> None:
    """Raise InvalidEventError where an arrangement for a time lacks its dates, or a repayment has some."""
    starts, review, ends = event.activated_on, event.review_on, event.ends_on
    if event.arrangement == "repayment":
        wrong = "has no review_on and no ends_on" if review is not None or ends is not None else ""
    elif review is None or ends is None or not starts <= review <= ends or starts == ends:
        wrong = "needs ends_on after activated_on, and review_on between the two"
    elif any(not starts <= i.due_on <= ends for i in event.instalments):
        wrong = "asks for payments from activated_on to ends_on only"
    else:
        asks = sum(i.amount for i in event.instalments)
        wrong = "" if bool(asks) is (event.arrangement == "token") else _amounts(event.arrangement)
    if wrong:
        raise InvalidEventError(
            "out_of_range",
            f"Plan {event.plan_id} of account {event.account_id} is agreed as {event.arrangement}, which {wrong}. "
            "Correct it, and send it under a new plan_id.",
            "arrangement",
        )


def _amounts(arrangement: str) -> str:
    return "asks for payments" if arrangement == "token" else "asks for none"


def begin_plan(d: DayFold, fact: ev.PlanActivated) -> None:
    """Let what was agreed begin: a repayment plan, or an arrangement for a time."""
    if fact.arrangement == "repayment":
        activate(d, fact)
    elif not is_refused(d, fact):
        _begin(d, fact)


def _begin(d: DayFold, fact: ev.PlanActivated) -> None:
    s, before = d.s, d.s.plan
    assert fact.review_on is not None
    assert fact.ends_on is not None
    d.post_penalty()
    if before is not None and (before.is_temporary or before.review):
        report_replaced(d, before, fact.plan_id)
        if before.is_temporary:
            leave_arrangement(d, before)
        else:
            restore_replaced(d, before)
    elif before is not None:
        break_plan(d, "replaced")
    ends_on = fact.ends_on.toordinal()
    s.plan = Plan(
        fact.plan_id,
        fact.offer_id,
        d.day,
        (),
        Paid(),
        annual_rate_bps=fact.annual_rate_bps,
        arrangement=fact.arrangement,
        review_on=fact.review_on.toordinal(),
        ends_on=ends_on,
        asks=tuple(
            Ask(i.number, i.due_on.toordinal(), i.amount)
            for i in sorted(fact.instalments, key=lambda i: (i.due_on, i.number))
            if i.amount
        ),
        defers=d.policy.arrangements.days_past_due == "deferred",
        deferred_before=s.payments_deferred_to,
    )
    s.had_plan = True
    # Its whole time is a period of grace, behind which probations run (EBA/GL/2016/07 para 73).
    s.forborne_on = max(d.day, ends_on)
    if s.plan.defers:
        s.payments_deferred_to, s.arrears_free_since = max(s.payments_deferred_to, ends_on), 0
    elif not s.overdue_since and not s.arrears_free_since:
        s.arrears_free_since = d.day
    note_distressed(d, fact)


def count_toward_asks(s: AccountState, amount: int) -> None:
    """Count a payment toward what an arrangement asks for, the earliest first, each up to its amount."""
    if s.plan is None or not s.plan.asks:
        return
    asks = []
    for ask in s.plan.asks:
        part = min(amount, ask.unpaid())
        amount -= part
        asks.append(replace(ask, paid=ask.paid + part) if part else ask)
    s.plan = replace(s.plan, asks=tuple(asks))


def follow_plan(d: DayFold) -> None:
    """Report what was kept or missed of a plan by this day, and end the plan where it ends."""
    if d.s.plan is None or not d.s.plan.is_temporary:
        track_instalments(d)
        return
    plan = _track_asks(d, d.s.plan)
    d.s.plan = plan
    rules = d.policy.delinquency
    if all(r.unpaid() <= tolerance(rules, r.amount_due) for r in d.s.receivables):
        d.emit(ev.PlanCompleted(**record_of(d, plan), early=d.day <= plan.ends_on))
    elif plan.missed_in_a_row >= d.policy.plans.broken_after_missed:
        break_plan(d, "missed")
        return
    elif d.day > plan.ends_on:
        d.emit(ev.PlanEnded(**record_of(d, plan)))
    else:
        return
    d.s.plan = None
    leave_arrangement(d, plan)


def _track_asks(d: DayFold, plan: Plan) -> Plan:
    rules, paused = d.policy.delinquency, d.paused()
    asks = []
    for ask in plan.asks:
        if ask.kept or ask.missed:
            pass
        elif ask.unpaid() <= tolerance(rules, ask.amount):
            if ask.paid or ask.due <= d.day:
                plan, ask = count_kept(d, plan, ask.number, ask.due), replace(ask, kept=True)
        elif days_late(ask.due, paused, d.day) > d.policy.plans.kept_within_days:
            plan, ask = count_missed(d, plan, ask.number, ask.due, ask.unpaid()), replace(ask, missed=True)
        asks.append(ask)
    return replace(plan, asks=tuple(asks))


def next_days(d: DayFold, plan: Plan) -> list[int]:
    """Return the days (ordinals) on which an arrangement changes by itself: too early perhaps, never too late."""
    days, paused, within = [plan.review_on, plan.ends_on + 1], d.paused(), d.policy.plans.kept_within_days
    for ask in plan.asks:
        if not (ask.kept or ask.missed):
            late = days_late(ask.due, paused, d.day) if ask.due < d.day else ask.due - d.day
            days += [ask.due, d.day + max(1, within + 1 - late) if ask.due < d.day else ask.due + within + 1]
    return days
