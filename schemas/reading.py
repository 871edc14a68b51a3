"""One writer's schema made ready to read one event type: quickly where all is well, plainly where not."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from schemas import contracts, resolution
from schemas.errors import BadInput
from schemas.events import EVENT_TYPES, Event
from schemas.plain import Plain, unreadable
from schemas.readers import REFUSALS, Reader, Unsupported, compile_reader
from schemas.validation import typed, unknown_type


class Reading:
    """Reads what was written with one schema. `event` is the type that it reads."""

    __slots__ = ("_plain", "event", "fast")

    def __init__(self, event: type[Event], plain: Plain, fast: Reader | None) -> None:
        self.event = event
        self._plain = plain
        self.fast: Reader = fast or self._typed

    def read(self, data: bytes, at: int) -> tuple[Event, int]:
        """Return the event at a position and the position after it. Raises BadInput."""
        try:
            event, end = self.fast(data, at)
        except REFUSALS:
            return self._typed(data, at)
        return (event, end) if end <= len(data) else self._typed(data, at)

    def read_rest(self, data: bytes, at: int) -> Event:
        """Return the event that takes all bytes from a position on. Raises BadInput."""
        event, end = self.read(data, at)
        if end != len(data):
            raise unreadable(self.event.__name__, f"{len(data) - end} bytes follow its end")
        return event

    def _typed(self, data: bytes, at: int) -> tuple[Event, int]:
        value, at = self._plain.read(data, at)
        return typed(value, self.event), at


def record_name(schema: Any) -> str | None:
    """Return the name, without namespace, of the event that a schema is about, or None where it is none of ours."""
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return None
    name = str(schema.get("name")).rpartition(".")[2]
    return name if name in EVENT_TYPES else None


def reading_of(writer: Any, names: Mapping[str, Any]) -> Reading:
    """Return the reading of a writer's schema, as `contracts.parsed` gives it. Raises BadInput (`unknown_schema`)."""
    name = record_name(writer)
    if name is None:
        raise unknown_type(writer.get("name") if isinstance(writer, dict) else writer)
    event = EVENT_TYPES[name]
    try:
        writer = resolution.fitted(writer, names, *contracts.parsed(contracts.schema_of(name)))
    except RecursionError as error:
        raise BadInput("unknown_schema", f"The schema of {name} is nested too deeply. Write it flatter.") from error
    try:
        return Reading(event, Plain(writer, names), compile_reader(writer, names, event))
    except (Unsupported, SyntaxError, RecursionError):
        # Python compiles no code that is nested as deeply as a schema may be.
        return Reading(event, Plain(writer, names), None)


@cache
def known_schemas() -> dict[bytes, dict[str, Any]]:
    """Return the schema of every event, of this release and of those before it, by its fingerprint."""
    found: dict[bytes, dict[str, Any]] = {}
    for release in [*map(contracts.load, contracts.releases()), contracts.contracts()]:
        for name in release.keys() & EVENT_TYPES.keys():
            schema = contracts.self_contained(name, release)
            found[contracts.fingerprint(schema)] = schema
    return found
