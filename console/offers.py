"""A borrower's offers as the pages show them, the latest first, each with how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from agents.planner.answers import plan_id_of
from console.words import describe, describe_window
from schemas import events as ev
from state.borrower import BorrowerState


def offers_of(s: BorrowerState | None, events: Iterable[ev.Event], account: str | None = None) -> list[dict[str, Any]]:
    """Return offers, the latest first, all or those that cover an account.

    s: the borrower, None where there is no state any more. events: the borrower's history.
    """
    known = list(events)
    accepted = {e.offer_id for e in known if isinstance(e, ev.PlanActivated)} | _with_running_plan(s, known)
    unapplied = {e.offer_id: e for e in known if isinstance(e, ev.AnswerNotApplied)}
    offers = [o for o in with_latest_contact_window(known) if account is None or account in o.account_ids]
    offers.sort(key=lambda o: (o.business_date, o.sequence), reverse=True)
    return [
        offer_card(o)
        | {
            "is": _status(o, s, accepted),
            "not_applied": _not_applied(unapplied[o.offer_id]) if o.offer_id in unapplied else None,
        }
        for o in offers
    ]


def _with_running_plan(s: BorrowerState | None, events: Iterable[ev.Event]) -> set[str]:
    """Return the offers whose plans are in the state but, of earlier releases, not in the history."""
    plans = set() if s is None else {p.plan_id for p in s.plans.values()}
    answers = (e for e in events if isinstance(e, ev.OfferAnswered) and e.answer == "accepted" and e.option_id)
    accounts = () if s is None else tuple(s.plans)
    return {e.offer_id for e in answers if any(plan_id_of(e.offer_id, e.option_id or "", a) in plans for a in accounts)}


def _not_applied(e: ev.AnswerNotApplied) -> dict[str, Any]:
    return {"answer": e.answer, "code": e.code, "words": describe(e, "")}


def _status(o: ev.OfferPublished, s: BorrowerState | None, accepted: set[str]) -> str:
    """Return whether an offer is open, or how it ended; of earlier offers only plans are known.

    An acceptance that was too late, or made no plan for another reason, does not count.
    """
    if s is not None and s.offer is not None and s.offer.offer_id == o.offer_id:
        return s.offer.end or "open"
    return "accepted" if o.offer_id in accepted else "ended"


def with_latest_contact_window(events: Iterable[ev.Event]) -> list[ev.OfferPublished]:
    """Return offers, each with the contact window that was published last."""
    offers, revisions = list[ev.OfferPublished](), dict[str, ev.ContactRevised]()
    for e in events:
        if isinstance(e, ev.OfferPublished):
            offers.append(e)
        elif isinstance(e, ev.ContactRevised):
            latest = revisions.setdefault(e.offer_id, e)
            revisions[e.offer_id] = e if latest.number < e.number else latest
    return [replace(o, contact=revisions[o.offer_id].contact) if o.offer_id in revisions else o for o in offers]


def offer_card(o: ev.OfferPublished) -> dict[str, Any]:
    """Return an offer with its options and their schedules."""
    return {
        "offer": o.offer_id,
        "day": o.business_date.isoformat(),
        "expires": o.expires_on.isoformat(),
        "kind": o.kind,
        "tone": o.tone,
        "currency": o.currency,
        "accounts": list(o.account_ids),
        "message": o.message,
        "reasons": list(o.reasons),
        "contact": {
            "not_before": o.contact.not_before.isoformat(),
            "not_after": o.contact.not_after.isoformat(),
            "words": describe_window(o.contact),
            "days": len(o.contact.windows),
            "channels": list(o.contact.channels),
            "held_back": o.contact.held_back,
        },
        "options": [
            {
                "option": c.option_id,
                "recommended": c.option_id == o.recommended_option_id,
                "label": c.label,
                "arrangement": c.arrangement,
                "review": c.review_on and c.review_on.isoformat(),
                "ends": c.ends_on and c.ends_on.isoformat(),
                "months": c.term_months,
                "amount": c.instalment_amount,
                "rate_bps": c.annual_rate_bps,
                "total": c.total_cost,
                "waived": c.waived.interest + c.waived.penalty,
                "reasons": list(c.reasons),
                "schedule": [[i.due_on.isoformat(), i.principal, i.interest] for i in c.instalments],
            }
            for c in o.options
        ],
    }
