"""What happens to facts afterwards: adjustments, reversals, ends, contradictions under one identity."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from schemas import events as ev
from tests.recomputation.agreements import look
from tests.recomputation.histories import Author
from tests.recomputation.rules import HOLDS


def adjust(a: Author) -> None:
    """Lower or raise what instalments ask for; some adjustments are reversed."""
    rng = a.rng
    for day in a.random_days(3):
        base = a.base(day)
        change: dict[str, int] = {}
        for component in rng.sample(("principal", "interest", "fees", "penalty"), rng.choice((1, 1, 2))):
            sign = rng.choice((-1, -1, 1))
            change[component] = sign * rng.choice((1, a.amount(0, 3), a.amount(1, 30)))
        number = rng.choice(a.numbers) if a.numbers and rng.random() < 0.95 else 999
        made = ev.InstalmentAdjusted(
            **base,
            adjustment_id=f"j{a.ids}",
            account_id="A1",
            number=number,
            effective_on=a.on(day),
            reason="goodwill",
            **change,
        )
        a.put(day, made)
        if rng.random() < 0.3:
            on = min(a.days, day + rng.randrange(30))
            a.put(
                on,
                ev.AdjustmentReversed(
                    **a.base(on), adjustment_id=made.adjustment_id, account_id="A1", reversed_on=a.on(on), reason="slip"
                ),
            )


def reverse(a: Author) -> None:
    """Take payments back, whole or in parts, or more than they were, or ones that never came."""
    rng = a.rng
    some = rng.sample(a.payment_ids, min(len(a.payment_ids), rng.randint(1, 3)))
    for payment_id, day, amount in [*some, *([("p-unknown", 5, 1)] if rng.random() < 0.1 else [])]:
        parts = rng.choice((None, None, amount, amount // 2, amount // 3, amount + 1))
        for part in range(rng.choice((1, 1, 2))):
            on = min(a.days, day + rng.choice((0, 3, 20, 60)))
            a.put(
                on,
                ev.PaymentReversed(
                    **a.base(on),
                    payment_id=payment_id,
                    account_id="A1",
                    reversed_on=a.on(on),
                    reason="returned",
                    amount=parts or None,
                    reversal_id=None if parts is None else f"{payment_id}-{part}",
                ),
            )
            if parts is None:
                break


def finish(a: Author) -> None:
    """Close the account, for one of several reasons; some come back, some are paid afterwards."""
    rng = a.rng
    day = rng.randrange(a.days)
    reason = rng.choice(("repaid", "repaid", "settled", "sold", "opened_in_error", "moved"))
    if reason == "repaid" and rng.random() < 0.8:
        account = look(a, day)
        a.pay(day, sum(i.owed for i in account.money.instalments) + rng.choice((0, 0, 0, -1, 100)))
    close(a, day, reason)
    if rng.random() < 0.3:
        a.pay(min(a.days, day + rng.randint(0, 20)), a.amount())
    if rng.random() < 0.15:
        close(a, min(a.days, day + rng.randrange(30)), "settled")
    if reason != "opened_in_error" and rng.random() < 0.4:
        on = min(a.days, day + rng.choice((0, rng.randint(1, 40))))
        a.put(on, ev.AccountReopened(**a.base(on), account_id="A1", reopened_on=a.on(on), reason="returned"))
        if rng.random() < 0.3:
            close(a, min(a.days, on + rng.choice((0, rng.randint(1, 60)))), rng.choice(("settled", "repaid", "sold")))


def close(a: Author, day: int, reason: str) -> None:
    """Close the account."""
    closed_on = a.rng.choice((None, a.on(day)))
    a.put(day, ev.AccountClosed(**a.base(day), account_id="A1", reason=reason, closed_on=closed_on))


def repeat_schedule(a: Author) -> None:
    """Bill what is in the contract's schedule already."""
    for i in a.instalments[:3]:
        day = max(0, min(a.days, (i.due_on - a.start).days))
        a.put(
            day,
            ev.InstalmentBilled(
                **a.base(day),
                account_id="A1",
                number=i.number,
                due_on=i.due_on,
                principal=i.principal,
                interest=i.interest,
                fees=i.fees,
            ),
        )


# What may be stated otherwise under one identity.
OTHERWISE: dict[type[ev.Event], Any] = {
    ev.PaymentReceived: lambda a, e: {"amount": e.amount + 7},
    ev.HoldPlaced: lambda a, e: {"kind": a.rng.choice(HOLDS)},
    ev.ContactAttempted: lambda a, e: {"outcome": a.rng.choice(("reached", "no_answer"))},
    ev.PromiseMade: lambda a, e: {"amount": e.amount + 5},
    ev.BadDebtReviewed: lambda a, e: {"decision": a.rng.choice(("reject", "recognise"))},
    ev.InstalmentBilled: lambda a, e: {"principal": e.principal + 11},
    ev.InstalmentAdjusted: lambda a, e: {"fees": e.fees + 3},
}


def contradict(a: Author) -> None:
    """Repeat some facts, and state some otherwise under the same identity, later or earlier."""
    rng = a.rng
    numbers = {i.number for i in a.instalments}
    for day, event in list(a.history.facts):
        roll = rng.random()
        if roll < 0.06:
            a.history.facts.append((min(a.days, day + rng.choice((0, 0, 1, 30))), event))
        elif roll < 0.09 and type(event) in OTHERWISE and getattr(event, "number", 0) not in numbers:
            a.ids += 1
            hours = rng.choice((-3, -1, 1, 2, 30))
            changed = msgspec.structs.replace(
                event,
                event_id=f"e{a.ids:04}",
                occurred_at=event.occurred_at + timedelta(hours=hours),
                **OTHERWISE[type(event)](a, event),
            )
            a.history.facts.append((min(a.days, day + rng.choice((0, 1, 20))), changed))
