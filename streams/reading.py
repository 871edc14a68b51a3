"""A record's bytes as an event that fits its topic."""

from __future__ import annotations

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import BadInput
from schemas.topics import TOPICS, key_of


def read_event(topic: str, key: bytes | None, value: bytes | None, codec: Codec) -> ev.Event:
    """Return the event of a record; the topic is a known one, without its prefix. Raises BadInput where it is unfit."""
    known = TOPICS[topic]
    if value is None:
        raise BadInput("unreadable", f"The record on {topic} has no value. Events are never deleted by tombstones.")
    event = codec.decode(value, known.records)
    wanted = key_of(event)
    if wanted is not None and key != wanted.encode():
        raise BadInput(
            "wrong_key",
            f"The record has another key than {wanted}: {type(event).__name__} on {topic} is keyed by its {known.key}. "
            "Send it with that key.",
            known.key,
        )
    return event
