"""Reading Avro by walking its schema: slow, and able to say which field is at fault.

It is what the compiled readers are measured against, it takes over where they refuse an
input in order to name the reason, and it reads whatever they were not made for.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from schemas import wire
from schemas.errors import BadInput

Schema = Any
MAX_DEPTH = 64
REMEDY = "Check that the producer wrote it with the schema that its header names, and that nothing cut it short."


def unreadable(where: str, why: str) -> BadInput:
    """Return the error for bytes that do not follow their schema."""
    place = f"In {where}: " if where else ""
    return BadInput("unreadable", f"{place}{why}. {REMEDY}", where or None)


class Plain:
    """Reads values of one writer's schema, whose names are in full (`contracts.parsed`)."""

    def __init__(self, schema: Schema, names: Mapping[str, Any]) -> None:
        self._schema = schema
        self._names = names
        self._dated = True

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """Return the value at a position, as dicts, lists, dates and instants, and the position after it.

        Raises BadInput (`unreadable`, or `out_of_range` for a date outside the calendar) naming the field.
        """
        return self._read(self._schema, data, at, "", 0)

    def after(self, data: bytes, at: int) -> int:
        """Return the position after the value at a position, be its dates real or not. Raises BadInput."""
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
            return (_logical(kind, logical, number, where) if self._dated else number), at
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
            return wire.long(data, at)
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


def _logical(kind: str, logical: str | None, number: int, where: str) -> Any:
    try:
        if kind == "int" and logical == "date":
            return wire.date_of(number)
        if kind == "long" and logical == "timestamp-millis":
            return wire.instant_of(number)
    except ValueError as error:
        unit = "days" if logical == "date" else "milliseconds"
        raise BadInput(
            "out_of_range",
            f"{where} is a number of {unit} from 1970-01-01 outside the years 1 to 9999. Send a real date.",
            where,
        ) from error
    return number
