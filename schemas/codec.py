"""Events to the bytes and headers of a Kafka record and back, in either framing.

Confluent: `0x00`, the registry's schema id in 4 bytes big-endian, Avro. Written where a
registry is configured. Single-object: `0xC3 0x01`, the CRC-64-AVRO fingerprint of the schema's
canonical form in 8 bytes little-endian, Avro. Both are read, by their first byte.

Headers are those of CloudEvents 1.0, in the binary mode of its Kafka binding.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import quote

from schemas import contracts
from schemas.binary_encoding import REFUSALS, Writer, compile_writer
from schemas.errors import InvalidEventError
from schemas.events import EVENT_TYPES, Event
from schemas.resolution import SchemaReader, known_schemas, reading_of, unreadable
from schemas.validation import unexpected_type

SINGLE_OBJECT = b"\xc3\x01"
CONFLUENT = b"\x00"
CONTENT_TYPE = b"application/avro"
JSON = (
    "The value is JSON, and topics hold Avro. Put the event on a line of a file and send it with `reprieve publish`, "
    "which writes Avro, or let the producer write Avro."
)
_SINGLE_OBJECT_SIZE = 10
_CONFLUENT_SIZE = 5


class Registry(Protocol):
    """A Confluent-compatible schema registry. Both calls may raise `RetryableError` while it is away."""

    def schema(self, schema_id: int) -> str:
        """Return the schema, as JSON text, of an id.

        Raises InvalidEventError (`unknown_schema`) where there is none.
        """
        ...

    def id_of(self, subject: str, schema: str) -> int:
        """Return the id of a schema under a subject, having registered it where it was not."""
        ...


class Codec:
    """Encodes and decodes events; compiles what it needs for a schema on first use."""

    def __init__(self, registry: Registry | None = None) -> None:
        """Make a codec that writes Confluent framing with a registry, single-object framing without."""
        self._registry = registry
        self._readings: dict[bytes, SchemaReader] = {}
        # By Confluent frame, that of single objects of the very same schema.
        self._known_frames: dict[bytes, bytes] = {}
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
        Raises InvalidEventError, whatever the bytes: `unreadable`, `unknown_schema`, `unexpected_type`,
        `out_of_range`, `missing_field`, `unknown_value`, `wrong_type`; with the field where one is at fault.
        Raises what the registry raises while it is away.
        """
        size = _SINGLE_OBJECT_SIZE if data and data[0] == 0xC3 else _CONFLUENT_SIZE
        reading = self._readings.get(data[:size]) if data else None
        if reading is None:
            reading = self._first_reading(data)
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

    def self_contained(self, data: bytes) -> bytes | None:
        """Return bytes that were decoded in single-object framing, None where no release has their schema."""
        if data[0] == SINGLE_OBJECT[0]:
            return data
        known = self._known_frames.get(data[:_CONFLUENT_SIZE])
        return None if known is None else known + data[_CONFLUENT_SIZE:]

    def needs_schema(self, data: bytes) -> bool:
        """Say whether `decode` would have to ask the registry for the schema of these bytes."""
        return data[:1] == CONFLUENT and self._registry is not None and data[:_CONFLUENT_SIZE] not in self._readings

    def fetch_schema(self, data: bytes) -> None:
        """Fetch the schema of bytes for which `needs_schema`; where the registry has none, `decode` will raise.

        Raises what the registry raises while it is away.
        """
        with suppress(InvalidEventError):
            self._first_reading(data)

    def _first_reading(self, data: bytes) -> SchemaReader:
        """Return the reading for a frame on first use."""
        schema: Any
        if data[:2] == SINGLE_OBJECT and len(data) >= _SINGLE_OBJECT_SIZE:
            frame = data[:_SINGLE_OBJECT_SIZE]
            schema = known_schemas().get(frame[2:])
            if schema is None:
                raise InvalidEventError(
                    "unknown_schema",
                    f"No release has a schema with the fingerprint {frame[2:].hex()}. "
                    "Update Reprieve to the producer's release, or let the producer use a registry.",
                )
        elif data[:1] == CONFLUENT and len(data) >= _CONFLUENT_SIZE:
            frame = data[:_CONFLUENT_SIZE]
            schema = self._registered(int.from_bytes(frame[1:], "big"))
        else:
            if data[:64].lstrip()[:1] in (b"{", b"["):
                raise InvalidEventError("unreadable", JSON)
            # Not more of it: what nobody can read may be personal.
            begins = data[:1].hex() or "nothing"
            raise unreadable("", f"The value begins with {begins}, neither 00 (Confluent) nor c3 01 (single object)")
        try:
            reading = self._readings[frame] = reading_of(*contracts.parsed(schema))
            if frame[:1] == CONFLUENT:
                # The fingerprint leaves out logical types, so the schema itself is compared.
                fingerprint = contracts.fingerprint(schema)
                if known_schemas().get(fingerprint) == schema:
                    self._known_frames[frame] = SINGLE_OBJECT + fingerprint
        except ValueError as error:
            raise InvalidEventError(
                "unknown_schema", f"The schema of the value cannot be used: {error}. Write it with another."
            ) from error
        return reading

    def _registered(self, schema_id: int) -> Any:
        if self._registry is None:
            raise InvalidEventError(
                "unknown_schema",
                f"The value names the registry's schema {schema_id}, and no registry is configured. Set registry.url "
                "to the producer's, then replay the dead letter.",
            )
        text = self._registry.schema(schema_id)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidEventError(
                "unknown_schema", f"The registry's schema {schema_id} is not JSON: {error}. Register it anew."
            ) from error

    def _writer(self, event: type[Event], topic: str | None) -> tuple[bytes, Writer]:
        schema = contracts.schema_of(event.__name__)
        if self._registry is None:
            frame = SINGLE_OBJECT + contracts.fingerprint(schema)
        else:
            frame = CONFLUENT + self._registry.id_of(subject_of(event, topic), json.dumps(schema)).to_bytes(4, "big")
        return frame, compile_writer(*contracts.parsed(schema), EVENT_TYPES[event.__name__])


def subject_of(event: type[Event], topic: str | None) -> str:
    """Return the registry's subject of an event on a topic, or wherever it stands."""
    full = f"{contracts.NAMESPACE}.{event.__name__}"
    return full if topic is None else f"{topic}-{full}"


def headers_for(event: Event, traceparent: bytes | str | None = None) -> list[tuple[str, bytes]]:
    """Return the headers of an event that is published, one a key.

    traceparent: the W3C trace context of what caused it, carried through as it came.
    """
    # ce_source is a URI reference, so what such a reference cannot hold is percent-encoded.
    at = event.occurred_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.event_id.encode()),
        ("ce_type", f"reprieve.{type(event).__name__}".encode()),
        ("ce_source", quote(event.source, safe="/:?#@!$&'()*+,;=~").encode()),
        ("ce_time", at.encode()),
        ("content-type", CONTENT_TYPE),
    ]
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode() if isinstance(traceparent, str) else traceparent))
    return headers
