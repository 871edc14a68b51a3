"""Days past due and missed instalments of the UCI card data, recomputed plainly, slowly, and on their own.

Nothing of Reprieve is imported. For each account and month end the whole story is told again from the CSV, one
day after the other: what was asked for is a list of demands, and every payment is spread over it, oldest first.
The stand-ins for what the data does not say are those of `tests/real_data/uci.py`, written down here a second time.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import date, timedelta

YEAR = 2005
MONTHS = [4, 5, 6, 7, 8, 9]


def answers(
    lines: Iterable[str], tolerance: int, grace_days: int = 0
) -> Iterator[tuple[int, dict[date, tuple[int, int]]]]:
    """Yield each account's number and, by month end, its days past due and number of missed instalments.

    tolerance: what may be unpaid of an instalment (minor units) while it still counts as paid.
    grace_days: an instalment is missed once it is more days late than these.
    """
    for row in csv.DictReader(lines):
        number = int(row["ID"])
        yield number, account(number, row, tolerance, grace_days)


def account(number: int, row: dict[str, str], tolerance: int, grace_days: int) -> dict[date, tuple[int, int]]:
    """Return one account's answers by month end."""
    statement_day = 21 + number % 8
    bills, payments = {}, {}
    for month in MONTHS:
        # Column 1 is September, column 6 is April.
        column = 10 - month
        bills[month] = round(100 * float(row[f"BILL_AMT{column}"]))
        payments[month] = round(100 * float(row[f"PAY_AMT{column}"]))

    demands: list[list[object]] = []
    money_without_a_demand = 0
    found: dict[date, tuple[int, int]] = {}

    day = date(YEAR, 4, 1)
    while day <= date(YEAR, 9, 30):
        payment_day = 1 + (7 * number + 3 * day.month) % 10
        if day.day == payment_day:
            money_without_a_demand += payments[day.month]

        if day.day == statement_day and bills[day.month] > 0:
            bill = bills[day.month]
            least = bill * 2 // 100
            if least < 100_000:
                least = 100_000
            if least > bill:
                least = bill
            # Money that answers no demand has lowered the balance: the statement takes it up beside the minimum.
            demands.append([day + timedelta(days=20), least + money_without_a_demand])

        for demand in demands:
            open_amount = demand[1]
            assert isinstance(open_amount, int)
            part = min(open_amount, money_without_a_demand)
            demand[1] = open_amount - part
            money_without_a_demand -= part

        tomorrow = day + timedelta(days=1)
        if tomorrow.month != day.month:
            found[day] = judged(demands, day, tolerance, grace_days)
        day = tomorrow
    return found


def judged(demands: list[list[object]], day: date, tolerance: int, grace_days: int) -> tuple[int, int]:
    """Return days past due and missed instalments at the close of a day."""
    oldest: date | None = None
    missed = 0
    for due, open_amount in demands:
        assert isinstance(due, date)
        assert isinstance(open_amount, int)
        if due < day and open_amount > tolerance:
            if oldest is None or due < oldest:
                oldest = due
            if (day - due).days > grace_days:
                missed += 1
    return ((day - oldest).days if oldest else 0), missed
