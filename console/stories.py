"""One account or one borrower as a page tells it: where it stands, how it came there, and what was offered."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

from msgspec import DecodeError, json
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

# Events and steps that are told at once, newest first; those before them are asked for.
TIMELINE, TRANSITIONS = 400, 100

Named = tuple[str, ev.Event]


class Place(NamedTuple):
    """A place in a story: that of the event with this day, whether it was said, its id, and the name of the fact.

    What comes in later, wherever it belongs, does not move it.
    """

    day: date
    said: bool
    event_id: str
    name: str


def place_of(text: str) -> Place:
    """Return the place that a story named as where older events begin. Raises ValueError where it is none."""
    try:
        return json.decode(urlsafe_b64decode(text.encode("ascii")), type=Place)
    except (ValueError, DecodeError) as error:
        raise ValueError("It is no place in a story. Ask with `older` of an answer, or without `before`.") from error


def _older(named: Named) -> str:
    return urlsafe_b64encode(json.encode(_place(named))).decode()


def _place(named: Named) -> Place:
    return Place(*story_order(named[1]), named[0])


def _page(events: Iterable[Named], before: Place | None, most: int) -> tuple[list[Named], str | None]:
    """Return the newest events before a place, and the place of those that are older still, None where there are none.

    Only these are put in words, so a long story opens as fast as a short one.
    """
    told = sorted((e for e in events if before is None or _place(e) < before), key=_place, reverse=True)
    return told[:most], _older(told[most - 1]) if len(told) > most else None


def account_story(
    s: AccountState,
    history: Iterable[tuple[str, ev.Event]],
    offers: list[ev.OfferPublished],
    before: Place | None = None,
) -> dict[str, Any]:
    """Return an account's story; its timeline begins with the newest. offers: those that cover it.

    before: only what happened before that place is told, of the timeline and of the steps, without the rest.
    """
    told = [(name, e) for name, e in history if not (name.startswith(SAID) and isinstance(e, ev.Corrected))]
    happened = {**_transitions(told, before), "timeline": _timeline(told, s.currency, before)}
    if before is not None:
        return {"account": s.account_id, "currency": s.currency, **happened}
    events = [e for _, e in told]
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
        "offers": [offer_shown(o) for o in offers],
        **happened,
    }


_STEPS = ev.DelinquencyChanged | ev.ClassificationChanged | ev.BadDebtChanged | ev.CreditStandingChanged


def _transitions(events: Iterable[Named], before: Place | None) -> dict[str, Any]:
    """Return each step from one state to another and why it was taken, the newest first, and where older ones begin."""
    steps = [(name, e) for name, e in events if isinstance(e, _STEPS)]
    page, older = _page(steps, before, TRANSITIONS)
    return {
        "transitions": [_step(e) for _, e in page if isinstance(e, _STEPS)],
        "transitions_count": len(steps),
        "transitions_older": older,
    }


def _step(
    e: ev.DelinquencyChanged | ev.ClassificationChanged | ev.BadDebtChanged | ev.CreditStandingChanged,
) -> dict[str, Any]:
    return {
        "day": e.business_date.isoformat(),
        "kind": type(e).__name__,
        "from": both(e.from_),
        "to": both(e.to),
        "why": _lateness(e) if isinstance(e, ev.DelinquencyChanged) else both(e.reasons),
        "policy": getattr(e, "policy", None),
    }


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


def borrower_story(
    s: BorrowerState, history: Iterable[tuple[str, ev.Event]], day: date | None, before: Place | None = None
) -> dict[str, Any]:
    """Return a borrower's story. Of his means it says only whether they are known: figures are not for a page.

    before: only what happened before that place is told, without the rest.
    """
    told = list(history)
    currency = s.home[2]
    happened = _timeline(told, currency, before)
    if before is not None:
        return {"borrower": s.borrower_id, "timeline": happened}
    events = [e for _, e in told]
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
        "timeline": happened,
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
    # Without names two events of one id are told apart by their order.
    return _timeline([(f"{n:09d}", e) for n, e in enumerate(events)], currency, None)


def _timeline(events: Sequence[Named], currency: str, before: Place | None) -> dict[str, Any]:
    page, older = _page(events, before, TIMELINE)
    return {
        "count": len(events),
        "events": [
            {
                "day": story_order(e)[0].isoformat(),
                "type": type(e).__name__,
                "in": TOPIC_OF[type(e)].inbound,
                "words": worded(e, currency),
            }
            for _, e in page
        ],
        "older": older,
    }


def _day(ordinal: int) -> str | None:
    return date.fromordinal(ordinal).isoformat() if ordinal else None
