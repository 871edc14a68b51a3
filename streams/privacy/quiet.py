"""What may be told of an error that nobody expected."""

from __future__ import annotations

from schemas import events as ev
from schemas.topics import PERSONAL_TOPICS, TOPIC_OF


def told(error: Exception, event: ev.Event) -> str:
    """Return an error in words; one that came of personal data by its kind alone, since its words may quote them."""
    if TOPIC_OF[type(event)].name in PERSONAL_TOPICS:
        return f"{type(error).__name__} (its words are left out, since they may be personal)"
    return f"{type(error).__name__}: {error}"
