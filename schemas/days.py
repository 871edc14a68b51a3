"""The day of which an event speaks, and the order in which a story tells events."""

from __future__ import annotations

from datetime import date

from schemas.events import Event

_DAYS = ("business_date", "value_on", "opened_on", "activated_on", "from_on")


def story_order(event: Event) -> tuple[date, bool, str]:
    """Return the day of which an event speaks, what came in before what was said of that day."""
    for field in _DAYS:
        day = getattr(event, field, None)
        if isinstance(day, date):
            return day, field == "business_date", event.event_id
    return event.occurred_at.date(), False, event.event_id
