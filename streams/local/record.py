"""A record of the log: its bytes, its headers, and the event in it."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import msgpack

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import BadInput
from schemas.topics import PERSONAL_TOPICS, TOPIC_OF, TOPICS, key_of
from streams.letters import dead_letter
from streams.local.store import Row
from streams.privacy.letters import sealed_letter
from streams.privacy.vault import Vault
from streams.privacy.wire import unsealed
from streams.reading import read_event

SOURCE = "reprieve.local"
NO_HEADERS = b"\x90"


@dataclass(slots=True)
class Summary:
    """What a run did: records read, events said, records refused."""

    read: int = 0
    said: int = 0
    refused: int = 0


@dataclass(slots=True)
class Given:
    """A record that came in or was said, with the event in it and its key (empty where its topic has none)."""

    row: Row
    event: ev.Event
    key: str


@dataclass(slots=True)
class Unfit:
    """A record that came in and cannot be taken, with the reason."""

    row: Row
    bad: BadInput


def read_record(row: Row, codec: Codec, vault: Vault | None) -> ev.Event:
    """Return the event of a record that came in. Raises BadInput where it is unfit for its topic."""
    _, topic, _, key, value, *_ = row
    known = TOPICS.get(topic)
    if known is None or not known.inbound:
        names = ", ".join(t.name for t in TOPICS.values() if t.inbound)
        raise BadInput("unknown_topic", f"Nothing reads the topic {topic}. Send to one of {names}.")
    event = read_event(topic, key, value, codec)
    return unsealed(event, None if vault is None else vault.wire) if topic in PERSONAL_TOPICS else event


def letter_of(row: Row, bad: BadInput, identity: str, vault: Vault | None, *, read: bool) -> ev.DeadLetter:
    """Return the dead letter of a record. read: its event was understood, by its topic's rules."""
    _, topic, offset, key, value, headers, timestamp, _ = row
    name, carried = identity or f"{topic}/{offset}", read_headers(headers)
    letter = dead_letter(SOURCE, (topic, 0, offset), key, value, carried, timestamp, bad, name)
    return sealed_letter(letter, vault, read=read)


def row_of(event: ev.Event, codec: Codec) -> Row:
    """Return an event of the agents' own as a record that stands nowhere."""
    key, at = key_of(event), int(event.occurred_at.timestamp() * 1000)
    topic = TOPIC_OF[type(event)].name
    return (0, topic, -1, None if key is None else key.encode(), codec.encode(event), NO_HEADERS, at, 1)


def read_headers(data: bytes) -> list[tuple[str, bytes]]:
    """Return the headers of a stored record."""
    return [] if data == NO_HEADERS else msgpack.decode(data, type=list[tuple[str, bytes]])


def traceparent_of(row: Row) -> bytes | None:
    """Return the trace context that a record carries, None where it has none."""
    return None if row[5] == NO_HEADERS else dict(read_headers(row[5])).get("traceparent")
