"""A record's bytes as an event that fits its topic."""

from __future__ import annotations

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import InvalidEventError
from schemas.topics import TOPICS, key_of


def read_event(topic: str, key: bytes | None, value: bytes | None, codec: Codec) -> ev.Event:
    """Return the event of a record; the topic is a known one, without its prefix.

    Raises InvalidEventError where it is unfit.
    """
    known = TOPICS[topic]
    if value is None:
        raise InvalidEventError(
            "unreadable",
            f"The record on {topic} has no value, and no event is deleted by a tombstone. Send an event that takes "
            "back what was sent, such as PaymentReversed, HoldReleased or ConsentWithdrawn.",
        )
    event = codec.decode(value, known.records)
    wanted = key_of(event)
    if wanted is not None and key != wanted.encode():
        raise InvalidEventError(
            "wrong_key",
            f"The record has another key than {wanted}: {type(event).__name__} on {topic} is keyed by its {known.key}. "
            "Send it with that key.",
            known.key,
        )
    return event
