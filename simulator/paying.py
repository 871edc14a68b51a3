"""Payments as they arrive: in time or late, back-dated, twice, failed and tried again, returned."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from schemas import events as ev
from simulator.chance import keyed
from simulator.envelope import SOURCE, at
from simulator.habits import FIRST, PAID_ON, PaymentPattern
from simulator.population import Account, Borrower

MANNER = 64
CHANNELS = ("direct_debit", "bank_transfer", "app", "counter")


def payment(
    borrower: Borrower, account: Account, name: str, amount: int, value_on: date, today: date
) -> Iterator[ev.PaymentReceived]:
    """Yield a payment that arrives today; one in a hundred is delivered twice, under the same event id."""
    bits = keyed(account.key, MANNER, value_on.toordinal())
    paid = ev.PaymentReceived(
        event_id=f"pay-{name}",
        occurred_at=at(today, borrower.place.hour),
        source=SOURCE,
        payment_id=f"P-{name}",
        account_id=account.account_id,
        amount=amount,
        currency=borrower.place.currency,
        value_on=value_on,
        channel=CHANNELS[bits & 3],
    )
    yield paid
    if bits >> 8 & 0xFFFF < 655:
        yield paid


def month_payments(
    borrower: Borrower,
    account: Account,
    month: int,
    pattern: PaymentPattern,
    lag: int,
    due: date,
    today: date,
    amount: int,
) -> Iterator[ev.Event]:
    """Yield what comes of a month's instalments `lag` days after they were due. amount: to be paid, minor units."""
    name = f"{account.account_id}-{month}"
    if not lag:
        if pattern is PaymentPattern.ON_TIME:
            early = keyed(account.key, MANNER + 1, month) % 4
            yield from payment(borrower, account, name, amount, due - timedelta(days=early), today)
        elif pattern is PaymentPattern.FAILED_FIRST:
            yield ev.PaymentFailed(
                event_id=f"fail-{name}",
                occurred_at=at(today, borrower.place.hour),
                source=SOURCE,
                payment_id=f"P-{name}-failed",
                account_id=account.account_id,
                amount=amount,
                reason="insufficient_funds",
            )
        elif pattern is PaymentPattern.BOUNCED:
            yield from payment(borrower, account, f"{name}-returned", amount, due, today)
        return
    if pattern is PaymentPattern.BOUNCED and lag == FIRST:
        yield ev.PaymentReversed(
            event_id=f"reverse-{name}",
            occurred_at=at(today, borrower.place.hour),
            source=SOURCE,
            payment_id=f"P-{name}-returned",
            account_id=account.account_id,
            reversed_on=today,
            reason="returned_debit",
        )
    elif PAID_ON[pattern] == lag:
        # What was paid in time may be reported late: the value date is then days before its arrival.
        value_on = due if pattern is PaymentPattern.POSTED_LATE else today
        part = max(1, amount // 2) if pattern is PaymentPattern.PARTIAL else amount
        yield from payment(borrower, account, name, part, value_on, today)
