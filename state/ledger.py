"""The ledger: what is owed, and how money that comes in is allocated to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from state.account import Paid, Receivable
from state.policy import Allocation, Charges, Delinquency

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


def _split(r: Receivable, amounts: dict[str, int]) -> Receivable:
    return Receivable(
        r.number,
        r.due,
        amounts["principal"],
        amounts["interest"],
        amounts["fees"],
        amounts["penalty"],
        r.asked,
        r.reported,
        r.plan,
        r.billed,
        r.settled,
    )


@lru_cache(maxsize=64)
def _stages(order: tuple[str, ...], sweep: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the waterfall as (timing, components paid together on one instalment), in order."""
    steps = [tuple(step.split(".")) for step in order]
    stages: list[tuple[str, tuple[str, ...]]] = []
    for timing, component in steps:
        if timing == "advance" or sweep == "instalment":
            if all(t != timing for t, _ in stages):
                stages.append((timing, tuple(c for t, c in steps if t == timing)))
        else:
            stages.append((timing, (component,)))
    return tuple(stages)


def allocate(
    receivables: Sequence[Receivable], amount: int, day: int, rules: Allocation, *, performing: bool
) -> Allocated:
    """Allocate an amount on a day by the waterfall of the policy.

    `receivables` stand in the order of their due dates. An instalment is past due if it was due before
    the day, due if on it, else in advance. Advances always run instalment by instalment: nobody pays
    the interest of all years to come before the next month's principal.
    Sum allocated + left = amount, always.
    """
    count = len(receivables)
    due_from = 0
    while due_from < count and receivables[due_from].due < day:
        due_from += 1
    advance_from = due_from
    while advance_from < count and receivables[advance_from].due == day:
        advance_from += 1
    spans = {"past_due": (0, due_from), "due": (due_from, advance_from), "advance": (advance_from, count)}
    after = list(receivables)
    left = amount
    got = {"penalty": 0, "fees": 0, "interest": 0, "principal": 0}
    for timing, components in _stages(rules.performing if performing else rules.non_performing, rules.sweep):
        if not left:
            break
        for index in range(*spans[timing]):
            r = after[index]
            # Many payments on one day meet the same instalments, already paid, again and again.
            if not r.owed():
                continue
            open_ = {"penalty": r.penalty, "fees": r.fees, "interest": r.interest, "principal": r.principal}
            for component in components:
                part = min(left, open_[component])
                open_[component] -= part
                got[component] += part
                left -= part
            after[index] = _split(r, open_)
            if not left:
                break
    return Allocated(tuple(after), Paid(got["principal"], got["interest"], got["fees"], got["penalty"]), left)


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
