"""One account or one borrower as a page tells it: where it stands, how it came there, and what was offered."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from msgspec.structs import replace

from agents.amounts import priced
from agents.corrections import SAID
from console.words import Both, both, worded
from schemas import events as ev
from schemas.days import story_order
from schemas.topics import TOPIC_OF
from state.account import AccountState
from state.borrower import BorrowerState
from streams.agreement import standing

TIMELINE, TRANSITIONS = 400, 100


def account_story(
    s: AccountState, history: Iterable[tuple[str, ev.Event]], offers: list[ev.OfferPublished]
) -> dict[str, Any]:
    """Return an account's story; its timeline begins with the newest. offers: those that cover it."""
    events = [e for name, e in history if not (name.startswith(SAID) and isinstance(e, ev.Corrected))]
    owed = s.owed()
    plans, adjusted = standing(events)
    return {
        "account": s.account_id,
        "borrower": s.borrower_id,
        "product": s.product,
        "jurisdiction": s.jurisdiction,
        "currency": s.currency,
        "annual_rate_bps": s.annual_rate_bps,
        "opened": _day(s.opened),
        "through": _day(s.through),
        "status": {
            "bucket": s.bucket,
            "days_past_due": s.days_past_due,
            "missed": s.missed,
            "overdue": s.overdue,
            "bad_debt": s.bad_debt,
            "attempts": s.attempts,
            "stage": s.stage,
            "allowance": s.allowance,
            "standing": s.standing,
            "collection_stopped": s.collection_stopped,
            "holds": sorted({h.kind for h in s.holds}),
        },
        "owed": {"principal": owed.principal, "interest": owed.interest, "fees": owed.fees, "penalty": owed.penalty},
        "why": _why(events),
        "plans": [
            {
                "plan": p.plan_id,
                "day": p.activated_on.isoformat(),
                "active": s.plan is not None and s.plan.plan_id == p.plan_id,
                "instalments": [[i.due_on.isoformat(), i.amount] for i in adjusted.get(p.plan_id, p).instalments],
            }
            for p in sorted(plans, key=lambda p: p.activated_on)
        ],
        "delinquency": [
            [e.business_date.isoformat(), e.days_past_due]
            for e in sorted(events, key=story_order)
            if isinstance(e, ev.DelinquencyChanged)
        ],
        "transitions": _transitions(events),
        "offers": [offer_shown(o) for o in offers],
        "timeline": timeline(events, s.currency),
    }


def _transitions(events: Iterable[ev.Event]) -> list[dict[str, Any]]:
    """Return each step from one state to another and why it was taken, the newest first."""
    kinds = ev.DelinquencyChanged | ev.ClassificationChanged | ev.BadDebtChanged | ev.CreditStandingChanged
    steps = [e for e in events if isinstance(e, kinds)]
    return [
        {
            "day": e.business_date.isoformat(),
            "kind": type(e).__name__,
            "from": both(e.from_),
            "to": both(e.to),
            "why": _lateness(e) if isinstance(e, ev.DelinquencyChanged) else both(e.reasons),
            "policy": getattr(e, "policy", None),
        }
        for e in sorted(steps, key=story_order, reverse=True)[:TRANSITIONS]
    ]


def _lateness(e: ev.DelinquencyChanged) -> Both:
    overdue = priced(e.overdue_amount, e.currency)
    return {
        "zh": f"逾期{e.days_past_due}天，{e.missed}期未还，逾期金额{overdue}",
        "en": f"{e.days_past_due} days past due, {e.missed} missed, {overdue} overdue",
    }


def _why(events: Iterable[ev.Event]) -> dict[str, Any] | None:
    """Return the last step into bad debt: what it rests on, and the evidence."""
    into = ("candidate", "recognised", "charged_off")
    found = [e for e in events if isinstance(e, ev.BadDebtChanged) and e.to in into]
    if not found:
        return None
    last = max(found, key=story_order)
    return {
        "day": last.business_date.isoformat(),
        "to": last.to,
        "policy": last.policy,
        "words": worded(last, last.currency),
        "evidence": list(last.evidence),
    }


def borrower_story(s: BorrowerState, history: Iterable[tuple[str, ev.Event]], day: date | None) -> dict[str, Any]:
    """Return a borrower's story. Of his means it says only whether they are known: figures are not for a page."""
    events = [e for _, e in history]
    currency = s.home[2]
    offer = s.open_offer()
    return {
        "borrower": s.borrower_id,
        "cases": [
            {"account": account, "day": _day(case.day), "review": case.review, "holds": list(case.debt.holds)}
            for account, case in sorted(s.cases.items())
        ],
        "plans": [
            {"account": a, "plan": p.plan_id, "until": _day(p.until)}
            for a, p in sorted(s.plans.items())
            if day is None or p.runs(day.toordinal())
        ],
        "means_known": any(r.field == "monthly_income" for r in s.readings),
        "consents": len([c for c in s.consents if c.granted > c.withdrawn]),
        "distressed": s.distressed,
        "open_offer": None if offer is None else offer.offer_id,
        "paused_until": _day(s.paused_until),
        "offers": [offer_shown(o) for o in sorted(told_now(events), key=story_order, reverse=True)],
        "timeline": timeline(events, currency),
    }


def told_now(events: Iterable[ev.Event]) -> list[ev.OfferPublished]:
    """Return offers, each with when the borrower may be reached about it by the last word on that."""
    offers, words = list[ev.OfferPublished](), dict[str, ev.ContactRevised]()
    for e in events:
        if isinstance(e, ev.OfferPublished):
            offers.append(e)
        elif isinstance(e, ev.ContactRevised) and (e.offer_id not in words or words[e.offer_id].number < e.number):
            words[e.offer_id] = e
    return [replace(o, contact=words[o.offer_id].contact) if o.offer_id in words else o for o in offers]


def offer_shown(o: ev.OfferPublished) -> dict[str, Any]:
    """Return an offer with its options and their schedules, to be drawn side by side."""
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
            "channels": list(o.contact.channels),
            "held_back": o.contact.held_back,
        },
        "options": [
            {
                "option": c.option_id,
                "lead": c.option_id == o.lead_option_id,
                "label": c.label,
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


def timeline(events: Iterable[ev.Event], currency: str) -> dict[str, Any]:
    """Return the newest events in words, and how many there are."""
    told = sorted(events, key=story_order, reverse=True)
    return {
        "count": len(told),
        "events": [
            {
                "day": story_order(e)[0].isoformat(),
                "type": type(e).__name__,
                "in": TOPIC_OF[type(e)].inbound,
                "words": worded(e, currency),
            }
            for e in told[:TIMELINE]
        ],
    }


def _day(ordinal: int) -> str | None:
    return date.fromordinal(ordinal).isoformat() if ordinal else None
