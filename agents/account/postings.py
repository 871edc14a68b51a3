"""What statements, schedules, adjustments and payments do to the ledger of an account."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from msgspec.structs import replace

from agents.account.arrangements import count_toward_asks
from agents.account.day import DayFold, receivable_of, receivable_order
from schemas import events as ev
from state.account import Paid, Receivable, covering
from state.calendars import next_business_day
from state.ledger import tolerance

# Of what came after an opening position for a day before it, by the kind in its fact key.
LATE = {
    "payment": "PaymentReceived",
    "bill": "InstalmentBilled",
    "adjustment": "InstalmentAdjusted",
    "schedule": "ScheduleRevised",
    "plan": "PlanActivated",
    "closed": "AccountClosed",
}
REVERSING = {"payment": "PaymentReversed", "adjustment": "AdjustmentReversed", "hold": "HoldReleased"}
CLOSED = "The account is closed. Reopen it with AccountReopened, or see to the matter outside of Reprieve."


def bill_instalment(d: DayFold, fact: ev.InstalmentBilled) -> None:
    """Let a statement ask for a payment; one of amounts 0 asks for nothing."""
    s = d.s
    if s.closed_on:
        d.not_applied(fact, str(fact.number), "account_closed", CLOSED)
        return
    if any(_is_repeated(r, fact) for r in s.receivables):
        return
    if s.was_asked_for(fact.number):
        reason = f"Instalment {fact.number} was asked for. Change it with ScheduleRevised or InstalmentAdjusted."
        d.not_applied(fact, str(fact.number), "instalment_exists", reason)
        return
    s.billed_principal += fact.principal
    s.instalment_numbers = covering((fact.number,), s.instalment_numbers)
    if fact.principal + fact.interest + fact.fees:
        d.add_receivables(
            receivable_of(fact.number, fact.due_on, fact.principal, fact.interest, fact.fees, billed=True)
        )


def _is_repeated(r: Receivable, fact: ev.InstalmentBilled) -> bool:
    """Return whether a statement asks for what an instalment of the contract asks for already."""
    asked = (r.amount_due, r.interest_due, r.fees_due)
    same = asked == (fact.principal + fact.interest + fact.fees, fact.interest, fact.fees)
    return r.number == fact.number and not r.plan and r.due == fact.due_on.toordinal() and same


def revise_schedule(d: DayFold, fact: ev.ScheduleRevised) -> None:
    """Put other instalments in the place of the contract's that fall due later; what was paid of those is credit."""
    s = d.s
    name = str(fact.revision)
    if s.closed_on:
        d.not_applied(fact, name, "account_closed", CLOSED)
        return
    if fact.revision <= s.revision:
        reason = f"Revision {s.revision} counts from an earlier day. Send this one with a higher number."
        d.not_applied(fact, name, "revision_not_newer", reason)
        return
    # Under a plan the contract's instalments are those that the plan replaced.
    plan = None if s.plan is None or s.plan.is_temporary else s.plan
    held = s.receivables if plan is None else plan.replaced
    gone = [r for r in held if r.due > fact.effective_on.toordinal() and not r.billed and not r.plan]
    stay = [r for r in held if r not in gone]
    free = {r.number for r in gone}
    twice = sorted(i.number for i in fact.instalments if s.was_asked_for(i.number) and i.number not in free)
    if twice:
        reason = (
            f"Instalments {', '.join(map(str, twice))} are due already or were billed. Give new ones other numbers."
        )
        d.not_applied(fact, name, "instalment_exists", reason)
        return
    s.revision, s.scheduled = fact.revision, True
    s.instalment_numbers = covering((i.number for i in fact.instalments), s.instalment_numbers)
    if fact.annual_rate_bps is not None:
        s.annual_rate_bps = fact.annual_rate_bps
    new = [receivable_of(i.number, i.due_on, i.principal, i.interest, i.fees) for i in fact.instalments]
    ordered = tuple(sorted((*stay, *(r for r in new if r.amount_due)), key=receivable_order))
    if plan is None:
        s.receivables = ordered
    else:
        s.plan = replace(plan, replaced=ordered)
    paid = Paid()
    for r in gone:
        paid = paid.plus(_allocated_to(r))
    s.paid = s.paid.minus(paid)
    d.allocate_credit(paid.total(), sum(r.paid_toward for r in gone))


def _allocated_to(r: Receivable) -> Paid:
    """Return what the ledger allocated to an instalment on which no charge stands."""
    principal = r.amount_due - r.interest_due - r.fees_due
    return Paid(principal - r.principal, r.interest_due - r.interest, r.fees_due - r.fees)


def adjust_instalment(d: DayFold, fact: ev.InstalmentAdjusted) -> None:
    """Change what one instalment asks for; what is asked for no more and was paid is credit."""
    s = d.s
    if s.closed_on:
        d.not_applied(fact, fact.adjustment_id, "account_closed", CLOSED)
        return
    index = next(
        (i for i, r in enumerate(s.receivables) if r.number == fact.number and not r.plan),
        None,
    )
    if index is None and s.plan is not None and any(r.number == fact.number for r in s.plan.replaced):
        reason = (
            f"Plan {s.plan.plan_id} took the place of instalment {fact.number}, and asks for what was agreed. Send "
            "what is credited as PaymentReceived, or another adjustment that counts from a day after the plan's end."
        )
        d.not_applied(fact, fact.adjustment_id, "under_plan", reason)
    elif not s.was_asked_for(fact.number):
        reason = f"No instalment {fact.number} was asked for by {fact.effective_on}. Send it, or correct the number."
        d.not_applied(fact, fact.adjustment_id, "unknown_instalment", reason)
    else:
        # An instalment that is paid and gone asks again from the day of its adjustment.
        r = Receivable(fact.number, d.day, 0, 0, 0, 0, 0, billed=True) if index is None else s.receivables[index]
        asked = s.paid if index is None else _due_of(r)
        charged = Paid(penalty=s.paid.penalty + s.owed().penalty)
        lowered = Paid(*(max(0, -x) for x in (fact.principal, fact.interest, fact.fees, fact.penalty)))
        room = replace(asked, penalty=0).plus(charged)
        if any(x > y for x, y in zip(_parts(lowered), _parts(room), strict=True)):
            reason = (
                f"It takes more off instalment {fact.number} than was asked for: "
                f"{_as_text(lowered)} of {_as_text(room)}."
            )
            d.not_applied(fact, fact.adjustment_id, "exceeds_instalment", reason)
            return
        _adjust(d, fact, r, index, lowered)


def _adjust(d: DayFold, fact: ev.InstalmentAdjusted, r: Receivable, index: int | None, lowered: Paid) -> None:
    s = d.s
    unpaid = Paid(r.principal, r.interest, r.fees)
    open_ = Paid(*(min(x, y) for x, y in zip(_parts(lowered), _parts(unpaid), strict=True)))
    raised = Paid(max(0, fact.principal), max(0, fact.interest), max(0, fact.fees))
    left = unpaid.minus(open_).plus(raised)
    asks = Paid(fact.principal, fact.interest, fact.fees) if index is not None else raised
    asked = r.amount_due + asks.total()
    # Charges that are left of an instalment do not make it late: what was paid asks again from that day, gone or not.
    again = raised.total() and not r.missed_reported and r.unpaid() <= tolerance(d.policy.delinquency, r.amount_due)
    changed = replace(
        r,
        due=max(r.due, d.day) if again else r.due,
        principal=left.principal,
        interest=left.interest,
        fees=left.fees,
        penalty=r.penalty + max(0, fact.penalty),
        amount_due=asked,
        interest_due=r.interest_due + asks.interest,
        fees_due=r.fees_due + asks.fees,
        paid_toward=min(r.paid_toward, asked),
    )
    others = s.receivables if index is None else (*s.receivables[:index], *s.receivables[index + 1 :])
    kept = (changed,) if index is not None or changed.owed() else ()
    s.receivables = tuple(sorted((*others, *kept), key=receivable_order))
    taken_off = _waive_penalty(d, lowered.penalty)
    back = replace(lowered, penalty=lowered.penalty - taken_off).minus(replace(open_, penalty=0))
    s.charged = max(0, s.charged + fact.penalty)
    s.paid = s.paid.minus(back)
    # Of what is gone all was counted; money that paid charges was not.
    counted = r.paid_toward - changed.paid_toward if index is not None else back.total() - back.penalty
    d.allocate_credit(back.total(), counted)


def _waive_penalty(d: DayFold, amount: int) -> int:
    """Take charges off the instalments that have some, the oldest first; return how much there was."""
    left, after = amount, []
    for r in d.s.receivables:
        cut = min(left, r.penalty)
        left -= cut
        after.append(replace(r, penalty=r.penalty - cut) if cut else r)
    d.s.receivables = tuple(after)
    return amount - left


def _due_of(r: Receivable) -> Paid:
    return Paid(r.amount_due - r.interest_due - r.fees_due, r.interest_due, r.fees_due)


def _parts(amounts: Paid) -> Sequence[int]:
    return (amounts.principal, amounts.interest, amounts.fees, amounts.penalty)


def _as_text(amounts: Paid) -> str:
    return "/".join(map(str, _parts(amounts)))


def post_payment(d: DayFold, fact: ev.PaymentReceived) -> None:
    """Take a payment in, less what was reversed of it."""
    s = d.s
    amount = fact.amount
    mine = [r for r in s.reversals if r.target == f"payment:{fact.payment_id}"]
    if mine:
        s.reversals = tuple(r for r in s.reversals if r not in mine)
        amount, beyond = net_of_reversals(amount, ((r.reversal_id, r.amount) for r in mine))
        for name, part, left in beyond:
            reason = f"{part} minor units were reversed, and {left} are left of payment {fact.payment_id}."
            d.emit(
                ev.InputNotApplied(
                    **d.header,
                    fact_type="PaymentReversed",
                    fact_id=name or fact.payment_id,
                    code="exceeds_payment",
                    reason=reason,
                )
            )
    if not amount:
        return
    s.received += amount
    s.last_payment_on = d.day
    s.failed_payments = 0
    if s.closed_on:
        s.credit += amount
        reason = f"{amount} minor units came in for a closed account. Refund or forward them, or reopen the account."
        d.not_applied(fact, fact.payment_id, "account_closed", reason)
        return
    d.post_penalty()
    d.settle_early(amount)
    d.allocate(amount, whole=True)
    count_toward_asks(s, amount)
    d.paid_today += amount


def net_of_reversals(amount: int, reversals: Iterable[tuple[str, int]]) -> tuple[int, list[tuple[str, int, int]]]:
    """Return what is left of a payment after its reversals, and those that do not apply since less was left.

    reversals: id ("" for none) and amount of each, 0 for all that is left. They are taken by id, those of all that is
    left behind the others. One that does not apply comes with what was left then.
    """
    left, beyond = amount, []
    for name, part in sorted(reversals, key=lambda r: (not r[1], r[0])):
        if part > left:
            beyond.append((name, part, left))
        else:
            left -= part or left
    return left, beyond


def report_failed_payment(d: DayFold, fact: ev.PaymentFailed) -> None:
    """Report a payment that did not come in, and propose another day for it."""
    s = d.s
    s.failed_payments += 1
    ahead = date.fromordinal(d.day) + timedelta(days=max(1, d.policy.retry_failed_payment_days) - 1)
    d.emit(
        ev.PaymentFailureReported(
            **d.header,
            borrower_id=s.borrower_id,
            payment_id=fact.payment_id,
            amount=fact.amount,
            currency=s.currency,
            reason=fact.reason,
            failures=s.failed_payments,
            retry_on=next_business_day(ahead, d.policy.holiday_calendar),
        )
    )


def report_reversals(d: DayFold) -> None:
    """Answer reversals of what did not come within its wait, or of what an opening position holds already."""
    s = d.s
    if not s.reversals or not any(0 < r.report_on <= d.day for r in s.reversals):
        return
    after = []
    for r in s.reversals:
        if 0 < r.report_on <= d.day:
            kind, _, name = r.target.removeprefix("late/").partition(":")
            is_late = r.target.startswith("late/")
            what = LATE[kind] if is_late else REVERSING[kind]
            if is_late:
                reason = (
                    "It counts from a day before the opening position, and occurred after it. If the position does not "
                    "hold it, send it under a new id and from a day after the position."
                )
            elif r.code == "before_position":
                reason = f"{kind} {name} is part of the opening position. Raise the instalment with InstalmentAdjusted."
            else:
                reason = f"No {kind} {name} has come. Send it."
            # A number is padded in a fact key.
            fact_id = r.reversal_id or (name.lstrip("0") if kind in ("bill", "schedule") else name)
            d.emit(ev.InputNotApplied(**d.header, fact_type=what, fact_id=fact_id, code=r.code, reason=reason))
            r = replace(r, report_on=-1)
        after.append(r)
    s.reversals = tuple(after)
