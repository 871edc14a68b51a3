"""The figures of debts and options, one function each: exposure, lateness, rate and saving.

Offers, disclosures, decisions and rankings all take them from here, so that one question has one answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agents.amounts import whole
from schemas import events as ev


def owed(debt: ev.Debt) -> int:
    """Return a debt's exposure in minor units: all principal and charges, and the interest and fees due or billed."""
    return whole(debt.outstanding)


def exposure_of(debts: Iterable[ev.Debt]) -> int:
    """Return the exposure of several debts in one currency, minor units."""
    return sum(owed(d) for d in debts)


def lateness_of(debts: Iterable[ev.Debt]) -> int:
    """Return the days past due of several debts: those of the one that is longest past due."""
    return max(d.days_past_due for d in debts)


def rate_of(shares: Iterable[ev.Share]) -> int:
    """Return the annual rate of an option, basis points: the highest that any of its accounts is charged.

    A weighted rate would say less than is charged on one of the accounts, and would have to be rounded.
    """
    return max(s.annual_rate_bps for s in shares)


def saving_of(debts: Sequence[ev.Debt], total_cost: int) -> int:
    """Return what the contracts still ask for less what an option costs, minor units; negative if it costs more.

    It is 0, and nothing is said of a saving, where what a contract still asks for was not reported.
    """
    asked = [d.contract_total for d in debts if d.contract_total is not None]
    return sum(asked) - total_cost if len(asked) == len(debts) else 0
