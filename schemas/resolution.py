"""Reading with one schema what another wrote, and under its present name what an earlier release wrote.

Fields are matched by name or by an alias of the reader's, as Avro says: those that only the writer has are
read over, those that only the reader has take their defaults. What is left to fit is the meaning of a field's
bytes, and the symbols that the reader does not know.

A writer's logical type means what Avro says: other units of an instant are converted, and what means something else
than the field (a time without a zone, a decimal for minor units) is refused where a value has it, with a sentence.
A logical type that Avro does not know is no type, and the bytes are read as what they are.

A writer's schema is made ready to read one event type: quickly where all is well (`schemas.binary_encoding`),
plainly where not. Plain reading walks the schema: it is slow, and able to say which field is at fault. It is what the
compiled readers are measured against, it takes over where they refuse an input in order to name the reason, and it
reads whatever they were not made for.

Values that carry their names (JSON lines, the facts and states in stores) are read under names of earlier releases too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec

from schemas import contracts
from schemas.binary_encoding import REFUSALS, Reader, date_of, instant_of, long
from schemas.errors import InvalidEventError
from schemas.events import EVENT_TYPES, FIELD_ALIASES, RECORD_ALIASES, Event
from schemas.read_plan import MAX_DEPTH, PER_MILLISECOND, REFUSED, UnsupportedSchemaError, plan_of
from schemas.validation import typed, unknown_type

try:
    # Where it was built, which is optional.
    from schemas.avro_reader import reader_of
except ImportError:
    from schemas.binary_encoding import reader_of

Schema = Any
T = TypeVar("T")
_UNITS = dict(zip(PER_MILLISECOND, ("milliseconds", "microseconds", "nanoseconds"), strict=True))
REMEDY = "Check that the producer wrote it with the schema that its header names, and that nothing cut it short."
_INSTANT = "timestamp-millis"
_INSTANTS = ("timestamp-micros", "timestamp-nanos")
# Avro's logical types, and what each may stand on; elsewhere it is none (Avro 1.12, Logical Types).
_ON = {
    "decimal": ("bytes", "fixed"),
    "big-decimal": ("bytes",),
    "uuid": ("string", "fixed"),
    "date": ("int",),
    "time-millis": ("int",),
    "time-micros": ("long",),
    "timestamp-millis": ("long",),
    "timestamp-micros": ("long",),
    "timestamp-nanos": ("long",),
    "local-timestamp-millis": ("long",),
    "local-timestamp-micros": ("long",),
    "local-timestamp-nanos": ("long",),
    "duration": ("fixed",),
}


def fitted(writer: Schema, names: Mapping[str, Any], reader: Schema, reader_names: Mapping[str, Any]) -> Schema:
    """Return the writer's schema with the reader's logical types, and the reader's default for unknown symbols.

    All names are in full (`contracts.parsed`); records that both name are written out.
    """
    return _Fitting(names, reader_names).fit(writer, reader, ())


def _kind(schema: Schema) -> str:
    """Return what a schema's bytes are, as Avro names it."""
    while isinstance(schema, dict):
        schema = schema["type"]
    return schema if isinstance(schema, str) else "union"


def _logical(schema: Schema) -> str | None:
    """Return the logical type of a schema where Avro has it on such bytes."""
    if not isinstance(schema, dict):
        return None
    logical = schema.get("logicalType")
    return logical if isinstance(logical, str) and _kind(schema) in _ON.get(logical, ()) else None


def _refusal(written: str, logical: str | None, kind: str, wanted: str | None) -> str | None:
    """Return why a writer's value cannot be what the reader takes, None where it can, or its type says so itself."""
    if wanted == _INSTANT:
        if logical not in (None, _INSTANT):
            return f"is written as {logical}, which is no instant. Write timestamp-millis, in UTC"
        if written == "int":
            return "is written as an int, which holds no milliseconds of today. Write timestamp-millis, a long"
    elif wanted == "date":
        if logical not in (None, "date"):
            return f"is written as {logical}, which is no date. Write date: days since 1970-01-01, an int"
        if written == "long":
            return "is written as a long, which is no date. Write date: days since 1970-01-01, an int"
    elif kind in ("int", "long"):
        if logical == "decimal":
            return "is written as a decimal. Write a long, in minor units: 12.50 of a currency of two decimals is 1250"
        if logical is not None:
            return f"is written as {logical}, which is no plain number. Write {'an' if kind == 'int' else 'a'} {kind}"
    elif kind == "string" and logical is not None and logical != "uuid":
        return f"is written as {logical}, which is no text. Write a string"
    elif kind == "string" and logical == "uuid" and written == "fixed":
        return "is written as a uuid of 16 bytes. Write it as a string"
    return None


def _under_present_names(written: list[Schema], fields: list[Schema]) -> list[Schema]:
    """Return a writer's fields, each of which the reader knows under an alias by the reader's name."""
    names = {f["name"] for f in written}
    present = {old: f["name"] for f in fields if f["name"] not in names for old in f.get("aliases", ())}
    return [{**f, "name": present.get(f["name"], f["name"])} for f in written]


class _Fitting:
    def __init__(self, names: Mapping[str, Any], reader_names: Mapping[str, Any]) -> None:
        self._names = names
        self._reader_names = reader_names

    def fit(self, writer: Schema, reader: Schema, within: tuple[str, ...]) -> Schema:
        if isinstance(writer, str) and writer in self._names:
            if writer in within:
                return writer
            writer = self._names[writer]
        if isinstance(reader, str):
            reader = self._reader_names.get(reader, reader)
        if isinstance(reader, list):
            # Ours are optional: null and one other.
            reader = next(branch for branch in reader if branch != "null")
            return self.fit(writer, reader, within)
        if isinstance(writer, list):
            return [self.fit(branch, reader, within) for branch in writer]
        if _kind(writer) == "record" and _kind(reader) == "record":
            return self._like(writer, reader, within)
        written, wanted = _logical(writer), _logical(reader)
        if wanted == _INSTANT and written in _INSTANTS:
            return {"type": "long", "logicalType": written}
        why = _refusal(_kind(writer), written, _kind(reader), wanted)
        if why is not None:
            return {"type": writer, REFUSED: why}
        if isinstance(writer, dict) and isinstance(reader, dict) and writer["type"] == reader["type"]:
            return self._like(writer, reader, within)
        if writer in ("int", "long") and isinstance(reader, dict) and reader["type"] == writer:
            return {"type": writer, "logicalType": reader.get("logicalType")}
        if isinstance(writer, dict) and writer["type"] in ("int", "long") and isinstance(reader, str):
            # No unit of ours is meant, and none that Avro knows.
            return writer["type"]
        return writer

    def _like(self, writer: dict[str, Any], reader: dict[str, Any], within: tuple[str, ...]) -> dict[str, Any]:
        match writer["type"]:
            case "record":
                types = {f["name"]: f["type"] for f in reader["fields"]}
                inside = (*within, writer["name"])
                fields = [
                    {**f, "type": self.fit(f["type"], types[f["name"]], inside)} if f["name"] in types else f
                    for f in _under_present_names(writer["fields"], reader["fields"])
                ]
                return {**writer, "fields": fields}
            case "enum" if "default" in reader:
                known = set(reader["symbols"])
                return {**writer, "symbols": [s if s in known else reader["default"] for s in writer["symbols"]]}
            case "array" | "map" as kind:
                part = "items" if kind == "array" else "values"
                return {**writer, part: self.fit(writer[part], reader[part], within)}
            case "int" | "long":
                return {**writer, "logicalType": reader.get("logicalType")}
        return writer


# By type, the former names of its fields, as they stand in bytes.
_FORMER: dict[type, list[bytes]] = {
    EVENT_TYPES[record]: [name.encode() for name in names] for record, names in FIELD_ALIASES.items()
}


def present_name(record: str) -> str:
    """Return what a record is called now."""
    return RECORD_ALIASES.get(record, record)


def present_event(value: Any) -> Any:
    """Return the plain value of an event under its present name, and each of its fields too; another value as it is."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return value
    kind = present_name(value["type"])
    names = {old: new for old, new in FIELD_ALIASES.get(kind, {}).items() if new not in value}
    return {**{names.get(name, name): part for name, part in value.items()}, "type": kind}


def with_present_events(value: Any) -> Any:
    """Return a plain value, such as a state's, with every event in it under its present names."""
    if isinstance(value, list):
        return [with_present_events(part) for part in value]
    if isinstance(value, dict):
        return present_event({name: with_present_events(part) for name, part in value.items()})
    return value


def aliased_decoder(
    decode: Callable[[bytes], T], plain: Callable[[bytes], Any], encode: Callable[[Any], bytes]
) -> Callable[[bytes], T]:
    """Return a decoder that also reads what was written under names of earlier releases.

    decode: the decoder of present names. plain: the same format's decoder of plain values, encode: its encoder.
    """

    def read(data: bytes) -> T:
        try:
            value = decode(data)
        except msgspec.ValidationError:
            former = plain(data)
            present = present_event(former)
            if present == former:
                raise
            return decode(encode(present))
        # A field under another name is no error: it would be passed over.
        former_names = _FORMER.get(type(value))
        if former_names is not None and any(name in data for name in former_names):
            return decode(encode(present_event(plain(data))))
        return value

    return read


def unreadable(where: str, why: str) -> InvalidEventError:
    """Return the error for bytes that do not follow their schema."""
    place = f"In {where}: " if where else ""
    return InvalidEventError("unreadable", f"{place}{why}. {REMEDY}", where or None)


class Plain:
    """Reads values of one writer's schema, whose names are in full (`contracts.parsed`)."""

    def __init__(self, schema: Schema, names: Mapping[str, Any]) -> None:
        self._schema = schema
        self._names = names
        self._dated = True

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """Return the value at a position, as dicts, lists, dates and instants, and the position after it.

        Raises InvalidEventError (`unreadable`, or `out_of_range` for a date outside the calendar) naming the field.
        """
        return self._read(self._schema, data, at, "", 0)

    def after(self, data: bytes, at: int) -> int:
        """Return the position after the value at a position, be its dates real or not. Raises InvalidEventError."""
        undated = Plain(self._schema, self._names)
        undated._dated = False
        return undated.read(data, at)[1]

    def _read(self, schema: Schema, data: bytes, at: int, where: str, depth: int) -> tuple[Any, int]:
        if depth > MAX_DEPTH:
            raise unreadable(where, f"more than {MAX_DEPTH} levels of nesting")
        if isinstance(schema, list):
            branch, at = self._number(data, at, where)
            if not 0 <= branch < len(schema):
                raise unreadable(where, f"a branch that a union of {len(schema)} has not got")
            return self._read(schema[branch], data, at, where, depth + 1)
        if isinstance(schema, str):
            if schema in self._names:
                return self._read(self._names[schema], data, at, where, depth + 1)
            return self._primitive(schema, None, data, at, where)
        if self._dated and REFUSED in schema:
            raise InvalidEventError("wrong_type", f"{where} {schema[REFUSED]}.", where or None)
        kind = schema["type"]
        if kind in ("record", "error"):
            value: dict[str, Any] = {}
            for field in schema["fields"]:
                inner = f"{where}.{field['name']}" if where else field["name"]
                value[field["name"]], at = self._read(field["type"], data, at, inner, depth + 1)
            return value, at
        if kind == "enum":
            index, at = self._number(data, at, where)
            if not 0 <= index < len(schema["symbols"]):
                raise unreadable(where, f"a symbol that an enum of {len(schema['symbols'])} has not got")
            return schema["symbols"][index], at
        if kind == "array":
            items: list[Any] = []

            def item(at: int) -> int:
                value, at = self._read(schema["items"], data, at, f"{where}[{len(items)}]", depth + 1)
                items.append(value)
                return at

            return items, self._blocks(data, at, where, item)
        if kind == "map":
            entries: dict[str, Any] = {}

            def entry(at: int) -> int:
                key, at = self._primitive("string", None, data, at, where)
                entries[key], at = self._read(schema["values"], data, at, f"{where}[...]", depth + 1)
                return at

            return entries, self._blocks(data, at, where, entry)
        if kind == "fixed":
            return self._take(data, at, schema["size"], where)
        if isinstance(kind, dict | list):
            return self._read(kind, data, at, where, depth + 1)
        return self._primitive(kind, schema.get("logicalType"), data, at, where)

    def _primitive(self, kind: str, logical: str | None, data: bytes, at: int, where: str) -> tuple[Any, int]:
        if kind == "null":
            return None, at
        if kind == "boolean":
            byte, at = self._take(data, at, 1, where)
            if byte not in (b"\0", b"\1"):
                raise unreadable(where, "a boolean that is neither 0 nor 1")
            return byte == b"\1", at
        if kind in ("float", "double"):
            raw, at = self._take(data, at, 8 if kind == "double" else 4, where)
            return struct.unpack("<d" if kind == "double" else "<f", raw)[0], at
        number, at = self._number(data, at, where)
        if kind in ("int", "long"):
            if kind == "int" and not -(2**31) <= number < 2**31:
                raise unreadable(where, "a number that does not fit the 32 bits of an int")
            return (_in_calendar(kind, logical, number, where) if self._dated else number), at
        if number < 0:
            raise unreadable(where, "a length below zero")
        raw, at = self._take(data, at, number, where)
        if kind == "bytes":
            return raw, at
        try:
            return raw.decode(), at
        except UnicodeDecodeError as error:
            raise unreadable(where, f"text that is not UTF-8 ({error.reason} at its byte {error.start})") from error

    def _number(self, data: bytes, at: int, where: str) -> tuple[int, int]:
        try:
            return long(data, at)
        except IndexError as error:
            raise unreadable(where, f"the bytes end at {len(data)}") from error
        except ValueError as error:
            raise unreadable(where, str(error)) from error

    def _take(self, data: bytes, at: int, size: int, where: str) -> tuple[bytes, int]:
        if size > len(data) - at:
            raise unreadable(where, f"more bytes are announced than the {len(data) - at} that are left")
        return data[at : at + size], at + size

    def _blocks(self, data: bytes, at: int, where: str, one: Callable[[int], int]) -> int:
        """Read the blocks of an array or a map and return the position after them."""
        while True:
            count, at = self._number(data, at, where)
            if count == 0:
                return at
            if count < 0:
                count = -count
                _, at = self._number(data, at, where)
            # No item of ours is empty, so a count beyond the bytes left is a lie, however big.
            if count > len(data) - at:
                raise unreadable(
                    where, f"more items are announced than the {len(data) - at} bytes that are left can hold"
                )
            for _ in range(count):
                at = one(at)


def _meant(logical: str | None, number: int) -> str:
    """Return what a number outside the calendar was probably meant as."""
    if logical == "date":
        if 19_000_101 <= number <= 21_991_231:
            return ": it looks like a date written as YYYYMMDD"
        return ": it looks like a time in seconds or milliseconds" if number > 10**8 else ""
    for unit, most in (("microseconds", 10**16), ("nanoseconds", 10**19)):
        if 0 < number // PER_MILLISECOND[logical or "timestamp-millis"] < most:
            return f": it looks like {unit}"
    return ""


def _in_calendar(kind: str, logical: str | None, number: int, where: str) -> Any:
    try:
        if kind == "int" and logical == "date":
            return date_of(number)
        if kind == "long" and logical in PER_MILLISECOND:
            return instant_of(number // PER_MILLISECOND[logical])
    except ValueError as error:
        unit = "days" if logical == "date" else _UNITS[logical or "timestamp-millis"]
        raise InvalidEventError(
            "out_of_range",
            f"{where} is a number of {unit} from 1970-01-01 outside the years 1 to 9999{_meant(logical, number)}. "
            "Send a real date.",
            where,
        ) from error
    return number


class SchemaReader:
    """Reads what was written with one schema. `event` is the type that it reads."""

    __slots__ = ("_plain", "event", "fast")

    def __init__(self, event: type[Event], plain: Plain, fast: Reader | None) -> None:
        self.event = event
        self._plain = plain
        self.fast: Reader = fast or self._typed

    def read(self, data: bytes, at: int) -> tuple[Event, int]:
        """Return the event at a position and the position after it. Raises InvalidEventError."""
        try:
            event, end = self.fast(data, at)
        except REFUSALS:
            return self._typed(data, at)
        return (event, end) if end <= len(data) else self._typed(data, at)

    def read_rest(self, data: bytes, at: int) -> Event:
        """Return the event that takes all bytes from a position on. Raises InvalidEventError."""
        event, end = self.read(data, at)
        if end != len(data):
            raise unreadable(self.event.__name__, f"{len(data) - end} bytes follow its end")
        return event

    def _typed(self, data: bytes, at: int) -> tuple[Event, int]:
        value, at = self._plain.read(data, at)
        return typed(value, self.event), at


def record_name(schema: Any) -> str | None:
    """Return the present name, without namespace, of the event of a schema, None where it is none of ours."""
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return None
    name = present_name(str(schema.get("name")).rpartition(".")[2])
    return name if name in EVENT_TYPES else None


def reading_of(writer: Any, names: Mapping[str, Any]) -> SchemaReader:
    """Return the reading of a writer's schema, as `contracts.parsed` gives it.

    Raises InvalidEventError (`unknown_schema`).
    """
    name = record_name(writer)
    if name is None:
        raise unknown_type(writer.get("name") if isinstance(writer, dict) else writer)
    event = EVENT_TYPES[name]
    try:
        writer = fitted(writer, names, *contracts.parsed(contracts.schema_of(name)))
    except RecursionError as error:
        raise InvalidEventError(
            "unknown_schema", f"The schema of {name} is nested too deeply. Write it flatter."
        ) from error
    try:
        return SchemaReader(event, Plain(writer, names), reader_of(plan_of(writer, names, event)))
    except (UnsupportedSchemaError, SyntaxError, RecursionError):
        # Python compiles no code that is nested as deeply as a schema may be.
        return SchemaReader(event, Plain(writer, names), None)


@cache
def known_schemas() -> dict[bytes, dict[str, Any]]:
    """Return the schema of every event, of this release and of those before it, by its fingerprint."""
    found: dict[bytes, dict[str, Any]] = {}
    for release in [*map(contracts.load, contracts.releases()), contracts.contracts()]:
        for name in filter(lambda name: present_name(name) in EVENT_TYPES, release):
            schema = contracts.self_contained(name, release)
            found[contracts.fingerprint(schema)] = schema
    return found
