"""What each kind of fact does to an account on its day (docs/rules.md, 2, 5, 6 and 11)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from schemas import events as ev
from state.calendars import next_business_day
from tests.recomputation import ends, plan_acts
from tests.recomputation.account import Account, Hold, Promise
from tests.recomputation.money import ASKED, FEES, INTEREST, PENALTY, PRINCIPAL, Instalment, asked, nothing


def party_changed(a: Account, fact: ev.PartyChanged, _: int) -> None:
    a.parties.pop(fact.borrower_id, None)
    if fact.role is not None:
        a.parties[fact.borrower_id] = fact.role


def hold_placed(a: Account, fact: ev.HoldPlaced, _: int) -> None:
    if not a.takes(fact, a.policy):
        return
    until = a.last_day(fact, a.policy)
    a.holds[fact.hold_id] = Hold(fact.kind, fact.from_on.toordinal(), until, a.known_holds[fact.hold_id])


def hold_released(a: Account, fact: ev.HoldReleased, _: int) -> None:
    if fact.hold_id not in a.known_holds:
        a.not_applied(fact, fact.hold_id, "unknown_hold")


def reopened(a: Account, fact: ev.AccountReopened, _: int) -> None:
    if not a.ended:
        a.reopening = fact
        return
    ends.restore(a, fact.reason)


def schedule_revised(a: Account, fact: ev.ScheduleRevised, _: int) -> None:
    if a.ended:
        a.not_applied(fact, str(fact.revision), "account_closed")
        return
    if fact.revision < a.revision:
        a.not_applied(fact, str(fact.revision), "revision_not_newer")
        return
    holder = a.plan.replaced if a.plan is not None and not a.for_a_time else a.money.instalments
    effective = fact.effective_on.toordinal()
    out = [i for i in [*holder, *a.money.instalments] if i.plan is None and not i.billed and i.due > effective]
    stays = {i.number for i in [*holder, *a.money.instalments] if i.plan is None and not any(i is o for o in out)}
    if any(n.number in stays for n in fact.instalments):
        a.not_applied(fact, str(fact.revision), "instalment_exists")
        return
    a.revision = fact.revision
    a.rate = fact.annual_rate_bps if fact.annual_rate_bps is not None else a.rate
    freed = uncounted = 0
    for i in {id(i): i for i in out}.values():
        freed += a.money.give_back(i.allocated)
        uncounted += i.paid
        for kept in (holder, a.money.instalments):
            if any(i is k for k in kept):
                kept[:] = [k for k in kept if k is not i]
        for c in ASKED:
            a.money.ever[i.number][c] = 0
    for n in fact.instalments:
        new = asked(n.number, n.due_on.toordinal(), n.principal, n.interest, n.fees)
        if not new.amount_due:
            continue
        if a.plan is not None and not a.for_a_time:
            a.plan.replaced.append(new)
            a.money.ever[n.number] = {PRINCIPAL: n.principal, INTEREST: n.interest, FEES: n.fees, PENALTY: 0}
        else:
            a.money.ask(new)
    a.money.credit += freed
    a.spend_credit(freed, uncounted)


def billed(a: Account, fact: ev.InstalmentBilled, _: int) -> None:
    if a.ended:
        a.not_applied(fact, str(fact.number), "account_closed")
        return
    if fact.number in a.money.ever:
        asked_so_far = tuple(a.money.ever[fact.number][c] for c in ASKED)
        same = asked_so_far == (fact.principal, fact.interest, fact.fees)
        due = fact.due_on.toordinal()
        there = any(i.plan is None and i.number == fact.number and i.due == due for i in a.money.instalments)
        if not (same and there):
            a.not_applied(fact, str(fact.number), "instalment_exists")
        return
    a.charges.statements += fact.principal
    if fact.principal or fact.interest or fact.fees:
        a.money.ask(asked(fact.number, fact.due_on.toordinal(), fact.principal, fact.interest, fact.fees, billed=True))
    else:
        a.money.ever.setdefault(fact.number, nothing())
    a.spend_credit()


def adjusted(a: Account, fact: ev.InstalmentAdjusted, _: int) -> None:
    if a.ended:
        a.not_applied(fact, fact.adjustment_id, "account_closed")
        return
    ever = a.money.ever.get(fact.number)
    change = {PRINCIPAL: fact.principal, INTEREST: fact.interest, FEES: fact.fees}
    if ever is None:
        a.not_applied(fact, fact.adjustment_id, "unknown_instalment")
        return
    if a.plan is not None and any(_target(a, fact.number) is i for i in a.plan.replaced):
        a.not_applied(fact, fact.adjustment_id, "under_plan")
        return
    target = _target(a, fact.number)
    left = target is None or any(target is g for g in a.money.gone)
    # Of one that has left, what was paid on the account bounds what can be given back.
    bound = a.money.paid if left else ever
    penalty = a.money.paid[PENALTY] + sum(i.unpaid[PENALTY] for i in a.money.instalments)
    if any(bound[c] + by < 0 for c, by in change.items()) or penalty + fact.penalty < 0:
        a.not_applied(fact, fact.adjustment_id, "exceeds_instalment")
        return
    paid_before = target is not None and not left and not target.missed and a.counts_as_paid(target)
    freed = uncounted = 0
    for c, by in change.items():
        ever[c] += by
        if by < 0 and target is None:
            # A plan that is completed replaced it: what is given back had been paid, under the plan.
            freed, uncounted = freed + a.money.give_back({c: -by}), uncounted - by
        if by < 0 and target is not None:
            unpaid = min(-by, target.unpaid[c])
            target.unpaid[c] -= unpaid
            target.allocated[c] += by + unpaid
            target.amount_due += by
            freed += a.money.give_back({c: -by - unpaid})
    if target is not None:
        # What is raised by the same adjustment is asked for too; of one that has left, by another instalment.
        raised = 0 if left else sum(by for by in change.values() if by > 0)
        uncounted = max(0, target.paid - target.amount_due - raised)
        target.paid -= uncounted
    if target is None or any(target is g for g in a.money.gone):
        # It is asked for anew: what it asks for from now on bounds later adjustments.
        target = asked(fact.number, a.today, 0, 0, 0, billed=True)
        if any(by > 0 for by in (*change.values(), fact.penalty)):
            a.money.add(target)
            a.money.ever[fact.number] = {c: max(0, by) for c, by in change.items()}
    elif any(by > 0 for by in change.values()) and paid_before:
        target.due = max(target.due, a.today)
        a.money.instalments.sort(key=lambda i: i.order)
    for c, by in change.items():
        if by > 0:
            target.unpaid[c] += by
            target.amount_due += by
    freed += _penalty(a, fact.penalty, target)
    a.money.credit += freed
    a.spend_credit(freed, uncounted)


def _target(a: Account, number: int) -> Instalment | None:
    for holder in (a.money.instalments, a.plan.replaced if a.plan else [], a.money.gone[::-1]):
        for i in holder:
            if i.number == number and i.plan is None:
                return i
    return None


def _penalty(a: Account, by: int, target: Instalment) -> int:
    """Add to an instalment's penalty, or lower that of the oldest ones; return what of it had been paid."""
    a.charges.charged += by
    if by > 0:
        target.unpaid[PENALTY] += by
    left = max(0, -by)
    for i in a.money.instalments:
        part = min(left, i.unpaid[PENALTY])
        i.unpaid[PENALTY] -= part
        left -= part
    return a.money.give_back({PENALTY: left})


def paid(a: Account, fact: ev.PaymentReceived, amount: int) -> None:
    if not amount:
        return
    if a.ended:
        a.not_applied(fact, fact.payment_id, "account_closed")
        a.money.credit += amount
        a.failures = 0
        a.last_payment = a.today
        return
    a.put_charges_on()
    a.early_settlement(amount)
    left = a.money.allocate(amount, a.today, a.steps(), a.policy.allocation.sweep)
    a.money.credit += left
    a.money.count(amount)
    plan_acts.count_toward_asks(a, amount)
    a.failures = 0
    a.last_payment = a.today
    a.paid_today += amount


def failed(a: Account, fact: ev.PaymentFailed, _: int) -> None:
    a.failures += 1
    before = date.fromordinal(a.today + getattr(a.policy, "retry_failed_payment_days", 5) - 1)
    a.say(
        "PaymentFailureReported",
        reason=fact.reason,
        payment_id=fact.payment_id,
        amount=fact.amount,
        currency=a.currency,
        failures=a.failures,
        retry_on=next_business_day(before, a.policy.holiday_calendar),
    )


def contacted(a: Account, fact: ev.ContactAttempted, _: int) -> None:
    failed_outcome = fact.direction == "outbound" and fact.outcome in a.policy.bad_debt.failed_outcomes
    if failed_outcome and a.owed_by(fact.borrower_id) and a.late() and not a.ended:
        a.attempts += 1


def promised(a: Account, fact: ev.PromiseMade, _: int) -> None:
    if a.ended:
        a.not_applied(fact, fact.promise_id, "account_closed")
        return
    if fact.replaces is not None and a.promises.pop(fact.replaces, None) is None:
        a.not_applied(fact, fact.promise_id, "unknown_promise")
    a.promises[fact.promise_id] = Promise(fact.promise_id, fact.due_on.toordinal(), fact.amount)


def reviewed(a: Account, fact: ev.BadDebtReviewed, _: int) -> None:
    a.reviews.append(fact)


def closed(a: Account, fact: ev.AccountClosed, day: int) -> None:
    if a.ended:
        a.not_applied(fact, date.fromordinal(day).isoformat(), "already_closed")
        return
    if a.reopening is not None:
        # What closes it is taken back on the day itself.
        a.reopening = None
        return
    if a.bad_debt != "terminated":
        a.put_charges_on()
    a.closing = fact


ACTS: dict[type[ev.Event], Callable[[Account, Any, int], None]] = {
    ev.PartyChanged: party_changed,
    ev.HoldPlaced: hold_placed,
    ev.HoldReleased: hold_released,
    ev.AccountReopened: reopened,
    ev.ScheduleRevised: schedule_revised,
    ev.InstalmentBilled: billed,
    ev.InstalmentAdjusted: adjusted,
    ev.PlanActivated: plan_acts.activated,
    ev.PlanReviewRequested: plan_acts.review_requested,
    ev.PaymentReceived: paid,
    ev.PaymentFailed: failed,
    ev.ContactAttempted: contacted,
    ev.PromiseMade: promised,
    ev.BadDebtReviewed: reviewed,
    ev.AccountClosed: closed,
}
