"""Readers compiled from schemas: one Python function a record, as fast as Python goes.

For each record of a writer's schema a function is written out, field by field, that takes
the bytes and a position and returns the struct and the position after it. It checks every
range on the way. Anything out of the ordinary makes it raise one of `REFUSALS`, and then
`schemas.plain` says what is wrong; so a compiled reader never has to.

Reading past the end is caught by the caller, who compares the position after with the
length: a slice beyond the end is short, it never allocates what a length claims.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from schemas import wire
from schemas.events import Event, Id

Reader = Callable[[bytes, int], tuple[Event, int]]
REFUSALS = (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError, struct.error)

ID_PATTERN = msgspec.inspect.type_info(Id).pattern  # type: ignore[attr-defined]
_KEPT_NAMES = 4_096
_INFINITY = float("inf")

# A number of one, two or three bytes in line, since calling costs more than reading.
_NUMBER = """\
n = data[i]
if n < 128:
    i += 1
else:
    b = data[i + 1]
    if b < 128:
        n += (b << 7) - 128
        i += 2
    else:
        c = data[i + 2]
        if c < 128:
            n += (b << 7) + (c << 14) - 16512
            i += 3
        else:
            n, i = unsigned(data, i)
{v} = (n >> 1) ^ -(n & 1)"""

# A length of one byte is even (not negative) and below 128.
_SLICE = """\
n = data[i]
if n & 129:
    n, i = length(data, i)
else:
    n >>= 1
    i += 1
j = i + n"""

_BLOCKS = """\
while True:
    m{d}, i = long(data, i)
    if m{d} == 0:
        break
    if m{d} < 0:
        m{d} = -m{d}
        _, i = long(data, i)
    if m{d} > len(data) - i:
        raise ValueError
    for _ in range(m{d}):"""


class Unsupported(Exception):
    """A schema that is read plainly: its types differ from the struct's in kind, or a field is missing."""


def compile_reader(schema: Any, names: Mapping[str, Any], event: type[Event]) -> Reader:
    """Return the reader of a writer's record into an event type.

    schema, names: as `contracts.parsed` gives them. Fields that the event type does not know are
    read over; fields that the writer does not know take the event's defaults.
    Raises Unsupported.
    """
    source = _Source(names)
    reader: Reader = source.function(schema, msgspec.inspect.type_info(event))
    return reader


def kept(check: Callable[[str], bool]) -> tuple[dict[bytes, str], Callable[[bytes], str]]:
    """Return a table of checked strings that come again and again, and the function that fills it.

    A currency, a source or a channel is so decoded and checked once, and exists once.
    """
    table: dict[bytes, str] = {}

    def name(raw: bytes) -> str:
        text = raw.decode()
        if not check(text):
            raise ValueError
        if len(table) < _KEPT_NAMES:
            table[raw] = text
        return text

    return table, name


class _Source:
    """Writes and compiles the functions of one writer's schema."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names
        self._scope: dict[str, Any] = {
            "unsigned": wire.unsigned,
            "long": wire.long,
            "length": wire.length,
            "day": wire.day,
            "days": wire.DAY_OF_BYTES,
            "instant": wire.instant,
            "double": struct.Struct("<d").unpack_from,
            "infinity": _INFINITY,
        }
        self._functions: dict[tuple[str, object], str] = {}

    def function(self, schema: Any, kind: Any) -> Any:
        """Compile a record's function and return it."""
        return self._scope[self._record(schema, kind)]

    def _bind(self, stem: str, value: object) -> str:
        name = f"{stem}_{len(self._scope)}"
        self._scope[name] = value
        return name

    def _record(self, schema: Any, kind: Any) -> str:
        if kind is not None and not isinstance(kind, msgspec.inspect.StructType):
            raise Unsupported
        cls = None if kind is None else kind.cls
        done = self._functions.get((schema["name"], cls))
        if done is not None:
            return done
        attributes = {} if kind is None else {f.encode_name: f for f in kind.fields}
        # Known before its body is made, so that a record may hold itself.
        name = self._functions[schema["name"], cls] = f"read_{len(self._functions)}"
        body: list[str] = []
        arguments: list[str] = []
        for number, field in enumerate(schema["fields"]):
            known = attributes.pop(field["name"], None)
            variable = f"v{number}"
            body += self._lines(field["type"], None if known is None else known.type, variable, 0)
            if known is not None:
                arguments.append(f"{known.name}={variable}")
        if any(f.required for f in attributes.values()):
            raise Unsupported
        made = "None" if cls is None else f"{self._bind(cls.__name__, cls)}({', '.join(arguments)})"
        lines = [f"def {name}(data, i):", *_indented(body), f"    return {made}, i"]
        # Only names of ours and numbers are in the lines: what a foreign schema calls things is bound as a value.
        exec(compile("\n".join(lines), f"<reader of {schema['name']}>", "exec"), self._scope)  # nosec B102
        return name

    def _lines(self, schema: Any, kind: Any, v: str, depth: int) -> list[str]:
        """Return the lines that read a value into the variable `v`; `kind` None reads over it."""
        if isinstance(schema, str) and schema in self._names:
            schema = self._names[schema]
        if isinstance(schema, list):
            return self._union(schema, kind, v, depth)
        type_ = schema if isinstance(schema, str) else schema["type"]
        logical = None if isinstance(schema, str) else schema.get("logicalType")
        match type_:
            case "record":
                return [f"{v}, i = {self._record(schema, kind)}(data, i)"]
            case "enum":
                return self._enum(schema, kind, v)
            case "array":
                return self._array(schema, kind, v, depth)
            case "map":
                return self._map(schema, kind, v, depth)
            case "string":
                return self._string(kind, v)
            case "bytes" if kind is None or isinstance(kind, msgspec.inspect.BytesType):
                return [*_SLICE.split("\n"), f"{v} = data[i:j]", "i = j"]
            case "boolean" if kind is None or isinstance(kind, msgspec.inspect.BoolType):
                return [f"{v} = {self._bind('booleans', {0: False, 1: True})}[data[i]]", "i += 1"]
            case "double" if kind is None or isinstance(kind, msgspec.inspect.FloatType):
                return [
                    f"{v} = double(data, i)[0]",
                    "i += 8",
                    f"if not -infinity < {v} < infinity:",
                    "    raise ValueError",
                ]
            case "int" if logical == "date" and isinstance(kind, msgspec.inspect.DateType):
                return [
                    f"{v} = days.get(data[i : i + 3])",
                    f"if {v} is None:",
                    f"    {v}, i = day(data, i)",
                    "else:",
                    "    i += 3",
                ]
            case "long" if logical == "timestamp-millis" and isinstance(kind, msgspec.inspect.DateTimeType):
                return [f"{v}, i = instant(data, i)"]
            case "int" | "long" if kind is None or (isinstance(kind, msgspec.inspect.IntType) and logical is None):
                return self._integer(type_, kind, v)
        raise Unsupported

    def _integer(self, type_: str, kind: Any, v: str) -> list[str]:
        lines = _NUMBER.format(v=v).split("\n")
        bits = 31 if type_ == "int" else 63
        low, high = -(2**bits), 2**bits - 1
        if kind is not None:
            low = low if kind.ge is None else max(low, kind.ge)
            high = high if kind.le is None else min(high, kind.le)
        if high == 2**63 - 1:
            return lines if low == -(2**63) else [*lines, f"if {v} < {low}:", "    raise ValueError"]
        return [*lines, f"if not {low} <= {v} <= {high}:", "    raise ValueError"]

    def _string(self, kind: Any, v: str) -> list[str]:
        lines = _SLICE.split("\n")
        if kind is None:
            return [*lines, f"{v} = str(data[i:j], 'utf-8')", "i = j"]
        if not isinstance(kind, msgspec.inspect.StrType):
            raise Unsupported
        if kind.pattern == ID_PATTERN:
            # Stricter than the pattern, and far quicker; what differs is left to the plain reader.
            return [
                *lines,
                f"{v} = str(data[i:j], 'utf-8')",
                "i = j",
                f"if not (0 < len({v}) <= 64 and {v}.isprintable() and ' ' not in {v}):",
                "    raise ValueError",
            ]
        if kind.pattern is None and kind.max_length is None:
            return [*lines, f"{v} = str(data[i:j], 'utf-8')", "i = j"]
        table, fill = kept(_check_of(kind))
        known, name = self._bind("kept", table.get), self._bind("name", fill)
        return [*lines, "raw = data[i:j]", f"{v} = {known}(raw) or {name}(raw)", "i = j"]

    def _enum(self, schema: Any, kind: Any, v: str) -> list[str]:
        symbols = schema["symbols"]
        if kind is not None and not isinstance(kind, msgspec.inspect.LiteralType | msgspec.inspect.StrType):
            raise Unsupported
        allowed = kind.values if isinstance(kind, msgspec.inspect.LiteralType) else symbols
        table = {2 * index: symbol for index, symbol in enumerate(symbols[:64]) if kind is None or symbol in allowed}
        return [f"{v} = {self._bind('symbols', table)}[data[i]]", "i += 1"]

    def _union(self, branches: list[Any], kind: Any, v: str, depth: int) -> list[str]:
        if "null" not in branches or len(branches) != 2:
            raise Unsupported
        null = branches.index("null")
        inner = None
        if kind is not None:
            if not isinstance(kind, msgspec.inspect.UnionType) or len(kind.types) != 2:
                raise Unsupported
            (inner,) = (t for t in kind.types if not isinstance(t, msgspec.inspect.NoneType))
        return [
            "n = data[i]",
            "i += 1",
            f"if n == {2 * null}:",
            f"    {v} = None",
            f"elif n == {2 * (1 - null)}:",
            *_indented(self._lines(branches[1 - null], inner, v, depth)),
            "else:",
            "    raise ValueError",
        ]

    def _array(self, schema: Any, kind: Any, v: str, depth: int) -> list[str]:
        inner = None
        if kind is not None:
            if not isinstance(kind, msgspec.inspect.VarTupleType):
                raise Unsupported
            inner = kind.item_type
        item, items = f"item{depth}", f"items{depth}"
        body = [*self._lines(schema["items"], inner, item, depth + 1), f"{items}.append({item})"]
        return [f"{items} = []", *_blocks(depth), *_indented(body, 8), f"{v} = tuple({items})"]

    def _map(self, schema: Any, kind: Any, v: str, depth: int) -> list[str]:
        inner = None
        if kind is not None:
            if not isinstance(kind, msgspec.inspect.DictType):
                raise Unsupported
            inner = kind.value_type
        key, item, items = f"key{depth}", f"item{depth}", f"items{depth}"
        body = [
            *self._string(None, key),
            *self._lines(schema["values"], inner, item, depth + 1),
            f"{items}[{key}] = {item}",
        ]
        return [f"{items} = {{}}", *_blocks(depth), *_indented(body, 8), f"{v} = {items}"]


def _check_of(kind: msgspec.inspect.StrType) -> Callable[[str], bool]:
    least, most = kind.min_length or 0, sys.maxsize if kind.max_length is None else kind.max_length
    search = re.compile(kind.pattern or "").search
    return lambda text: least <= len(text) <= most and search(text) is not None


def _blocks(depth: int) -> list[str]:
    return _BLOCKS.format(d=depth).split("\n")


def _indented(lines: list[str], by: int = 4) -> list[str]:
    return [" " * by + line for line in lines]
