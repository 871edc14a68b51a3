"""Openings and statements: how accounts begin, and what cards ask for each month."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from schemas import events as ev
from simulator.chance import keyed, unit
from simulator.envelope import envelope
from simulator.population import Account, Borrower, Population
from simulator.truth import Shock, means_of

PROFILE, NOISE = 48, 49
PURPOSE = "repayment_planning"


def opened(people: Population, borrower: Borrower, account: Account) -> ev.AccountOpened:
    """Return the opening of an account; a card's principal is its usual balance."""
    return ev.AccountOpened(
        **envelope(f"open-{account.account_id}", people.start, 0),
        account_id=account.account_id,
        borrower_id=borrower.borrower_id,
        product=account.product,
        jurisdiction=borrower.place.jurisdiction,
        currency=borrower.place.currency,
        opened_on=people.start,
        annual_rate_bps=account.annual_rate_bps,
        principal=account.principal,
        instalments=people.schedule(borrower, account),
    )


def statement(borrower: Borrower, account: Account, asked: ev.Instalment, today: date) -> ev.InstalmentBilled:
    """Return a card's statement, sent today."""
    return ev.InstalmentBilled(
        **envelope(f"bill-{account.account_id}-{asked.number}", today, borrower.place.hour),
        account_id=account.account_id,
        number=asked.number,
        due_on=asked.due_on,
        principal=asked.principal,
        interest=asked.interest,
        fees=0,
    )


def closed(borrower: Borrower, account: Account, reason: str, today: date) -> ev.AccountClosed:
    """Return the end of an account."""
    return ev.AccountClosed(
        **envelope(f"close-{account.account_id}", today, borrower.place.hour),
        account_id=account.account_id,
        reason=reason,
        closed_on=today,
    )


def profile(
    borrower: Borrower, today: date, kind: ev.ProfileKind, occasion: str, shock: Shock | None = None
) -> Iterator[ev.Event]:
    """Yield a consent and what a source then says of the borrower's means.

    Bureaus know debts and a score but no income; borrowers round, and those who declare forget a little.
    """
    consent_id = f"consent-{borrower.borrower_id}-{kind}"
    yield ev.ConsentGranted(
        **envelope(f"grant-{borrower.borrower_id}-{kind}-{occasion}", today, borrower.place.hour),
        borrower_id=borrower.borrower_id,
        consent_id=consent_id,
        purpose=PURPOSE,
    )
    income, expenses = means_of(borrower, shock)
    noise = 0.97 + 0.06 * unit(borrower.key, NOISE, len(occasion))
    stated = kind != "bureau"
    yield ev.ProfileReported(
        **envelope(f"profile-{borrower.borrower_id}-{kind}-{occasion}", today, borrower.place.hour),
        borrower_id=borrower.borrower_id,
        kind=kind,
        as_of=today,
        consent_id=consent_id,
        monthly_income=round(income * noise) // 1_000 * 1_000 if stated else None,
        monthly_expenses=expenses * (95 if kind == "declared" else 100) // 100_000 * 1_000 if stated else None,
        other_debt_payments=borrower.other_debt,
        household_size=borrower.household if stated else None,
        region=borrower.place.jurisdiction,
        credit_score=None if stated else borrower.credit_score,
        employment=(shock.kind if shock else "employed") if stated else None,
        currency=borrower.place.currency,
        time_zone=borrower.place.time_zone,
        locale=borrower.place.locale,
    )


def first_profiles(borrower: Borrower, start: date) -> Iterator[ev.Event]:
    """Yield what is known of a borrower from the start: a declaration of some, a bureau's report of half."""
    if borrower.shares:
        yield from profile(borrower, start, "declared", "start")
    if keyed(borrower.key, PROFILE) & 1:
        yield from profile(borrower, start, "bureau", "start")
