"""Amounts: what their components come to, and how people write them."""

from __future__ import annotations

from collections.abc import Sequence

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
