"""The population: every borrower and account, derived from an index and the seed and kept nowhere.

Nine borrowers in a row have thirteen accounts (six have one, two have two, one has three), so which accounts
are whose is arithmetic. All that a borrower owes falls due on one day of the month, the index modulo 28, so
whoever is due on a day is a range of indices and a day costs only what happens on it.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

from msgspec import Struct

from schemas.events import Instalment
from simulator.chance import keyed, mix
from state.calendars import add_months
from state.schedules import amortise, due_dates

PAYDAYS = 28
STATEMENT_DAYS = 20
# Accounts of nine borrowers in a row, and how many accounts stand before each of them.
HELD = (1, 1, 2, 1, 1, 3, 1, 2, 1)
BEFORE = tuple(sum(HELD[:n]) for n in range(len(HELD)))
ROUND = sum(HELD)

WHO, LEVEL, MEANS, ACCOUNT, BALANCE = range(5)

# Incomes as multiples of the median, a sixteenth of the borrowers each: lognormal with sigma 0.45.
LEVELS = (43, 55, 63, 70, 77, 83, 90, 97, 103, 111, 120, 130, 143, 159, 183, 231)
# Loans: principal in monthly incomes (tenths), months.
LOANS = ((10, 12), (20, 12), (20, 24), (30, 24), (40, 36), (60, 36))


class Place(Struct, frozen=True):
    """Where a borrower lives. Money is minor units a month; hour is when business is done, UTC."""

    jurisdiction: str
    currency: str
    time_zone: str
    locale: str
    hour: int
    income: int
    single: int
    each: int
    loan_rates: tuple[int, int, int]
    card_rate: int


PLACES = {
    "CN": Place("CN", "CNY", "Asia/Shanghai", "zh", 3, 900_000, 180_000, 90_000, (1_200, 1_500, 1_800), 1_825),
    "US": Place("US", "USD", "America/New_York", "en", 16, 560_000, 160_000, 50_000, (999, 1_499, 1_999), 2_199),
    "EU": Place("EU", "EUR", "Europe/Brussels", "en", 10, 330_000, 110_000, 42_000, (590, 790, 990), 1_590),
}
MIX = {"CN": 5, "US": 3, "EU": 2}


class Account(Struct, frozen=True, gc=False):
    """One account. instalment: what a month asks for; of a card a typical minimum payment. months: 0 for a card."""

    account_id: str
    key: int
    product: str
    annual_rate_bps: int
    principal: int
    months: int
    instalment: int


class Borrower(Struct, frozen=True):
    """One borrower in good times. Money is minor units a month.

    buffer: months of a shock that savings carry. willingness: 0 to 1. online: share of answers given online.
    shares: whether the borrower lets the lender see income and expenses from the start.
    """

    index: int
    key: int
    borrower_id: str
    place: Place
    payday: int
    income: int
    expenses: int
    household: int
    other_debt: int
    buffer: int
    willingness: float
    online: float
    shares: bool
    credit_score: int
    accounts: tuple[Account, ...]

    def owed_a_month(self) -> int:
        """Return what all accounts together ask for a month."""
        return sum(a.instalment for a in self.accounts)


class Population:
    """`accounts` accounts of a seed, in places by `MIX`."""

    def __init__(self, accounts: int, seed: int, start: date) -> None:
        if accounts < 1:
            raise ValueError(f"a population has at least one account, not {accounts}")
        self.accounts = accounts
        self.start = start
        first = start + timedelta(days=STATEMENT_DAYS)
        # The month in which every account is first due: far enough for its first statement to be sent.
        self.first_month = add_months(first.replace(day=1), 1)
        self._root = mix(seed & (2**64 - 1))
        self._places = tuple(PLACES[name] for name in sorted(MIX) for _ in range(MIX[name]))
        self.size = _borrowers(accounts)
        self.borrower = lru_cache(maxsize=16_384)(self._borrower)

    def key(self, index: int) -> int:
        """Return the key under which all chance of a borrower is drawn."""
        return mix(self._root ^ (index * 0xD1342543DE82EF95 & (2**64 - 1)))

    def due_date(self, payday: int, month: int) -> date:
        """Return when the instalments of a month (from 1) are due."""
        return add_months(self.first_month, month - 1).replace(day=payday)

    def month_of(self, due: date) -> int:
        """Return the month (from 1) to which a due date belongs; below 1 before the first."""
        first = self.first_month
        return (due.year - first.year) * 12 + due.month - first.month + 1

    def due_on(self, due: date) -> range:
        """Return the indices of the borrowers whose instalments fall due on a date."""
        return range(due.day - 1, self.size if due.day <= PAYDAYS else 0, PAYDAYS)

    def held(self, index: int) -> int:
        """Return how many accounts a borrower has; the last borrower has what is left."""
        at = index % len(HELD)
        before = index // len(HELD) * ROUND + BEFORE[at]
        return min(HELD[at], self.accounts - before)

    def _borrower(self, index: int) -> Borrower:
        key = self.key(index)
        who, means = keyed(key, WHO), keyed(key, MEANS)
        place = self._places[(who & 0xFFFF) % len(self._places)]
        income = place.income * LEVELS[who >> 16 & 15] // 100
        household = (1, 1, 1, 2, 2, 3, 3, 4)[who >> 20 & 7]
        floor = place.single + place.each * (household - 1)
        # Everybody needs the floor; beyond it a third to a half of the rest is spent.
        spent = floor + max(0, income - floor) * (33 + (means & 15)) // 100
        other = income * (0, 0, 0, 2, 5, 8, 12, 0)[means >> 4 & 7] // 100
        payday = 1 + index % PAYDAYS
        return Borrower(
            index=index,
            key=key,
            borrower_id=f"B{index:07d}",
            place=place,
            payday=payday,
            income=income,
            expenses=spent,
            household=household,
            other_debt=other,
            buffer=(0, 0, 0, 1, 1, 1, 2, 3)[means >> 8 & 7],
            willingness=willingness(key),
            online=0.2 + 0.75 * (means >> 16 & 0xFF) / 255,
            shares=means >> 24 & 7 < 5,
            credit_score=540 + (means >> 32 & 0xFF) + (100 if willingness(key) > 0.5 else 0),
            accounts=tuple(_account(index, n, key, place, income) for n in range(self.held(index))),
        )

    def schedule(self, borrower: Borrower, account: Account) -> tuple[Instalment, ...]:
        """Return a loan's instalments; a card has none, its statements say what is due."""
        if not account.months:
            return ()
        first = self.due_date(borrower.payday, 1)
        return _schedule(account.principal, account.annual_rate_bps, account.months, first)

    def asked(self, borrower: Borrower, account: Account, month: int) -> Instalment | None:
        """Return what an account asks for in a month (from 1), None after a loan's last."""
        if account.months:
            amounts = _amounts(account.principal, account.annual_rate_bps, account.months)
            if month > len(amounts):
                return None
            principal, interest = amounts[month - 1]
            due = self.due_date(borrower.payday, month)
            return Instalment(number=month, due_on=due, principal=principal, interest=interest, fees=0)
        # A card's balance wanders between 70 % and 130 % of its usual one.
        balance = account.principal * (70 + keyed(account.key, BALANCE, month) % 61) // 100
        interest = balance * account.annual_rate_bps // 120_000
        return Instalment(
            number=month,
            due_on=self.due_date(borrower.payday, month),
            principal=max(balance // 20, interest) + 1_000 - interest,
            interest=interest,
            fees=0,
        )


def index_of(name: str) -> int:
    """Return the index of the borrower to whom a borrower's or account's id belongs."""
    return int(name[1:].partition("-")[0])


def willingness(key: int) -> float:
    """Return how much a borrower wants to pay, 0 to 1: a twentieth are unwilling, most are willing."""
    kind = key & 0xFF
    if kind < 13:
        return 0.1 + 0.02 * kind
    return 0.6 + 0.4 * (key >> 8 & 0xFF) / 255


def _borrowers(accounts: int) -> int:
    rounds, left = divmod(accounts, ROUND)
    return rounds * len(HELD) + sum(1 for before in BEFORE if before < left)


def _account(index: int, number: int, key: int, place: Place, income: int) -> Account:
    own = keyed(key, ACCOUNT, number)
    account_id = f"A{index:07d}-{number + 1}"
    if own & 0xFF < 140:
        balance = income * (6 + (own >> 8 & 15)) // 10
        return Account(account_id, own, "credit_card", place.card_rate, balance, 0, balance // 20 + 1_000)
    tenths, months = LOANS[(own >> 8 & 0xFFFF) % len(LOANS)]
    principal = income * tenths // 10
    rate = place.loan_rates[(own >> 24 & 0xFFFF) % 3]
    instalment = sum(_amounts(principal, rate, months)[0])
    return Account(account_id, own, "personal_loan", rate, principal, months, instalment)


# Incomes, loans and rates are few, so are their schedules; only the dates differ.
@lru_cache(maxsize=2_048)
def _amounts(principal: int, rate_bps: int, months: int) -> tuple[tuple[int, int], ...]:
    """Return the principal and interest of each instalment of a loan."""
    return tuple((i.principal, i.interest) for i in amortise(principal, rate_bps, months, date(2000, 1, 1)))


@lru_cache(maxsize=1_024)
def _schedule(principal: int, rate_bps: int, months: int, first_due: date) -> tuple[Instalment, ...]:
    dates = due_dates(first_due, months)
    return tuple(
        Instalment(number=n, due_on=due, principal=part, interest=interest, fees=0)
        for n, (due, (part, interest)) in enumerate(zip(dates, _amounts(principal, rate_bps, months), strict=False), 1)
    )
