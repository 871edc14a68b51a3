"""The page of a borrower: accounts, plans, offers and the timeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from console.account_page import iso
from console.offers import offers_of
from console.timelines import Cursor, Named, timeline
from state.account import AccountState
from state.borrower import BorrowerState
from state.policy import PolicyBook


def borrower_page(
    s: BorrowerState,
    history: Iterable[Named],
    accounts: Sequence[dict[str, Any]],
    day: date | None,
    before: Cursor | None = None,
) -> dict[str, Any]:
    """Return the page of a borrower. Of their means it has only whether they are known, no figures.

    accounts: `account_summary` of each account in arrears or under a plan. day: the last closed day. before: return an
    older page of the timeline only.
    """
    history = list(history)
    currency = s.base_currency[2]
    happened = timeline(history, currency, before)
    if before is not None:
        return {"borrower": s.borrower_id, "timeline": happened}
    events = [e for _, e in history]
    offer = s.open_offer()
    return {
        "borrower": s.borrower_id,
        "through": None if day is None else day.isoformat(),
        "accounts": list(accounts),
        "plans": [
            {"account": a, "plan": p.plan_id, "until": iso(p.until)} for a, p in sorted(s.plans.items()) if not p.ended
        ],
        "means_known": any(r.field == "monthly_income" for r in s.readings),
        "consents": len([c for c in s.consents if c.granted > c.withdrawn]),
        "distressed": s.distressed,
        "open_offer": None if offer is None else offer.offer_id,
        "paused_until": iso(s.paused_until),
        "disputed": [{"since": iso(d.since), "accounts": list(d.accounts)} for d in s.disputes],
        "answers_for": [
            {"account": a, "role": c.role, "not_contacted": c.reason} for a, c in sorted(s.parties.items()) if c.role
        ],
        "offers": offers_of(s, events),
        "timeline": happened,
    }


def active_accounts(s: BorrowerState) -> list[str]:
    """Return the borrower's accounts that are in arrears or under a plan."""
    return sorted({*s.cases, *(account for account, plan in s.plans.items() if not plan.ended)})


def consent_purposes(policies: PolicyBook, accounts: Iterable[AccountState]) -> tuple[str, ...]:
    """Return the purposes of consent for which the planner uses a borrower's means, which may then be shown.

    policies: in force on the open day. accounts: the borrower's active ones; without any, the default policy counts.
    """
    in_force = [policies.policy_for(a.jurisdiction, a.product, a.currency) for a in accounts]
    purposes = (policy.affordability.purposes for policy in in_force or [policies.policy_for("", "")])
    return tuple(dict.fromkeys(purpose for some in purposes for purpose in some))
