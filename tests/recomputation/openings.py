"""How accounts begin and what is asked of them: schedules, statements and their revisions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from schemas import events as ev
from tests.recomputation.histories import Author
from tests.recomputation.rules import PLACES


def opening(a: Author) -> None:
    """Open the account, with a schedule or, as a card, without one."""
    rng = a.rng
    loan = a.product != "credit_card"
    number = rng.choice((1, 2, 3, 6, 12, 12)) if loan else 0
    principal, interest = a.amount(20, 200), rng.choice((0, a.amount(1, 10)))
    fees = rng.choice((0, 0, 0, a.amount(1, 3)))
    instalments = []
    for n, due in enumerate(a.dates(rng.choice((0, 1, 14, 28, 30)), number), 1):
        instalments.append(
            ev.Instalment(number=n, due_on=a.on(due), principal=principal, interest=max(0, interest - n), fees=fees)
        )
    a.instalments = instalments
    a.numbers = [i.number for i in instalments]
    a.dues += [((i.due_on - a.start).days, i.principal + i.interest + i.fees) for i in instalments]
    opened = ev.AccountOpened(
        **a.base(0, 0),
        account_id="A1",
        borrower_id="B1",
        product=a.product,
        jurisdiction=a.place,
        currency=a.currency,
        opened_on=a.start,
        annual_rate_bps=rng.choice((0, 950, 1800, 2400)),
        principal=sum(i.principal for i in instalments) or rng.choice((0, a.amount(100, 900))),
        instalments=tuple(instalments),
        reported_from=rng.choice((None, None, None, None, a.on(a.days // 3))),
    )
    a.put(0, opened)
    if rng.random() < 0.12:
        other = rng.choice([p for p in PLACES if PLACES[p] == a.currency])
        changed = msgspec.structs.replace(
            opened,
            event_id="e0000",
            occurred_at=opened.occurred_at - timedelta(hours=rng.choice((-1, 1, 5))),
            jurisdiction=other,
            annual_rate_bps=rng.choice((0, 1200)),
        )
        a.history.facts.append((rng.randrange(a.days), changed))


def statements(a: Author) -> None:
    """Bill by statements, some of which are revised, withdrawn, late or billed on a day of their own."""
    rng = a.rng
    first = max(a.numbers, default=0)
    for n, on in enumerate(a.dates(rng.choice((2, 20, 29)), min(12, a.days // 30 + 1)), first + 1):
        if on > a.days:
            break
        due = on + rng.choice((20, 20, 20, 0, -5))
        bill = ev.InstalmentBilled(
            **a.base(on),
            account_id="A1",
            number=n,
            due_on=a.on(due),
            principal=a.amount(1, 80),
            interest=a.amount(0, 6),
            fees=rng.choice((0, 0, a.amount(0, 3))),
            billed_on=rng.choice((None, None, a.on(on))),
        )
        a.numbers.append(n)
        a.dues.append((due, bill.principal + bill.interest + bill.fees))
        a.put(on, bill)
        if rng.random() < 0.15:
            later = on + rng.randint(0, 40)
            change: dict[str, Any] = rng.choice(
                (
                    {"principal": bill.principal // 2},
                    {"principal": bill.principal + a.unit, "fees": 0},
                    {"principal": 0, "interest": 0, "fees": 0},
                    {"due_on": bill.due_on + timedelta(days=7)},
                )
            )
            revised = msgspec.structs.replace(
                bill,
                **a.base(later),
                revision=rng.randint(1, 3),
                billed_on=rng.choice((None, a.on(on), a.on(later))),
                **change,
            )
            a.put(later, revised)


def revise_schedule(a: Author) -> None:
    """Let the core system put another schedule into the contract's place."""
    rng = a.rng
    if not a.instalments:
        return
    number = max(a.numbers) + 10
    for revision in range(1, rng.choice((2, 2, 3))):
        on = rng.randrange(1, a.days)
        ahead = rng.randint(0, 6)
        instalments = [
            ev.Instalment(
                number=number + n,
                due_on=a.on(due),
                principal=a.amount(5, 150),
                interest=a.amount(0, 5),
                fees=0,
            )
            for n, due in enumerate(a.dates(on + rng.choice((1, 10, 30)), ahead))
        ]
        number += 20
        a.numbers += [i.number for i in instalments]
        a.dues += [((i.due_on - a.start).days, i.principal + i.interest) for i in instalments]
        a.put(
            on,
            ev.ScheduleRevised(
                **a.base(on),
                account_id="A1",
                revision=revision,
                effective_on=a.on(on),
                instalments=tuple(instalments),
                annual_rate_bps=rng.choice((None, 600)),
                reason="prepaid",
            ),
        )
