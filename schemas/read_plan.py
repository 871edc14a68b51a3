"""How the bytes of a writer's schema become the event that they hold: a plan, by which readers are made.

Both readers go by it, the one in Python (`schemas.binary_encoding`) and the compiled one (`schemas/avro_reader.pyx`).
What has no plan is read plainly (`schemas.resolution`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from schemas.events import Event
from schemas.validation import ID_PATTERN

# In a fitted schema: why no value can be taken that has this type.
REFUSED = "refused"
# By logical type, how many of its units are a millisecond, to which an instant is cut.
PER_MILLISECOND = {"timestamp-millis": 1, "timestamp-micros": 1_000, "timestamp-nanos": 1_000_000}
# Levels of nesting.
MAX_DEPTH = 64
# Strings that are kept of one field, and symbols that an index of one byte can name.
_KEPT_NAMES, _SYMBOLS = 4_096, 64


class UnsupportedSchemaError(Exception):
    """A schema that is read plainly: its types differ from the struct's in kind, or a field is missing."""


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """Fields in the order of their bytes, each with the attribute that it becomes, None where it is read over.

    cls: what is made of them, None for nothing.
    """

    cls: type | None
    fields: tuple[tuple[str | None, Plan], ...]


@dataclass(frozen=True, slots=True)
class Optional:
    """A union with null. null: its index."""

    null: int
    value: Plan


@dataclass(frozen=True, slots=True)
class Array:
    """A tuple."""

    item: Plan


@dataclass(frozen=True, slots=True)
class Map:
    """A dict by text."""

    value: Plan


@dataclass(frozen=True, slots=True)
class Enum:
    """Symbols by index; None where one is not allowed."""

    symbols: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Integer:
    """A number between bounds, both of which it may be."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Instant:
    """A number of units since 1970, so many to a millisecond."""

    per_millisecond: int


@dataclass(frozen=True, slots=True)
class Name:
    """A text that comes again and again, such as a currency: checked and decoded once.

    table: what is known, by bytes. fill: checks others and adds them; raises ValueError.
    """

    table: dict[bytes, str]
    fill: Callable[[bytes], str]


@dataclass(frozen=True, slots=True)
class Leaf:
    """`text`, `id`, `bytes`, `boolean`, `double` (a finite one) or `date`."""

    kind: str


Plan = RecordPlan | Optional | Array | Map | Enum | Integer | Instant | Name | Leaf


def plan_of(schema: Any, names: Mapping[str, Any], event: type[Event]) -> RecordPlan:
    """Return the plan of a writer's record that becomes an event.

    schema, names: as `contracts.parsed` gives them. Fields that the event type does not know are
    read over; fields that the writer does not know take the event's defaults.
    Raises UnsupportedSchemaError, also for what is nested deeper than MAX_DEPTH, as a record is that holds itself.
    """
    return _Planner(names).record(schema, msgspec.inspect.type_info(event), 0)


class _Planner:
    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names
        # Plans of records by name and class with their height in levels; None while it is being made.
        self._records: dict[tuple[str, type | None], tuple[RecordPlan, int] | None] = {}
        # The deepest level so far of what is being planned.
        self._deepest = 0

    def record(self, schema: Any, kind: Any, depth: int) -> RecordPlan:
        """Return the plan of a record: one for each record, however often a foreign schema names it."""
        if kind is not None and not isinstance(kind, msgspec.inspect.StructType):
            raise UnsupportedSchemaError
        known = schema["name"], None if kind is None else kind.cls
        if known in self._records:
            made = self._records[known]
            if made is None or depth + made[1] > MAX_DEPTH:
                raise UnsupportedSchemaError
            self._deepest = max(self._deepest, depth + made[1])
            return made[0]
        self._records[known] = None
        before, self._deepest = self._deepest, depth
        plan = self._fields(schema, kind, depth)
        self._records[known] = plan, self._deepest - depth
        self._deepest = max(before, self._deepest)
        return plan

    def _fields(self, schema: Any, kind: Any, depth: int) -> RecordPlan:
        attributes = {} if kind is None else {f.encode_name: f for f in kind.fields}
        fields: list[tuple[str | None, Plan]] = []
        for field in schema["fields"]:
            known = attributes.pop(field["name"], None)
            if known is None:
                fields.append((None, self.value(field["type"], None, depth + 1)))
            else:
                fields.append((known.name, self.value(field["type"], known.type, depth + 1)))
        if any(f.required for f in attributes.values()):
            raise UnsupportedSchemaError
        return RecordPlan(None if kind is None else kind.cls, tuple(fields))

    def value(self, schema: Any, kind: Any, depth: int) -> Plan:
        """Return the plan of a value; `kind` None reads over it."""
        if depth > MAX_DEPTH:
            raise UnsupportedSchemaError
        self._deepest = max(self._deepest, depth)
        if isinstance(schema, str) and schema in self._names:
            schema = self._names[schema]
        if isinstance(schema, list):
            return self._union(schema, kind, depth)
        if isinstance(schema, dict) and REFUSED in schema:
            raise UnsupportedSchemaError
        type_ = schema if isinstance(schema, str) else schema["type"]
        logical = None if isinstance(schema, str) else schema.get("logicalType")
        match type_:
            case "record":
                return self.record(schema, kind, depth)
            case "enum" if kind is None or isinstance(kind, msgspec.inspect.LiteralType | msgspec.inspect.StrType):
                allowed = kind.values if isinstance(kind, msgspec.inspect.LiteralType) else schema["symbols"]
                return Enum(tuple(s if s in allowed else None for s in schema["symbols"][:_SYMBOLS]))
            case "array" if kind is None or isinstance(kind, msgspec.inspect.VarTupleType):
                return Array(self.value(schema["items"], None if kind is None else kind.item_type, depth + 1))
            case "map" if kind is None or isinstance(kind, msgspec.inspect.DictType):
                return Map(self.value(schema["values"], None if kind is None else kind.value_type, depth + 1))
            case "string" if kind is None or isinstance(kind, msgspec.inspect.StrType):
                return _text(kind)
            case "bytes" if kind is None or isinstance(kind, msgspec.inspect.BytesType):
                return Leaf("bytes")
            case "boolean" if kind is None or isinstance(kind, msgspec.inspect.BoolType):
                return Leaf("boolean")
            case "double" if kind is None or isinstance(kind, msgspec.inspect.FloatType):
                return Leaf("double")
            case "int" if logical == "date" and isinstance(kind, msgspec.inspect.DateType):
                return Leaf("date")
            case "long" if logical in PER_MILLISECOND and isinstance(kind, msgspec.inspect.DateTimeType):
                return Instant(PER_MILLISECOND[logical])
            case "int" | "long" if kind is None or (isinstance(kind, msgspec.inspect.IntType) and logical is None):
                return _integer(31 if type_ == "int" else 63, kind)
        raise UnsupportedSchemaError

    def _union(self, branches: list[Any], kind: Any, depth: int) -> Plan:
        if "null" not in branches or len(branches) != 2:
            raise UnsupportedSchemaError
        null = branches.index("null")
        inner = None
        if kind is not None:
            if not isinstance(kind, msgspec.inspect.UnionType) or len(kind.types) != 2:
                raise UnsupportedSchemaError
            (inner,) = (t for t in kind.types if not isinstance(t, msgspec.inspect.NoneType))
        return Optional(null, self.value(branches[1 - null], inner, depth + 1))


def _integer(bits: int, kind: Any) -> Integer:
    low, high = -(2**bits), 2**bits - 1
    if kind is None:
        return Integer(low, high)
    return Integer(low if kind.ge is None else max(low, kind.ge), high if kind.le is None else min(high, kind.le))


def _text(kind: msgspec.inspect.StrType | None) -> Plan:
    if kind is None or (kind.pattern is None and kind.max_length is None):
        return Leaf("text")
    if kind.pattern == ID_PATTERN:
        return Leaf("id")
    least, most = kind.min_length or 0, sys.maxsize if kind.max_length is None else kind.max_length
    search = re.compile(kind.pattern or "").search
    table: dict[bytes, str] = {}

    def fill(raw: bytes) -> str:
        text = raw.decode()
        if not least <= len(text) <= most or search(text) is None:
            raise ValueError
        if len(table) < _KEPT_NAMES:
            table[raw] = text
        return text

    return Name(table, fill)
