"""The envelope of a simulated event: who says it, and when on the day it arrives."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache

SOURCE = "simulator"


@lru_cache(maxsize=256)
def at(day: date, hour: int) -> datetime:
    """Return an instant on a business date; hour 0 to 23, UTC."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
