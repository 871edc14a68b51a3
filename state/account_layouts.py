"""Older layouts of an account's stored state, each brought to the next."""

from __future__ import annotations

from typing import Any


def with_both_views(value: Any) -> Any:
    """Return layout 1 as layout 2: what the ledger had left unpaid of an instalment was unpaid of what it asked for."""
    old = dict(zip(_LAYOUT_1, value, strict=True))

    def both(receivables: list[list[Any]]) -> list[list[Any]]:
        return [[*r, max(0, r[6] - r[2] - r[3] - r[4]), r[3], r[4]] for r in receivables]

    old["receivables"] = both(old["receivables"])
    # Penalty interest is kept in ten-thousandths of what it was, since a mark-up on a rate is no whole basis point.
    old["accrued"] *= 10_000
    old["reversals"] = [[f"payment:{name}"] for name in old["reversals"]]
    if old["plan"] is not None:
        *plan, charged = old["plan"]
        plan[3] = both(plan[3])
        if charged and plan[3]:
            plan[3][0][5] += charged
        old["plan"] = [*plan, sum(plan[5])]
    highest = max((r[0] for r in old["receivables"]), default=0)
    old |= {
        "numbers": [[1, highest]] if highest else [],
        "scheduled": any(not r[9] for r in old["receivables"]),
        "position_on": 0,
        "reported_from": 0,
        "forborne_on": old["plan"][2] if old["plan"] is not None else 0,
        "class_since": {},
        "failed_payments": 0,
        "revision": 0,
        "ended": "closed" if old["closed"] else "",
        "stage_by_days": old["stage"],
    }
    return list(old.values())


_LAYOUT_1 = [
    "account_id",
    "borrower_id",
    "product",
    "jurisdiction",
    "currency",
    "annual_rate_bps",
    "original_principal",
    "opened",
    "through",
    "due",
    "pending",
    "receivables",
    "received",
    "credit",
    "paid",
    "waived",
    "accrued",
    "penalty_posted",
    "charged",
    "billed",
    "accrued_to",
    "last_payment",
    "days_past_due",
    "counter_days",
    "missed",
    "overdue",
    "bucket",
    "overdue_since",
    "clean_since",
    "material_since",
    "classes",
    "stage",
    "allowance",
    "bad_debt",
    "bad_debt_on",
    "rejected",
    "attempts",
    "evidence",
    "promises",
    "plan",
    "plans_broken",
    "had_plan",
    "holds",
    "releases",
    "reversals",
    "collection_stopped",
    "standing",
    "closed",
    "early",
    "requested",
    "distressed",
]
