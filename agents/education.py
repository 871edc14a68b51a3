"""Education items: a small catalogue, and which of it goes with an offer."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from agents.option_words import Locale

# Titles by item and language. The texts themselves belong to the notification service.
CATALOGUE: dict[str, dict[Locale, str]] = {
    "how_plans_work": {"zh": "还款方案如何运作", "en": "How a repayment plan works"},
    "how_we_calculate": {"zh": "我们如何计算您能承受的金额", "en": "How we work out what you can afford"},
    "is_it_genuine": {"zh": "如何核实这是银行的正式方案", "en": "How to check that an offer is genuine"},
    "interest_and_fees": {"zh": "利息与费用如何产生", "en": "How interest and fees come about"},
    "budget_basics": {"zh": "制定家庭预算", "en": "Making a household budget"},
    "income_shock": {"zh": "收入减少时怎么办", "en": "What to do when your income falls"},
    "your_rights": {"zh": "您的权利", "en": "Your rights"},
    "looking_after_yourself": {"zh": "债务压力下如何照顾自己", "en": "Looking after yourself under the stress of debt"},
    "credit_record": {"zh": "如何修复信用记录", "en": "How to repair your credit record"},
}

# Why an item is of use, in the order in which reasons are served.
FOR_REASON: dict[str, tuple[str, ...]] = {
    "distress": ("looking_after_yourself", "your_rights"),
    "vulnerability": ("looking_after_yourself", "your_rights"),
    "dispute": ("your_rights",),
    "distrust": ("is_it_genuine", "how_we_calculate", "your_rights"),
    "income_unknown": ("budget_basics", "how_we_calculate"),
    "income_change": ("income_shock",),
    "rate": ("interest_and_fees",),
    "too_high": ("budget_basics",),
    "too_long": ("interest_and_fees",),
    "no_surplus": ("income_shock", "budget_basics"),
    "nothing_affordable": ("budget_basics", "income_shock"),
}
MOST = 3


def items_for(reasons: Iterable[str], kind: str, completed: Collection[str]) -> tuple[str, ...]:
    """Return the ids of at most three items, by reason first, none that the borrower has completed."""
    wanted: list[str] = []
    for reason in reasons:
        wanted += FOR_REASON.get(reason, ())
    if kind == "plan":
        wanted += ("how_plans_work", "credit_record")
    return tuple([item for item in dict.fromkeys(wanted) if item not in completed][:MOST])


def titles(items: Iterable[str], locale: Locale) -> tuple[str, ...]:
    """Return the titles of items of the catalogue."""
    return tuple(CATALOGUE[item][locale] for item in items)
