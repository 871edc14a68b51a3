"""Payments: the pattern of a borrower's month, payments as they arrive, and how plans are paid.

A pattern is a function of borrower and month alone, so a day asks for it afresh and nothing is remembered. Payments
arrive in time or late, back-dated, twice, failed and tried again, returned. Instalments of plans are paid by the truth
of `simulator.truth`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from enum import IntEnum

from schemas import events as ev
from simulator.chance import keyed, text_key, unit
from simulator.envelope import envelope
from simulator.memory import ActivePlan
from simulator.population import Account, Borrower, Population
from simulator.truth import Deal, keeping, shock_of, situation_of

PATTERN = 32

# Days after the due date on which something may happen, the statement 20 days before it aside.
FIRST, SECOND, THIRD, LAST = 4, 9, 15, 24


class PaymentPattern(IntEnum):
    """How a month's instalments are paid.

    ON_TIME on or before the due date · POSTED_LATE in time, but reported four days late (back-dated) ·
    SLOW nine days late · FAILED_FIRST a failed debit, repeated after four days · BOUNCED paid, returned after
    four days, paid again after fifteen · PARTIAL half of it, nine days late · MISSED not at all.
    """

    ON_TIME = 0
    POSTED_LATE = 1
    SLOW = 2
    FAILED_FIRST = 3
    BOUNCED = 4
    PARTIAL = 5
    MISSED = 6


PAID_ON = {
    PaymentPattern.ON_TIME: 0,
    PaymentPattern.POSTED_LATE: FIRST,
    PaymentPattern.SLOW: SECOND,
    PaymentPattern.FAILED_FIRST: FIRST,
    PaymentPattern.BOUNCED: THIRD,
    PaymentPattern.PARTIAL: SECOND,
    PaymentPattern.MISSED: None,
}

# Upper bounds of a uniform 0 to 9,999 for the patterns from MISSED down to POSTED_LATE; the rest is ON_TIME.
Bounds = tuple[int, int, int, int, int, int]
CAREFUL: Bounds = (60, 90, 130, 230, 450, 650)
CARELESS: Bounds = (500, 800, 900, 1_200, 3_200, 3_400)
UNWILLING: Bounds = (2_800, 4_300, 4_400, 4_600, 7_000, 7_100)
ORDER = (
    PaymentPattern.MISSED,
    PaymentPattern.PARTIAL,
    PaymentPattern.BOUNCED,
    PaymentPattern.FAILED_FIRST,
    PaymentPattern.SLOW,
    PaymentPattern.POSTED_LATE,
)


def pattern_of(people: Population, index: int, key: int, month: int) -> tuple[PaymentPattern, bool]:
    """Return a borrower's pattern in a month, and whether arrears of earlier months are paid along with it."""
    bits = keyed(key, PATTERN, month)
    chance = (bits & 0xFFFF) * 10_000 >> 16
    catches = bits >> 16 & 0xFF
    if shock_of(key, month) is None:
        kind = key & 0xFF
        bounds = UNWILLING if kind < 13 else CARELESS if kind < 51 else CAREFUL
        willing = catches < (70 if kind < 13 else 200)
        if willing and catches >= 90:
            # Whoever comes out of a shock has two months in which catching up comes harder.
            willing = shock_of(key, month - 1) is None and shock_of(key, month - 2) is None
        if chance >= bounds[5]:
            return PaymentPattern.ON_TIME, willing
        return _among(bounds, chance), willing
    borrower = people.borrower(index)
    saved = borrower.buffer > 0 and shock_of(key, month - borrower.buffer) is None
    surplus = situation_of(borrower, month).surplus
    owed = max(1, borrower.owed_a_month())
    # Of ten thousand, how many pay in time: by how far the surplus goes, once savings are used up.
    able = 10_000 if saved else max(300, min(9_500, surplus * 8_500 // owed))
    paying = int(able * (0.5 + 0.5 * borrower.willingness))
    if chance < paying:
        return PaymentPattern.ON_TIME, able >= 8_500 and catches < 128
    rest = (chance - paying) * 100 // max(1, 10_000 - paying)
    if rest < 10:
        return PaymentPattern.SLOW, False
    return (PaymentPattern.PARTIAL if rest < 30 else PaymentPattern.MISSED), False


def _among(bounds: Bounds, chance: int) -> PaymentPattern:
    return next(
        (pattern for bound, pattern in zip(bounds, ORDER, strict=True) if chance < bound), PaymentPattern.ON_TIME
    )


def months_unpaid(people: Population, index: int, key: int, month: int) -> float:
    """Return how many instalments of the last twelve months are unpaid, counted back to the last that caught up."""
    unpaid = 0.0
    for before in range(month - 1, max(0, month - 13), -1):
        pattern, catches = pattern_of(people, index, key, before)
        if pattern is PaymentPattern.MISSED:
            unpaid += 1
        elif pattern is PaymentPattern.PARTIAL:
            unpaid += 0.5
        elif catches:
            break
    return unpaid


MANNER = 64
CHANNELS = ("direct_debit", "bank_transfer", "app", "counter")


def payment(
    borrower: Borrower, account: Account, name: str, amount: int, value_on: date, today: date
) -> Iterator[ev.PaymentReceived]:
    """Yield a payment that arrives today; one in a hundred is delivered twice, under the same event id."""
    bits = keyed(account.key, MANNER, value_on.toordinal())
    paid = ev.PaymentReceived(
        **envelope(f"pay-{name}", today, borrower.place.hour),
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
                **envelope(f"fail-{name}", today, borrower.place.hour),
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
            **envelope(f"reverse-{name}", today, borrower.place.hour),
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


KEEP, SLIP = 160, 161
# Of the instalments that are not paid in time, how many come three days late.
SLIPS = 0.3


def deal_of(plan: ActivePlan, account: Account, all_plans: Iterable[ActivePlan]) -> Deal:
    """Return a plan as a deal; what weighs on the borrower are the largest instalments of all his plans."""
    terms = plan.terms
    waived = terms.waived.principal + terms.waived.interest + terms.waived.fees + terms.waived.penalty
    financed = sum(i.principal for i in terms.instalments)
    contract = account.annual_rate_bps
    return Deal(
        instalment=sum(max((i.amount for i in p.terms.instalments), default=0) for p in all_plans),
        term_months=len(terms.instalments),
        rate_cut=max(0.0, (contract - terms.annual_rate_bps) / contract) if contract else 0.0,
        waived=waived / (waived + financed) if waived else 0.0,
    )


def pays(borrower: Borrower, plan: ActivePlan, deal: Deal, number: int, month: int) -> int | None:
    """Return how many days after its due date a plan's instalment is paid: 0, 3, or None for not at all.

    month: of the borrower's instalments, from 1; the surplus of that month decides.
    """
    key = text_key(borrower.key, plan.terms.plan_id)
    if unit(key, KEEP, number) < keeping(deal, situation_of(borrower, month)):
        return 0
    return 3 if unit(key, SLIP, number) < SLIPS else None
