"""Accounts that are taken over: running loans and cards with a past, as another system hands them over."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace

from schemas import events as ev
from simulator.envelope import SOURCE, envelope
from simulator.population import Account, Borrower, Population

# Instalments of before the start; those that come are numbered after them.
EARLIER = 8
# By sixteenths of the accounts: how many of these are unpaid. The last two are charged off, and under a plan.
UNPAID = (0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 8, 4)
CHARGED_OFF, PLANNED = 14, 15
PLAN_MONTHS = 12


class Position(Struct, frozen=True):
    """An account that is taken over.

    arrears: overdue, minor units. plan: the plan in force as if it had been agreed here; it is not sent.
    """

    event: ev.OpeningPosition
    arrears: int
    plan: ev.PlanActivated | None = None


def taken_over(people: Population, borrower: Borrower, account: Account, bits: int) -> Position:
    """Return an account with eight instalments behind it, as of the day before the start. bits: its chance."""
    kind = bits & 15
    past = _past(people, borrower, account)
    unpaid = past[EARLIER - UNPAID[kind] :]
    half = bits >> 4 & 3 == 0
    owed = tuple(_overdue_instalment(i, first=i is unpaid[0], half=half, billed=not account.months) for i in unpaid)
    to_come = tuple(
        ev.PositionInstalment(
            number=EARLIER + i.number, due_on=i.due_on, principal=i.principal, interest=i.interest, fees=0
        )
        for i in people.schedule(borrower, account)
    )
    paid = past[: EARLIER - len(unpaid)]
    as_of = people.start - timedelta(days=1)
    event = ev.OpeningPosition(
        **envelope(f"position-{account.account_id}", people.start, 0),
        account_id=account.account_id,
        borrower_id=borrower.borrower_id,
        product=account.product,
        jurisdiction=borrower.place.jurisdiction,
        currency=borrower.place.currency,
        opened_on=past[0].due_on - timedelta(days=31),
        as_of=as_of,
        annual_rate_bps=account.annual_rate_bps,
        principal=account.principal + sum(i.principal for i in past) if account.months else 0,
        instalments=(*owed, *to_come),
        charged=sum(i.penalty for i in owed),
        statement_principal=0 if account.months else sum(i.principal for i in past),
        last_payment_on=paid[-1].due_on if paid else None,
        failed_attempts=len(owed),
        standing="arrears" if owed else "good",
    )
    if kind == CHARGED_OFF:
        event = replace(
            event, bad_debt="charged_off", bad_debt_on=as_of - timedelta(days=30), stage=3, standing="defaulted"
        )
    arrears = sum(map(_unpaid, owed))
    if kind == PLANNED:
        return _planned(people, borrower, event, arrears)
    return Position(event, arrears)


def _past(people: Population, borrower: Borrower, account: Account) -> list[ev.Instalment]:
    """Return the last instalments that were due before the start; those of a loan were as its first one."""
    last = people.month_of(people.start)
    while people.due_date(borrower.payday, last) >= people.start:
        last -= 1
    found = []
    for number, month in enumerate(range(last - EARLIER + 1, last + 1), 1):
        asked = people.asked(borrower, account, 1 if account.months else month)
        assert asked is not None
        found.append(
            ev.Instalment(
                number=number,
                due_on=people.due_date(borrower.payday, month),
                principal=asked.principal,
                interest=asked.interest,
                fees=0,
            )
        )
    return found


def _overdue_instalment(asked: ev.Instalment, *, first: bool, half: bool, billed: bool) -> ev.PositionInstalment:
    """Return an instalment that is overdue. first: charges stand on the oldest, of which half may be paid."""
    return ev.PositionInstalment(
        number=asked.number,
        due_on=asked.due_on,
        principal=asked.principal - (asked.principal // 2 if first and half else 0),
        interest=asked.interest,
        fees=0,
        penalty=asked.principal // 200 if first else 0,
        amount_due=asked.principal + asked.interest,
        billed=billed,
    )


def _unpaid(i: ev.PositionInstalment) -> int:
    return i.principal + i.interest + i.fees + i.penalty


def _planned(people: Population, borrower: Borrower, event: ev.OpeningPosition, arrears: int) -> Position:
    """Return an account whose arrears and principal are in a plan of a year without interest, one month old."""
    financed = arrears + sum(i.principal for i in event.instalments if i.number > EARLIER)
    plan_id, activated = f"TP-{event.account_id}", event.as_of - timedelta(days=40)
    level, over = divmod(financed, PLAN_MONTHS)
    schedule = tuple(
        ev.PlanInstalment(
            number=month + 1,
            due_on=people.due_date(borrower.payday, month),
            amount=level + (month <= over),
            principal=level + (month <= over),
            interest=0,
        )
        for month in range(1, PLAN_MONTHS + 1)
    )
    plan = ev.PositionPlan(
        plan_id=plan_id,
        activated_on=activated,
        annual_rate_bps=0,
        instalments=tuple(
            ev.PositionInstalment(number=i.number, due_on=i.due_on, principal=i.principal, interest=0, fees=0)
            for i in schedule
        ),
        kept=1,
        paid=level,
    )
    agreed = ev.PlanActivated(
        event_id=f"agreed-{event.account_id}",
        occurred_at=event.occurred_at,
        source=SOURCE,
        account_id=event.account_id,
        borrower_id=event.borrower_id,
        plan_id=plan_id,
        offer_id=plan_id,
        option_id=plan_id,
        currency=event.currency,
        activated_on=activated,
        annual_rate_bps=0,
        waived=ev.Amounts(),
        instalments=schedule,
        caused_by=event.event_id,
    )
    taken = replace(event, plan=plan, had_plan=True, collection_stopped=True, standing="restructured")
    return Position(taken, 0, agreed)
