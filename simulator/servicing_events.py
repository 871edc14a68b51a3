"""The events of `simulator.servicing`, each made from what it corrects, changes or ends."""

from __future__ import annotations

from datetime import date, timedelta

from msgspec.structs import replace

from schemas import events as ev
from simulator.envelope import at, envelope
from simulator.population import Account, Borrower


def corrected(
    borrower: Borrower, bill: ev.InstalmentBilled, principal: int, interest: int, today: date
) -> ev.InstalmentBilled:
    """Return a correction of a statement; one of amounts 0 withdraws it. It counts from the statement's own day."""
    return replace(
        bill,
        event_id=f"{bill.event_id}-corrected",
        occurred_at=at(today, borrower.place.hour),
        principal=principal,
        interest=interest,
        revision=1,
        billed_on=bill.occurred_at.date(),
    )


def debit_fee(borrower: Borrower, account: Account, asked: ev.Instalment, today: date) -> ev.InstalmentAdjusted:
    """Return the fee for a debit that was returned, put on the instalment that it was for."""
    name = f"{account.account_id}-{asked.number}"
    return ev.InstalmentAdjusted(
        **envelope(f"fee-{name}", today, borrower.place.hour),
        adjustment_id=f"F-{name}",
        account_id=account.account_id,
        number=asked.number,
        effective_on=today,
        fees=borrower.place.single // 100,
        reason="returned_debit_fee",
    )


def goodwill(
    borrower: Borrower, account: Account, asked: ev.Instalment, lag: int, today: date
) -> ev.InstalmentAdjusted:
    """Return a waiver of a quarter of an instalment's interest, after a contact `lag` days past its due date."""
    name = f"{account.account_id}-{asked.number}-{lag}"
    return ev.InstalmentAdjusted(
        **envelope(f"goodwill-{name}", today, borrower.place.hour),
        adjustment_id=f"W-{name}",
        account_id=account.account_id,
        number=asked.number,
        effective_on=today,
        interest=-(asked.interest // 4),
        reason="goodwill",
    )


def adjustment_reversed(borrower: Borrower, adjusted: ev.InstalmentAdjusted, today: date) -> ev.AdjustmentReversed:
    """Return the withdrawal of an adjustment."""
    return ev.AdjustmentReversed(
        **envelope(f"{adjusted.event_id}-reversed", today, borrower.place.hour),
        adjustment_id=adjusted.adjustment_id,
        account_id=adjusted.account_id,
        reversed_on=today,
        reason="goodwill",
    )


def refunded(borrower: Borrower, paid: ev.PaymentReceived, part: int, number: int, today: date) -> ev.PaymentReversed:
    """Return the refund of a part of a payment, the number-th of that payment."""
    return replace(
        _reversed(borrower, paid, f"refund-{paid.payment_id}-{number}", "partial_refund", today),
        amount=part,
        reversal_id=f"{paid.payment_id}-{number}"[-64:],
    )


def returned(borrower: Borrower, paid: ev.PaymentReceived, today: date) -> ev.PaymentReversed:
    """Return the return of a whole payment."""
    return _reversed(borrower, paid, f"return-{paid.payment_id}", "payment_returned", today)


def _reversed(
    borrower: Borrower, paid: ev.PaymentReceived, event_id: str, reason: str, today: date
) -> ev.PaymentReversed:
    return ev.PaymentReversed(
        **envelope(event_id, today, borrower.place.hour),
        payment_id=paid.payment_id,
        account_id=paid.account_id,
        reversed_on=today,
        reason=reason,
    )


def revised(
    borrower: Borrower, account: Account, instalments: tuple[ev.Instalment, ...], reason: str, today: date
) -> ev.ScheduleRevised:
    """Return the first revision of a loan's schedule. What is prepaid is an instalment of its own."""
    return ev.ScheduleRevised(
        **envelope(f"revise-{account.account_id}", today, borrower.place.hour),
        account_id=account.account_id,
        revision=1,
        effective_on=today,
        instalments=instalments,
        reason=reason,
    )


def moved(borrower: Borrower, promise: ev.PromiseMade, today: date) -> ev.PromiseMade:
    """Return a promise of the same amount, six days later, in the place of another."""
    return replace(
        promise,
        event_id=f"{promise.event_id}-moved",
        occurred_at=at(today, borrower.place.hour),
        promise_id=f"{promise.promise_id}-moved",
        due_on=promise.due_on + timedelta(days=6),
        replaces=promise.promise_id,
    )


def reopened(borrower: Borrower, account: Account, reason: str, today: date) -> ev.AccountReopened:
    """Return the reopening of a closed account."""
    return ev.AccountReopened(
        **envelope(f"reopen-{account.account_id}-{today.isoformat()}", today, borrower.place.hour),
        account_id=account.account_id,
        reopened_on=today,
        reason=reason,
    )


def joined(borrower: Borrower, account: Account, role: ev.PartyRole, today: date) -> ev.PartyChanged:
    """Return that somebody who is no borrower of the population answers for an account too."""
    return ev.PartyChanged(
        **envelope(f"party-{account.account_id}", today, borrower.place.hour),
        account_id=account.account_id,
        borrower_id=f"{borrower.borrower_id}-{role}",
        from_on=today,
        role=role,
        suretyship="joint_and_several",
    )
