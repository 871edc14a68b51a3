"""Events to bytes and back, in either framing.

Confluent: `0x00`, the registry's schema id in 4 bytes big-endian, Avro. Written where a
registry is configured. Single-object: `0xC3 0x01`, the CRC-64-AVRO fingerprint of the schema's
canonical form in 8 bytes little-endian, Avro. Both are read, by their first byte.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

from schemas import contracts
from schemas.errors import BadInput
from schemas.events import EVENT_TYPES, Event
from schemas.plain import unreadable
from schemas.readers import REFUSALS
from schemas.reading import Reading, known_schemas, reading_of
from schemas.registry import Registry
from schemas.validation import unexpected_type
from schemas.writers import Writer, compile_writer

SINGLE_OBJECT = b"\xc3\x01"
CONFLUENT = b"\x00"
_SINGLE_OBJECT_SIZE = 10
_CONFLUENT_SIZE = 5


class Codec:
    """Encodes and decodes events; compiles what it needs for a schema when it first meets it."""

    def __init__(self, registry: Registry | None = None) -> None:
        """Make a codec that writes Confluent framing with a registry, single-object framing without."""
        self._registry = registry
        self._readings: dict[bytes, Reading] = {}
        self._writers: dict[tuple[type[Event], str | None], tuple[bytes, Writer]] = {}

    def encode(self, event: Event, topic: str | None = None) -> bytes:
        """Return an event's bytes.

        topic: names the registry's subject `<topic>-reprieve.<Record>` (TopicRecordNameStrategy); without
        it the subject is `reprieve.<Record>` (RecordNameStrategy). It does nothing without a registry.
        The event is trusted to keep its contract; `validation.check` makes sure.
        """
        known = self._writers.get((type(event), topic))
        if known is None:
            known = self._writers[type(event), topic] = self._writer(type(event), topic)
        return known[0] + known[1](event)

    def decode(self, data: bytes, allowed: Collection[type[Event]] | None = None) -> Event:
        """Return the event that bytes hold.

        allowed: the closed set of a topic.
        Raises BadInput, whatever the bytes: `unreadable`, `unknown_schema`, `unexpected_type`,
        `out_of_range`, `missing_field`, `unknown_value`, `wrong_type`; with the field where one is at fault.
        Raises what the registry raises while it is away.
        """
        size = _SINGLE_OBJECT_SIZE if data and data[0] == 0xC3 else _CONFLUENT_SIZE
        reading = self._readings.get(data[:size]) if data else None
        if reading is None:
            reading = self._meet(data)
        if allowed is not None and reading.event not in allowed:
            raise unexpected_type(reading.event.__name__, allowed)
        try:
            event, end = reading.fast(data, size)
            if end == len(data):
                return event
        except REFUSALS:
            pass
        return reading.read_rest(data, size)

    def prepare(self, events: Iterable[tuple[type[Event], str | None]]) -> None:
        """Find the ids of what will be written, by event and topic, so that `encode` asks the registry for none.

        Raises what the registry raises while it is away, and where it has not got a schema.
        """
        for event, topic in events:
            self._writers[event, topic] = self._writer(event, topic)

    def is_strange(self, data: bytes) -> bool:
        """Say whether `decode` would have to ask the registry for the schema of these bytes."""
        return data[:1] == CONFLUENT and self._registry is not None and data[:_CONFLUENT_SIZE] not in self._readings

    def meet(self, data: bytes) -> None:
        """Ask the registry for the schema of bytes that are strange; where it has none, `decode` will say so.

        Raises what the registry raises while it is away.
        """
        with suppress(BadInput):
            self._meet(data)

    def _meet(self, data: bytes) -> Reading:
        """Return the reading for a frame that is met for the first time."""
        schema: Any
        if data[:2] == SINGLE_OBJECT and len(data) >= _SINGLE_OBJECT_SIZE:
            frame = data[:_SINGLE_OBJECT_SIZE]
            schema = known_schemas().get(frame[2:])
            if schema is None:
                raise BadInput(
                    "unknown_schema",
                    f"No release has a schema with the fingerprint {frame[2:].hex()}. "
                    "Update Reprieve to the producer's release, or let the producer use a registry.",
                )
        elif data[:1] == CONFLUENT and len(data) >= _CONFLUENT_SIZE:
            frame = data[:_CONFLUENT_SIZE]
            schema = self._registered(int.from_bytes(frame[1:], "big"))
        else:
            # Not more of it: what nobody can read may be personal.
            begins = data[:1].hex() or "nothing"
            raise unreadable("", f"The value begins with {begins}, neither 00 (Confluent) nor c3 01 (single object)")
        try:
            reading = self._readings[frame] = reading_of(*contracts.parsed(schema))
        except ValueError as error:
            raise BadInput("unknown_schema", f"The schema of the value cannot be used: {error}. Correct it.") from error
        return reading

    def _registered(self, schema_id: int) -> Any:
        if self._registry is None:
            raise BadInput(
                "unknown_schema",
                f"The value names the registry's schema {schema_id}, and no registry is configured. Configure it.",
            )
        text = self._registry.schema(schema_id)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInput(
                "unknown_schema", f"The registry's schema {schema_id} is not JSON: {error}. Register it anew."
            ) from error

    def _writer(self, event: type[Event], topic: str | None) -> tuple[bytes, Writer]:
        schema = contracts.schema_of(event.__name__)
        if self._registry is None:
            frame = SINGLE_OBJECT + contracts.fingerprint(schema)
        else:
            full = f"{contracts.NAMESPACE}.{event.__name__}"
            subject = full if topic is None else f"{topic}-{full}"
            frame = CONFLUENT + self._registry.id_of(subject, json.dumps(schema)).to_bytes(4, "big")
        return frame, compile_writer(*contracts.parsed(schema), EVENT_TYPES[event.__name__])
