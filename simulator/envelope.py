"""The envelope of a simulated event: who says it, and when on the day it arrives."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TypedDict

SOURCE = "simulator"


class Envelope(TypedDict):
    """The fields that all events have."""

    event_id: str
    occurred_at: datetime
    source: str


def envelope(event_id: str, day: date, hour: int, source: str = SOURCE) -> Envelope:
    """Return the envelope of an event on a business date; hour 0 to 23, UTC."""
    return {"event_id": event_id, "occurred_at": at(day, hour), "source": source}


@lru_cache(maxsize=256)
def at(day: date, hour: int) -> datetime:
    """Return an instant on a business date; hour 0 to 23, UTC."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
