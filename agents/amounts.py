"""Amounts by component: what they come to."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import events as ev

PARTS = ("principal", "interest", "fees", "penalty")


def whole(amounts: ev.Amounts) -> int:
    """Return the sum of the components."""
    return amounts.principal + amounts.interest + amounts.fees + amounts.penalty


def total(balances: Sequence[ev.Amounts]) -> ev.Amounts:
    """Return the sum of balances in one currency, component by component."""
    return ev.Amounts(**{part: sum(getattr(owed, part) for owed in balances) for part in PARTS})
