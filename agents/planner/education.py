"""Education items: a small catalogue, and which of it goes with an offer."""

from __future__ import annotations

from collections.abc import Collection, Iterable

# What may be read. Titles are messages of the policy; the lessons themselves belong to the notification service.
ITEMS = (
    "how_plans_work",
    "how_we_calculate",
    "is_it_genuine",
    "interest_and_fees",
    "budget_basics",
    "income_shock",
    "your_rights",
    "looking_after_yourself",
    "credit_record",
)

# Why an item is of use, in the order in which reasons are served.
FOR_REASON: dict[str, tuple[str, ...]] = {
    "distress": ("looking_after_yourself", "your_rights"),
    "vulnerability": ("looking_after_yourself", "your_rights"),
    "dispute": ("your_rights",),
    "distrust": ("is_it_genuine", "how_we_calculate", "your_rights"),
    "income_unknown": ("budget_basics", "how_we_calculate"),
    "expenses_unknown": ("budget_basics", "how_we_calculate"),
    "income_assumed": ("budget_basics", "how_we_calculate"),
    "income_change": ("income_shock",),
    "rate": ("interest_and_fees",),
    "too_high": ("budget_basics",),
    "too_long": ("interest_and_fees",),
    "no_surplus": ("income_shock", "budget_basics"),
    "below_minimum_instalment": ("budget_basics",),
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
