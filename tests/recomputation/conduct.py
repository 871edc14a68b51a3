"""What borrowers and collectors do: payments, promises, contacts, holds, reviews, failed debits."""

from __future__ import annotations

from schemas import events as ev
from tests.recomputation.histories import Author
from tests.recomputation.rules import HOLDS, OUTCOMES


def payments(a: Author, dues: list[tuple[int, int]] | None = None) -> None:
    """Pay what is asked for, as one of several people would."""
    rng = a.rng
    good, late = rng.choice(((0.95, 0.1), (0.6, 0.5), (0.3, 0.6), (0.0, 0.0), (0.8, 0.9)))
    stops = rng.randrange(1, 2 * a.days)
    owed = 0
    for due, amount in sorted(dues if dues is not None else a.dues):
        owed += amount
        if due > stops and rng.random() < 0.9:
            continue
        if rng.random() > good:
            continue
        day = due + (rng.choice((1, 2, 5, 12, 35, 70)) if rng.random() < late else rng.choice((0, 0, 0, -1, -8)))
        how = rng.random()
        if how < 0.6:
            a.pay(day, amount)
        elif how < 0.75:
            a.pay(day, amount * rng.randint(1, 99) // 100)
            a.pay(day + rng.randint(0, 20), amount * rng.randint(1, 60) // 100)
        elif how < 0.85:
            a.pay(day, owed)
        elif how < 0.95:
            a.pay(day, amount - rng.choice((1, 99, 100, 101)))
        else:
            a.pay(day, amount * rng.randint(2, 5))


def holds(a: Author) -> None:
    """Place holds that overlap, end by themselves, or are released."""
    rng = a.rng
    for day in a.random_days(4):
        base = a.base(day)
        until = rng.choice((None, day, day + rng.randint(1, 80)))
        placed = ev.HoldPlaced(
            **base,
            hold_id=f"h{a.ids}",
            account_id="A1",
            kind=rng.choice(HOLDS),  # type: ignore[arg-type]
            from_on=a.on(day),
            until_on=None if until is None else a.on(until),
            crisis=a.ids % 4 == 0,
        )
        a.put(day, placed)
        if rng.random() < 0.6:
            release(a, day + rng.choice((0, rng.randint(1, 60), -2)), placed.hold_id)
    if rng.random() < 0.1:
        release(a, rng.randrange(a.days), "h-unknown")


def release(a: Author, day: int, hold_id: str) -> None:
    """Release a hold."""
    day = max(0, day)
    a.put(
        day,
        ev.HoldReleased(**a.base(day), hold_id=hold_id, account_id="A1", released_on=a.on(day)),
    )


def contacts(a: Author) -> None:
    """Try to reach the borrower."""
    rng = a.rng
    for day in a.random_days(10):
        base = a.base(day)
        a.put(
            day,
            ev.ContactAttempted(
                **base,
                attempt_id=f"c{a.ids}",
                account_id="A1",
                channel="call",
                direction=rng.choice(("outbound", "outbound", "inbound")),
                outcome=rng.choice(OUTCOMES),  # type: ignore[arg-type]
                agent="desk-1",
            ),
        )


def promises(a: Author) -> None:
    """Make promises that are kept, broken or moved."""
    rng = a.rng
    before: list[str] = ["pr-unknown"]
    for day in sorted(a.random_days(4)):
        base = a.base(day)
        due, amount = day + rng.choice((0, 3, 10, 30, -1)), a.amount(1, 90)
        made = ev.PromiseMade(
            **base,
            promise_id=f"pr{a.ids}",
            account_id="A1",
            amount=amount,
            due_on=a.on(due),
            replaces=rng.choice((None, None, rng.choice(before))),
        )
        before.append(made.promise_id)
        a.put(day, made)
        if rng.random() < 0.6:
            a.pay(rng.randint(day, max(day, due + 2)), amount * rng.choice((1, 1, 2)) - rng.choice((0, 0, 1)))


def reviews(a: Author) -> None:
    """Let a committee decide, from whatever status."""
    for day in a.random_days(4):
        base = a.base(day)
        decision = a.rng.choice(("recognise", "recognise", "reject", "charge_off", "terminate"))
        a.put(
            day,
            ev.BadDebtReviewed(
                **base,
                review_id=f"r{a.ids}",
                account_id="A1",
                decision=decision,
                reviewer="staff-7",
                ground="bankruptcy_closed" if decision == "terminate" else "bankruptcy",
            ),
        )


def failures(a: Author) -> None:
    """Let payments fail."""
    rng = a.rng
    for day in a.random_days(4):
        base = a.base(day)
        a.put(
            day,
            ev.PaymentFailed(
                **base,
                payment_id=f"f{a.ids}",
                account_id="A1",
                amount=a.amount(),
                reason="insufficient_funds",
                failed_on=rng.choice((None, a.on(day))),
            ),
        )
