"""The ledger: what is owed, and how money that comes in is allocated to it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from state.account import Paid, Receivable
from state.policy import Allocation, Charges, Component, Delinquency

# Penalty interest is simple, actual/365, on a rate in basis points.
ACCRUAL_UNIT = 365 * 10_000


class Allocated(Struct, frozen=True, gc=False):
    """What became of an amount: the receivables after it, what each component got, and what is left."""

    receivables: tuple[Receivable, ...]
    paid: Paid
    left: int


def tolerance(rules: Delinquency, asked: int) -> int:
    """Return the unpaid amount up to which an instalment of `asked` still counts as paid."""
    return max(rules.tolerance_absolute, asked * rules.tolerance_bps // 10_000)


class _Open:
    """A receivable while an amount is being allocated."""

    __slots__ = ("amounts", "source")

    def __init__(self, source: Receivable) -> None:
        self.source = source
        self.amounts: dict[Component, int] = {
            "penalty": source.penalty,
            "fees": source.fees,
            "interest": source.interest,
            "principal": source.principal,
        }

    def closed(self) -> Receivable:
        a, r = self.amounts, self.source
        return Receivable(
            r.number,
            r.due,
            a["principal"],
            a["interest"],
            a["fees"],
            a["penalty"],
            r.asked,
            r.reported,
            r.plan,
        )


def allocate(
    receivables: Sequence[Receivable], amount: int, day: int, rules: Allocation, *, performing: bool
) -> Allocated:
    """Allocate an amount on a day by the waterfall of the policy.

    `receivables` stand in the order of their due dates. An instalment is past due if it was due before
    the day, due if on it, else in advance. Advances always run instalment by instalment: nobody pays
    the interest of all years to come before the next month's principal.
    Sum allocated + left = amount, always.
    """
    order = rules.performing if performing else rules.non_performing
    opened: dict[int, _Open] = {}
    got: dict[Component, int] = {"penalty": 0, "fees": 0, "interest": 0, "principal": 0}
    left = amount

    def pay(index: int, component: Component) -> None:
        nonlocal left
        item = opened.get(index)
        if item is None:
            item = opened[index] = _Open(receivables[index])
        part = min(left, item.amounts[component])
        if part:
            item.amounts[component] -= part
            got[component] += part
            left -= part

    due_from = next((i for i, r in enumerate(receivables) if r.due >= day), len(receivables))
    advance_from = next(
        (i for i in range(due_from, len(receivables)) if receivables[i].due > day),
        len(receivables),
    )
    spans = {
        "past_due": range(due_from),
        "due": range(due_from, advance_from),
        "advance": range(advance_from, len(receivables)),
    }
    steps = [step.split(".") for step in order]
    done: set[str] = set()
    for timing, component in steps:
        if not left:
            break
        if timing == "advance" or rules.sweep == "instalment":
            if timing in done:
                continue
            done.add(timing)
            components = [c for t, c in steps if t == timing]
            for index in spans[timing]:
                for each in components:
                    pay(index, each)  # type: ignore[arg-type]
                if not left:
                    break
        else:
            for index in spans[timing]:
                pay(index, component)  # type: ignore[arg-type]
                if not left:
                    break
    after = tuple(opened[i].closed() if i in opened else r for i, r in enumerate(receivables))
    return Allocated(
        after,
        Paid(got["principal"], got["interest"], got["fees"], got["penalty"]),
        left,
    )


def half_up(numerator: int, denominator: int) -> int:
    """Return a non-negative quotient rounded half up, exactly."""
    return (2 * numerator + denominator) // (2 * denominator)


def room_for_charges(rules: Charges, original_principal: int, charged: int) -> int:
    """Return how much may still be charged under the cap (bps of the original principal)."""
    return max(0, original_principal * rules.cap_bps // 10_000 - charged)


def late_fee(rules: Charges, unpaid: int) -> int:
    """Return the late fee on an instalment with `unpaid` open, before the overall cap."""
    fee = rules.late_fee_flat + half_up(unpaid * rules.late_fee_bps, 10_000)
    return min(fee, rules.late_fee_cap) if rules.late_fee_cap else fee
