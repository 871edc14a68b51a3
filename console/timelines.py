"""Timelines: the events of an account or a borrower in words, in pages with the latest first."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

from msgspec import DecodeError, json

from agents.amounts import priced
from console.words import Translated, describe, singular, translated
from schemas import events as ev
from schemas.topics import TOPIC_OF

_DAYS = ("business_date", "value_on", "opened_on", "activated_on", "from_on")

# Events and transitions a page.
TIMELINE, TRANSITIONS = 400, 100

Named = tuple[str, ev.Event]


def timeline_order(event: ev.Event) -> tuple[date, bool, str]:
    """Return the day of which an event speaks, what came in before what was said of that day."""
    for field in _DAYS:
        day = getattr(event, field, None)
        if isinstance(day, date):
            return day, field == "business_date", event.event_id
    return event.occurred_at.date(), False, event.event_id


class Cursor(NamedTuple):
    """A position in a timeline: an event's day, whether an agent emitted it, its id, and the name of its fact.

    Events that arrive later, at any position, do not move it.
    """

    day: date
    emitted: bool
    event_id: str
    name: str


def parse_cursor(text: str) -> Cursor:
    """Return the cursor of a page's `older`. Raises ValueError where it is none."""
    try:
        return json.decode(urlsafe_b64decode(text.encode("ascii")), type=Cursor)
    except (ValueError, DecodeError) as error:
        raise ValueError("`before` is `older` of another answer.") from error


def _older(named: Named) -> str:
    return urlsafe_b64encode(json.encode(_cursor(named))).decode()


def _cursor(named: Named) -> Cursor:
    return Cursor(*timeline_order(named[1]), named[0])


def _page(events: Iterable[Named], before: Cursor | None, limit: int) -> tuple[list[Named], str | None]:
    """Return the latest events before a cursor, and the cursor of older ones, None where there are none.

    Only these are described, so a long timeline opens as fast as a short one.
    """
    ordered = sorted((e for e in events if before is None or _cursor(e) < before), key=_cursor, reverse=True)
    return ordered[:limit], _older(ordered[limit - 1]) if len(ordered) > limit else None


def timeline(events: Sequence[Named], currency: str, before: Cursor | None) -> dict[str, Any]:
    """Return the count of events, a page of them in words, the latest first, and the cursor of older ones."""
    page, older = _page(events, before, TIMELINE)
    return {
        "count": len(events),
        "events": [
            {
                "day": timeline_order(e)[0].isoformat(),
                "type": type(e).__name__,
                "in": TOPIC_OF[type(e)].inbound,
                "words": describe(e, currency),
            }
            for _, e in page
        ],
        "older": older,
    }


_STEPS = ev.DelinquencyChanged | ev.ClassificationChanged | ev.BadDebtChanged | ev.CreditStandingChanged


def transitions(events: Iterable[Named], before: Cursor | None) -> dict[str, Any]:
    """Return a page of the changes of state with their reasons, the latest first, and the cursor of older ones."""
    steps = [(name, e) for name, e in events if isinstance(e, _STEPS)]
    page, older = _page(steps, before, TRANSITIONS)
    return {
        "transitions": [_transition(e) for _, e in page if isinstance(e, _STEPS)],
        "transitions_count": len(steps),
        "transitions_older": older,
    }


def _transition(
    e: ev.DelinquencyChanged | ev.ClassificationChanged | ev.BadDebtChanged | ev.CreditStandingChanged,
) -> dict[str, Any]:
    return {
        "day": e.business_date.isoformat(),
        "kind": type(e).__name__,
        "from": translated(e.from_),
        "to": translated(e.to),
        "why": _describe_lateness(e) if isinstance(e, ev.DelinquencyChanged) else translated(e.reasons),
        "policy": getattr(e, "policy", None),
    }


def _describe_lateness(e: ev.DelinquencyChanged) -> Translated:
    overdue = priced(e.overdue_amount, e.currency)
    return {
        "zh": f"逾期{e.days_past_due}天，{e.missed}期未还，逾期金额{overdue}",
        "en": singular(f"{e.days_past_due} days past due, {e.missed} missed, {overdue} overdue"),
    }
