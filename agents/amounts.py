"""Amounts: what their components come to, how people write them, and the figures of debts and options.

Offers, disclosures, decisions and rankings all take exposure, lateness, rate and saving from here, so that one question
has one answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from schemas import events as ev
from state.currencies import decimals_of

PARTS = ("principal", "interest", "fees", "penalty")


def money(amount: int, currency: str) -> str:
    """Return minor units with the decimals of their currency, without its name: 123,456.78, 123,457 or 123.456."""
    decimals = decimals_of(currency)
    units, rest = divmod(abs(amount), 10**decimals)
    return f"{'-' if amount < 0 else ''}{units:,}" + (f".{rest:0{decimals}d}" if decimals else "")


def priced(amount: int, currency: str) -> str:
    """Return minor units as people write them, with the currency's code: 123,456.78 CNY."""
    return f"{money(amount, currency)} {currency}".strip()


def whole(amounts: ev.Amounts) -> int:
    """Return the sum of the components."""
    return amounts.principal + amounts.interest + amounts.fees + amounts.penalty


def total(balances: Sequence[ev.Amounts]) -> ev.Amounts:
    """Return the sum of balances in one currency, component by component."""
    return ev.Amounts(**{part: sum(getattr(owed, part) for owed in balances) for part in PARTS})


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


def summed(shares: Sequence[ev.Share]) -> tuple[ev.PlanInstalment, ...]:
    """Return the instalments of all accounts, summed by due date."""
    if len(shares) == 1:
        return shares[0].instalments
    sums: dict[date, list[int]] = {}
    for share in shares:
        for i in share.instalments:
            row = sums.setdefault(i.due_on, [0, 0])
            row[0] += i.principal
            row[1] += i.interest
    return tuple(
        ev.PlanInstalment(number=n, due_on=due, amount=p + i, principal=p, interest=i)
        for n, (due, (p, i)) in enumerate(sorted(sums.items()), 1)
    )
