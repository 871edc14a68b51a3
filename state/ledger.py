"""The ledger: what is owed, and how money that comes in is allocated to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from msgspec import Struct

from state.account import Paid, Receivable
from state.policy import Allocation, Charges, Delinquency

# Penalty interest is simple, actual/365, on a rate in ten-thousandths of a basis point.
ACCRUAL_UNIT = 365 * 10_000 * 10_000


class Allocated(Struct, frozen=True, gc=False):
    """What became of an amount: the receivables after it, what each component got, and what is left."""

    receivables: tuple[Receivable, ...]
    paid: Paid
    left: int


def tolerance(rules: Delinquency, asked: int) -> int:
    """Return the unpaid amount up to which an instalment of `asked` still counts as paid."""
    return max(rules.tolerance_absolute, asked * rules.tolerance_bps // 10_000)


def _split(r: Receivable, amounts: dict[str, int], paid_toward: int) -> Receivable:
    return Receivable(
        r.number,
        r.due,
        amounts["principal"],
        amounts["interest"],
        amounts["fees"],
        amounts["penalty"],
        r.amount_due,
        r.missed_reported,
        r.plan,
        r.billed,
        r.settled,
        paid_toward,
        r.interest_due,
        r.fees_due,
    )


def _components(r: Receivable) -> dict[str, int]:
    return {"penalty": r.penalty, "fees": r.fees, "interest": r.interest, "principal": r.principal}


def _count(receivables: Sequence[Receivable], amount: int) -> dict[int, int]:
    """Return what was paid toward instalments, by index, with an amount counted in the order of their due dates."""
    left, counted = amount, {}
    for index, r in enumerate(receivables):
        if not left:
            break
        part = min(left, r.amount_due - r.paid_toward)
        if part > 0:
            left -= part
            counted[index] = r.paid_toward + part
    return counted


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
    receivables: Sequence[Receivable],
    amount: int,
    day: int,
    rules: Allocation,
    *,
    performing: bool,
    freed: int = 0,
    whole: bool = False,
) -> Allocated:
    """Allocate an amount on a day by the waterfall of the policy, and count it toward what was asked for.

    What is allocated is counted, and `freed` in addition to it: what was counted toward something that asks for it no
    more, less what the ledger had allocated to that. whole: all of the amount is counted, as of a payment, allocated or
    not.

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
    left = amount
    # What stays open of the instalments that were reached, by index.
    reached: dict[int, dict[str, int]] = {}
    got = {"penalty": 0, "fees": 0, "interest": 0, "principal": 0}
    for timing, components in _stages(rules.performing if performing else rules.non_performing, rules.sweep):
        if not left:
            break
        first, behind = spans[timing]
        for index in range(first, behind):
            open_ = reached.get(index)
            if open_ is None:
                # Many payments on one day meet the same instalments, already paid, again and again.
                if not receivables[index].owed():
                    continue
                open_ = reached[index] = _components(receivables[index])
            for component in components:
                part = open_[component]
                if part:
                    part = min(left, part)
                    open_[component] -= part
                    got[component] += part
                    left -= part
            if not left:
                break
    counted = _count(receivables, amount if whole else max(0, amount - left + freed))
    after = list(receivables)
    for index in reached.keys() | counted.keys():
        r = receivables[index]
        after[index] = _split(r, reached.get(index) or _components(r), counted.get(index, r.paid_toward))
    return Allocated(tuple(after), Paid(got["principal"], got["interest"], got["fees"], got["penalty"]), left)


def owed_on(receivables: Iterable[Receivable], day: int) -> Paid:
    """Return what is owed on a day: all principal and charges; interest and fees of what is due or was billed."""
    principal = interest = fees = penalty = 0
    for r in receivables:
        principal += r.principal
        penalty += r.penalty
        if r.due <= day or r.billed:
            interest += r.interest
            fees += r.fees
    return Paid(principal, interest, fees, penalty)


def half_up(numerator: int, denominator: int) -> int:
    """Return a non-negative quotient rounded half up, exactly."""
    return (2 * numerator + denominator) // (2 * denominator)


def room_for_charges(rules: Charges, original_principal: int, charged: int) -> int:
    """Return how much may still be charged under the cap (bps of the original principal)."""
    return max(0, original_principal * rules.cap_bps // 10_000 - charged)


def penalty_rate(rules: Charges, annual_rate_bps: int) -> int:
    """Return the penalty rate in ten-thousandths of a basis point: a mark-up on the contract rate, or one of its own.

    银发〔2003〕251号 sets it as the contract rate plus 30 to 50 % of it.
    """
    if rules.penalty_markup_bps:
        return annual_rate_bps * (10_000 + rules.penalty_markup_bps)
    return rules.penalty_rate_bps * 10_000


def penalty_base(r: Receivable, *, on_interest: bool) -> int:
    """Return the amount on which an overdue instalment earns penalty interest, never more than is unpaid of it."""
    return min(r.principal + (r.interest if on_interest else 0), r.unpaid())


def late_fee(rules: Charges, unpaid: int) -> int:
    """Return the late fee on an instalment with `unpaid` open, before the overall cap."""
    fee = rules.late_fee_flat + half_up(unpaid * rules.late_fee_bps, 10_000)
    return min(fee, rules.late_fee_cap) if rules.late_fee_cap else fee
