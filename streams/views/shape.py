"""What is shown of an account or a borrower in Redis: a flat view of its state, and its places in the indexes.

A view follows from one state alone, so the last state of a key makes the same view however often and from wherever it
is written. Nothing of a borrower's means or words is in it.

A close writes only the accounts for which the day matters, while days past due grow every day. So a hash does not have
the measures that grow, but the terms by which they do (`agents.account.view.Aging`); a reader ages them to the last
closed day of the partition. One written day keeps a million accounts up to date.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from msgspec import Struct, json

from agents.account.day import outstanding_on
from agents.account.view import Aging, as_closed
from state.account import AccountState
from state.borrower import BorrowerState

BAD = frozenset({"candidate", "recognised", "charged_off", "recovering"})
# Indexes are sorted sets. bad_debts: the most that is owed of each bad debt until it is visited next, by currency.
# new_bad_debts: the day on which it became so. in_arrears: the first day of the present arrears. expiring: the last day
# of each open offer with options, or to pay at once. people: since when each borrower without a plan waits for a
# person. Days are proleptic ordinals.


class View(Struct, frozen=True):
    """A view. fields: of its hash. scores: by index, where it stands in it; it is in no other."""

    fields: dict[str, str]
    scores: dict[str, int]


def account_view(s: AccountState, aging: Aging, partition: int) -> View:
    """Return the view of an account as it is kept; `account_shown` is how it is shown.

    aging: how its measures go on. partition: of its changelog, whose last closed day it is shown as of.
    """
    s = as_closed(s)
    owed = outstanding_on(s, s.closed_on or s.folded_through)
    scores = {}
    if s.bad_debt in BAD and not s.closed_on:
        # The most that it comes to before it is written next.
        most = aging.on(date.max.toordinal())
        scores[f"bad_debts:{s.currency}"] = owed.principal + owed.penalty + most.interest + most.fees
        scores["new_bad_debts"] = s.bad_debt_on
    if s.overdue_since:
        scores["in_arrears"] = s.overdue_since
    plan = s.plan
    fields = {
        "borrower": s.borrower_id,
        "product": s.product,
        "jurisdiction": s.jurisdiction,
        "currency": s.currency,
        "through": str(s.folded_through),
        "bucket": s.bucket,
        "overdue_since": str(s.overdue_since),
        "missed": str(s.missed),
        "principal": str(owed.principal),
        "penalty": str(owed.penalty),
        "bad_debt": s.bad_debt,
        "bad_debt_on": str(s.bad_debt_on),
        "stage": str(s.ifrs9_stage),
        "allowance": str(s.allowance),
        "standing": s.credit_standing,
        "collection_stopped": str(int(s.collection_stopped)),
        "plan": "" if plan is None else plan.plan_id,
        "plan_kept": "" if plan is None else str(plan.kept),
        "plan_missed": "" if plan is None else str(plan.missed),
        "partition": str(partition),
        "aging": json.encode(aging).decode(),
    }
    return View(fields, scores)


def account_shown(fields: Mapping[str, str], closed: Mapping[str, str]) -> dict[str, str]:
    """Return the view of an account as of the last closed day.

    closed: that day (ordinal) by partition, read before the view: what is visited by a close is written before its day.
    """
    shown = dict(fields)
    kept, partition = shown.pop("aging", None), shown.pop("partition", "")
    if kept is None:
        # An earlier release wrote it. It is as of its last visit until the views are made anew.
        return {**shown, "as_of": shown.get("through", "0")}
    aging = json.decode(kept, type=Aging)
    day = max(aging.since, int(closed.get(partition, 0)))
    return {"as_of": str(day), **shown, **{name: str(value) for name, value in aging.on(day)._asdict().items()}}


def outstanding(shown: Mapping[str, str]) -> int:
    """Return what is owed of an account by its view as it is shown."""
    return sum(int(shown[part]) for part in ("principal", "interest", "fees", "penalty"))


def borrower_view(s: BorrowerState) -> View:
    """Return the view of a borrower."""
    offer = s.open_offer()
    scores = {}
    if offer is not None:
        if offer.choices or offer.kind == "pay_in_full":
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
            "lead": offer.recommended,
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
