"""The truth behind the simulated borrowers, as explicit functions, so that a learner can be measured against it.

Shocks to income come and go as a seeded process. Whether an option is accepted, and an instalment of it kept,
are logistic in what the option asks for and gives, and in the borrower's real surplus at the time. Nothing
here was estimated from answers to offers, since no public data has any; the signs follow the literature
(write-downs help: Dobbie & Song 2020; lower instalments over longer terms help: Ganong & Noel 2020).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp

from msgspec import Struct

from schemas import events as ev
from simulator.chance import keyed
from simulator.population import Borrower

SHOCK = 16
EPOCH = 12
# Of 256 borrowers, how many are hit in an epoch of twelve months.
SHOCKED = 72
# How much an instalment may weigh at most in the formulas, as a multiple of the surplus.
HEAVIEST = 5.0


class Shock(Struct, frozen=True, gc=False):
    """A blow to a borrower's means for `months` months from `first`; shares are percent of good times."""

    kind: str
    first: int
    months: int
    income_percent: int
    expenses_percent: int


class Deal(Struct, frozen=True, gc=False):
    """What an option asks for and gives.

    instalment: the largest, minor units a month. rate_cut: share of the contract rate that is cut, 0 to 1.
    waived: share of what is owed that is forgiven, 0 to 1. recommended: whether it is the one recommended.
    """

    instalment: int
    term_months: int
    rate_cut: float = 0.0
    waived: float = 0.0
    recommended: bool = False


class Situation(Struct, frozen=True, gc=False):
    """Whom a deal is for. surplus: income less expenses and other debts, minor units a month; may be negative."""

    surplus: int
    willingness: float
    shocked: bool = False


def shock_of(key: int, month: int) -> Shock | None:
    """Return the shock under which a borrower is in a month, None in good times.

    One may start in every twelve months: hours cut (half of all), a job lost, an illness; it ends in recovery.
    """
    epoch = month // EPOCH
    for start in (epoch, epoch - 1):
        bits = keyed(key, SHOCK, start + 1)
        if bits & 0xFF >= SHOCKED:
            continue
        first = start * EPOCH + (bits >> 8 & 0xFFFF) % EPOCH
        what = bits >> 24 & 0xFF
        length = bits >> 32 & 0xFFFF
        if what < 128:
            shock = Shock("reduced_hours", first, 4 + length % 7, 78, 100)
        elif what < 204:
            shock = Shock("job_loss", first, 2 + length % 5, 38, 95)
        else:
            shock = Shock("illness", first, 2 + length % 4, 62, 108)
        if first <= month < first + shock.months:
            return shock
    return None


def situation_of(borrower: Borrower, month: int) -> Situation:
    """Return a borrower's situation in a month (from 1)."""
    shock = shock_of(borrower.key, month)
    income, expenses = means_of(borrower, shock)
    return Situation(income - expenses - borrower.other_debt, borrower.willingness, shock is not None)


def means_of(borrower: Borrower, shock: Shock | None) -> tuple[int, int]:
    """Return a borrower's income and expenses a month under a shock, minor units."""
    if shock is None:
        return borrower.income, borrower.expenses
    return borrower.income * shock.income_percent // 100, borrower.expenses * shock.expenses_percent // 100


def burden(instalment: int, surplus: int) -> float:
    """Return an instalment over a surplus, from 0 to 5; without any surplus 5."""
    return min(HEAVIEST, instalment / surplus) if surplus > 0 else HEAVIEST


def appeal(deal: Deal, of: Situation) -> float:
    """Return the odds of a deal against doing nothing.

    exp(1.6 − 2.4·burden − 0.015·months + 0.8·rate cut + 1.5·waived + 0.5 if recommended) · (0.3 + 0.7·willingness)
    """
    score = (
        1.6
        - 2.4 * burden(deal.instalment, of.surplus)
        - 0.015 * deal.term_months
        + 0.8 * deal.rate_cut
        + 1.5 * deal.waived
        + (0.5 if deal.recommended else 0.0)
    )
    return exp(score) * (0.3 + 0.7 * of.willingness)


def acceptance(deals: Sequence[Deal], of: Situation) -> tuple[float, ...]:
    """Return P(accept) of each deal shown together: its odds over one plus the odds of all."""
    odds = [appeal(deal, of) for deal in deals]
    whole = 1 + sum(odds)
    return tuple(o / whole for o in odds)


def keeping(deal: Deal, of: Situation) -> float:
    """Return P(an instalment of the deal is paid in time) in the situation of its month.

    logistic(4.6 − 3.2·burden − 0.006·months + 0.4·rate cut + 0.6·waived) · (0.8 + 0.2·willingness)
    """
    score = (
        4.6
        - 3.2 * burden(deal.instalment, of.surplus)
        - 0.006 * deal.term_months
        + 0.4 * deal.rate_cut
        + 0.6 * deal.waived
    )
    return (0.8 + 0.2 * of.willingness) / (1 + exp(-score))


def deals_of(
    options: Iterable[ev.Option], recommended_id: str | None, contract_rate_bps: int, owed: int
) -> tuple[Deal, ...]:
    """Return options as deals. owed: all that is outstanding, minor units."""
    deals = []
    for option in options:
        waived = option.waived.principal + option.waived.interest + option.waived.fees + option.waived.penalty
        deals.append(
            Deal(
                instalment=option.instalment_amount,
                term_months=option.term_months,
                rate_cut=_share(contract_rate_bps - option.annual_rate_bps, contract_rate_bps),
                waived=_share(waived, owed),
                recommended=option.option_id == recommended_id,
            )
        )
    return tuple(deals)


def _share(part: int, whole: int) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0
