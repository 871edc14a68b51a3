"""What is shown of an account or a borrower in Redis: a flat view of its state, and its places in the indexes.

A view follows from one state alone, so the last state of a key makes the same view however often and from wherever it
is written. Nothing of a borrower's means or words is in it.
"""

from __future__ import annotations

from msgspec import Struct, json

from state.account import AccountState
from state.borrower import BorrowerState

BAD = frozenset({"candidate", "recognised", "charged_off", "recovering"})
# Indexes are sorted sets. bad_debts: what is owed of each bad debt, by currency. new_bad_debts: the day on which it
# became so. in_arrears: the first day of the present arrears. expiring: the last day of each open offer with options.
# people: since when each borrower without a plan waits for a person. Days are proleptic ordinals.


class View(Struct, frozen=True):
    """A view. fields: of its hash. scores: by index, where it stands in it; it is in no other."""

    fields: dict[str, str]
    scores: dict[str, int]


def account_view(s: AccountState) -> View:
    """Return the view of an account."""
    owed = s.owed()
    outstanding = owed.total()
    scores = {}
    if s.bad_debt in BAD:
        scores[f"bad_debts:{s.currency}"] = outstanding
        scores["new_bad_debts"] = s.bad_debt_on
    if s.overdue_since:
        scores["in_arrears"] = s.overdue_since
    plan = s.plan
    fields = {
        "borrower": s.borrower_id,
        "product": s.product,
        "jurisdiction": s.jurisdiction,
        "currency": s.currency,
        "through": str(s.through),
        "bucket": s.bucket,
        "days_past_due": str(s.days_past_due),
        "overdue_since": str(s.overdue_since),
        "missed": str(s.missed),
        "overdue": str(s.overdue),
        "principal": str(owed.principal),
        "interest": str(owed.interest),
        "fees": str(owed.fees),
        "penalty": str(owed.penalty),
        "bad_debt": s.bad_debt,
        "bad_debt_on": str(s.bad_debt_on),
        "stage": str(s.stage),
        "allowance": str(s.allowance),
        "standing": s.standing,
        "collection_stopped": str(int(s.collection_stopped)),
        "plan": "" if plan is None else plan.plan_id,
        "plan_kept": "" if plan is None else str(plan.kept),
        "plan_missed": "" if plan is None else str(plan.missed),
    }
    return View(fields, scores)


def borrower_view(s: BorrowerState) -> View:
    """Return the view of a borrower."""
    offer = s.open_offer()
    scores = {}
    if offer is not None:
        if offer.choices:
            scores["expiring"] = offer.expires
        else:
            scores["people"] = offer.published
    shown = None
    if offer is not None:
        shown = {
            "offer": offer.offer_id,
            "kind": offer.kind,
            "tone": offer.tone,
            "currency": offer.currency,
            "accounts": offer.account_ids,
            "published": offer.published,
            "expires": offer.expires,
            "lead": offer.lead,
            "options": [
                {"option": c.option_id, "months": c.term_months, "amount": c.instalment} for c in offer.choices
            ],
        }
    fields = {
        "accounts": json.encode(sorted(s.cases)).decode(),
        "plans": json.encode({a: p.plan_id for a, p in sorted(s.plans.items()) if not p.ended}).decode(),
        "open_offer": "" if shown is None else json.encode(shown).decode(),
        "offers": str(s.sequence),
        "paused_until": str(s.paused_until),
    }
    return View(fields, scores)
