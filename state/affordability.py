"""What a borrower can really pay a month, from the merged profile."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from state.policy import Affordability, Floor
from state.profile import Field, Profile

UNREPORTED: tuple[Field, ...] = ("household_size", "other_debt_payments")


class RepaymentCapacity(Struct, frozen=True):
    """What a borrower can pay a month, in minor units.

    disposable_income: what is left of the income, may be negative. max_instalment: the most that all instalments of a
    month may sum to (alpha × disposable income, never negative). max_term_months: the borrower's own bound, after
    `too_long`.
    known: False where `missing` is not empty. missing: fields of the profile without which nothing can be said.
    assumed: what nobody reported, and something else stood for; `household_floor` where the policy has none.
    """

    disposable_income: int
    max_instalment: int
    currency: str
    max_term_months: int | None = None
    credit_score: int | None = None
    known: bool = True
    missing: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def floor_of(floors: Iterable[Floor], currency: str, region: str, household: int) -> int | None:
    """Return the least that a household needs a month; None where the policy has no floor for it.

    A floor of the borrower's region goes before that of any region (`*`). household: heads, at least 1.
    """
    matching = [f for f in floors if f.currency == currency and f.region in (region, "*")]
    if not matching:
        return None
    chosen = min(matching, key=lambda f: f.region != region)
    return chosen.single + chosen.each * (max(household, 1) - 1)


def alpha_of(rules: Affordability, too_high: int) -> int:
    """Return the share of disposable income, in basis points, that an instalment may take after so many `too_high`."""
    least = min(rules.alpha_least_bps, rules.alpha_bps)
    return max(least, rules.alpha_bps - too_high * rules.alpha_step_bps)


def shorter_term(terms: Iterable[int], refused: int) -> int:
    """Return the longest of the terms that is shorter than a refused one, or else the shortest of all."""
    ordered = sorted(terms)
    shorter = [t for t in ordered if t < refused]
    return shorter[-1] if shorter else ordered[0]


def assess_affordability(
    profile: Profile,
    rules: Affordability,
    currency: str,
    *,
    too_high: int = 0,
    max_term_months: int | None = None,
    committed: int = 0,
    contract_instalments: int = 0,
) -> RepaymentCapacity:
    """Return what a borrower can pay, for all troubled accounts together.

    disposable_income = income − max(declared expenses, floor of household and region) − payments on other debts
    − `committed`, what active plans on further accounts ask for a month. Where nobody states expenses, the sum
    of the reported spending stands for them, or else the floor. Without a known income the policy may assume a multiple
    of `contract_instalments`, what the contracts ask for a month; it is 0 where nothing may be assumed.
    too_high: how often the borrower has said so; each tightens alpha by a step, down to the policy's least.

    What is not known is not zero: without an income, or without either expenses or a floor, nothing is `known`. Other
    debts and heads of the household that nobody reported count as none and as one, and are listed in `assumed`.
    """
    missing, assumed = [], []
    income = profile.number("monthly_income")
    if income is None and rules.assumed_income_multiple_bps and contract_instalments:
        income = contract_instalments * rules.assumed_income_multiple_bps // 10_000
        assumed.append("monthly_income")
    if income is None:
        missing.append("monthly_income")
    expenses = profile.number("monthly_expenses")
    if expenses is None:
        expenses = profile.number("spending") or 0
        assumed.append("monthly_expenses")
    floor = floor_of(rules.floors, currency, profile.text("region"), profile.number("household_size") or 1)
    if floor is None and not expenses:
        # Nobody lives on nothing, whatever was declared.
        missing.append("monthly_expenses")
    elif floor is None:
        assumed.append("household_floor")
    assumed += [field for field in UNREPORTED if profile.number(field) is None]
    others = profile.number("other_debt_payments") or 0
    disposable_income = (income or 0) - max(expenses, floor or 0) - others - committed
    return RepaymentCapacity(
        disposable_income=disposable_income,
        max_instalment=max(0, disposable_income) * alpha_of(rules, too_high) // 10_000,
        currency=currency,
        max_term_months=max_term_months,
        credit_score=profile.number("credit_score"),
        known=not missing,
        missing=tuple(missing),
        assumed=tuple(f for f in assumed if f not in missing),
    )
