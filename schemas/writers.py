"""Writers compiled from the contracts: one Python function a record.

Each takes a struct and returns its Avro bytes. They trust that the struct keeps the ranges
of its contract (`validation.check` makes sure of it where it was built by hand).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from schemas import wire
from schemas.events import Event
from schemas.readers import ID_PATTERN

Writer = Callable[[Event], bytes]

_KEPT_STRINGS = 4_096
# One byte of length for strings below 64 bytes; small numbers as they are met most.
_LENGTHS = [wire.bytes_of_long(size) for size in range(64)]
_NUMBERS = {number: wire.bytes_of_long(number) for number in range(-64, 1_024)}


def compile_writer(schema: Any, names: Mapping[str, Any], event: type[Event]) -> Writer:
    """Return the writer of an event type in its contract's schema, as `contracts.parsed` gives it."""
    source = _Source(names)
    writer: Writer = source.function(schema, msgspec.inspect.type_info(event))
    return writer


def bytes_of_text(text: str) -> bytes:
    """Write a string: its length in bytes, then UTF-8."""
    raw = text.encode()
    return (_LENGTHS[size] if (size := len(raw)) < 64 else wire.bytes_of_long(size)) + raw


def bytes_of_bytes(raw: bytes) -> bytes:
    """Write bytes: how many, then they."""
    return wire.bytes_of_long(len(raw)) + raw


class _Source:
    """Writes and compiles the functions of one contract."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names
        self._texts: dict[str, bytes] = {}
        self._scope: dict[str, Any] = {
            "text": bytes_of_text,
            "raw": bytes_of_bytes,
            "known_text": self._texts.get,
            "keep_text": self._keep,
            "number": wire.bytes_of_long,
            "small": _NUMBERS.get,
            "days": wire.BYTES_OF_DAY.get,
            "day": wire.bytes_of_day,
            "instant": wire.bytes_of_instant,
            "double": struct.Struct("<d").pack,
            "join": b"".join,
        }
        self._functions: dict[type, str] = {}

    def function(self, schema: Any, kind: Any) -> Any:
        """Compile a record's function and return it."""
        return self._scope[self._record(schema, kind)]

    def _keep(self, text: str) -> bytes:
        out = bytes_of_text(text)
        if len(self._texts) < _KEPT_STRINGS:
            self._texts[text] = out
        return out

    def _record(self, schema: Any, kind: Any) -> str:
        if kind.cls in self._functions:
            return self._functions[kind.cls]
        attributes = {f.encode_name: f for f in kind.fields}
        parts = [
            self._expression(f["type"], attributes[f["name"]].type, f"e.{attributes[f['name']].name}", 0)
            for f in schema["fields"]
        ]
        name = self._functions[kind.cls] = f"write_{len(self._functions)}"
        source = "\n".join([f"def {name}(e):", "    return join((", *(f"        {p}," for p in parts), "    ))"])
        # Made from our own classes alone.
        exec(compile(source, f"<writer of {schema['name']}>", "exec"), self._scope)  # nosec B102
        return name

    def _bind(self, stem: str, value: object) -> str:
        name = f"{stem}_{len(self._scope)}"
        self._scope[name] = value
        return name

    def _expression(self, schema: Any, kind: Any, v: str, depth: int) -> str:
        """Return the expression that gives the bytes of the expression `v`."""
        if isinstance(schema, str) and schema in self._names:
            schema = self._names[schema]
        if isinstance(schema, list):
            null = schema.index("null")
            (inner,) = (t for t in kind.types if not isinstance(t, msgspec.inspect.NoneType))
            some = self._expression(schema[1 - null], inner, v, depth)
            return f"({_LENGTHS[null]!r} if {v} is None else {_LENGTHS[1 - null]!r} + {some})"
        type_ = schema if isinstance(schema, str) else schema["type"]
        logical = None if isinstance(schema, str) else schema.get("logicalType")
        item = f"x{depth}"
        match type_, logical:
            case "record", _:
                return f"{self._record(schema, kind)}({v})"
            case "enum", _:
                table = {symbol: wire.bytes_of_long(index) for index, symbol in enumerate(schema["symbols"])}
                return f"{self._bind('symbols', table)}[{v}]"
            case "array", _:
                each = self._expression(schema["items"], kind.item_type, item, depth + 1)
                return f"(number(len({v})) + join([{each} for {item} in {v}]) + b'\\0' if {v} else b'\\0')"
            case "map", _:
                each = self._expression(schema["values"], kind.value_type, item, depth + 1)
                entries = f"join([text(k) + {each} for k, {item} in {v}.items()])"
                return f"(number(len({v})) + {entries} + b'\\0' if {v} else b'\\0')"
            case "string", _ if kind.max_length is not None and kind.pattern != ID_PATTERN:
                # Names and currencies come again and again.
                return f"(known_text({v}) or keep_text({v}))"
            case "string", _:
                return f"text({v})"
            case "bytes", _:
                return f"raw({v})"
            case "boolean", _:
                return f"(b'\\1' if {v} else b'\\0')"
            case "double", _:
                return f"double({v})"
            case "int", "date":
                return f"(days({v}) or day({v}))"
            case "long", "timestamp-millis":
                return f"instant({v})"
        return f"(small({v}) or number({v}))"
