"""What a borrower can really pay a month, from the merged profile."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from state.policy import Affordability, Floor
from state.profile import Profile


class Capacity(Struct, frozen=True):
    """What a borrower can pay a month, in minor units.

    surplus: what is left of the income, may be negative. limit: the most that all instalments of a month may
    sum to (alpha × surplus, never negative). max_term_months: the borrower's own bound, after `too_long`.
    known: False where neither an income is known nor one may be assumed.
    """

    surplus: int
    limit: int
    currency: str
    max_term_months: int | None = None
    credit_score: int | None = None
    known: bool = True


def floor_of(floors: Iterable[Floor], currency: str, region: str, household: int) -> int:
    """Return the least that a household needs a month; 0 where the policy says nothing for the currency.

    A floor of the borrower's region goes before that of any region (`*`). household: heads, at least 1.
    """
    matching = [f for f in floors if f.currency == currency and f.region in (region, "*")]
    if not matching:
        return 0
    chosen = min(matching, key=lambda f: f.region != region)
    return chosen.single + chosen.each * (max(household, 1) - 1)


def alpha_of(rules: Affordability, too_high: int) -> int:
    """Return the share of the surplus, in basis points, that an instalment may take after so many `too_high`."""
    least = min(rules.alpha_least_bps, rules.alpha_bps)
    return max(least, rules.alpha_bps - too_high * rules.alpha_step_bps)


def shorter_term(terms: Iterable[int], refused: int) -> int:
    """Return the longest of the terms that is shorter than a refused one, or else the shortest of all."""
    ordered = sorted(terms)
    shorter = [t for t in ordered if t < refused]
    return shorter[-1] if shorter else ordered[0]


def capacity_of(
    profile: Profile,
    rules: Affordability,
    currency: str,
    *,
    too_high: int = 0,
    max_term_months: int | None = None,
    committed: int = 0,
    contract_instalments: int = 0,
) -> Capacity:
    """Return what a borrower can pay, for all troubled accounts together.

    surplus = income − max(declared expenses, floor of household and region) − payments on other debts
    − `committed`, what active plans on further accounts ask for a month. Where nobody states expenses, the sum
    of the reported spending stands for them. Without a known income the policy may assume a multiple of
    `contract_instalments`, what the contracts ask for a month; it is 0 where nothing may be assumed.
    too_high: how often the borrower has said so; each tightens alpha by a step, down to the policy's least.
    """
    income = profile.number("monthly_income")
    if income is None and rules.assumed_income_multiple_bps:
        income = contract_instalments * rules.assumed_income_multiple_bps // 10_000
    expenses = profile.number("monthly_expenses")
    if expenses is None:
        expenses = profile.number("spending") or 0
    floor = floor_of(rules.floors, currency, profile.text("region"), profile.number("household_size") or 1)
    others = profile.number("other_debt_payments") or 0
    surplus = (income or 0) - max(expenses, floor) - others - committed
    return Capacity(
        surplus=surplus,
        limit=max(0, surplus) * alpha_of(rules, too_high) // 10_000,
        currency=currency,
        max_term_months=max_term_months,
        credit_score=profile.number("credit_score"),
        known=income is not None,
    )
