"""Avro's binary encoding of our records: readers and writers compiled from schemas, one Python function a record.

A reader takes the bytes and a position and returns the struct and the position after it. It checks every
range on the way. Anything out of the ordinary makes it raise one of `REFUSALS`, and then
`schemas.resolution` says what is wrong; so a compiled reader never has to.

Reading past the end is caught by the caller, who compares the position after with the
length: a slice beyond the end is short, it never allocates what a length claims.

A writer takes a struct and returns its Avro bytes. It trusts that the struct keeps the ranges
of its contract (`validation.check` makes sure of it where it was built by hand).

The functions that read numbers (zigzag longs of 1..10 bytes), days and instants take the bytes and a position, too.
They raise ValueError for a number that does not fit 64 bits or a date beyond the calendar, IndexError where the
bytes end too early.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from schemas.events import Event
from schemas.validation import ID_PATTERN

Reader = Callable[[bytes, int], tuple[Event, int]]
Writer = Callable[[Event], bytes]
REFUSALS = (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError, struct.error)
# In a fitted schema: why no value can be taken that has this type.
REFUSED = "refused"
# By logical type, how many of its units are a millisecond, to which an instant is cut.
PER_MILLISECOND = {"timestamp-millis": 1, "timestamp-micros": 1_000, "timestamp-nanos": 1_000_000}

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

# The continuation bits of the first five of six bytes, as they add up when left in.
_SIX_BYTES = sum(128 << shift for shift in (0, 7, 14, 21, 28))
# Business dates come again and again; three bytes hold every day from 1992 to 4840.
_KEPT_DAYS = 8_192
DAY_OF_BYTES: dict[bytes, date] = {}
BYTES_OF_DAY: dict[date, bytes] = {}


def unsigned(data: bytes, at: int) -> tuple[int, int]:
    """Read a variable-length number as it stands, before zigzag, below 2**64."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than ten bytes")
    if value >> 64:
        raise ValueError("a number does not fit 64 bits")
    return value, at


def long(data: bytes, at: int) -> tuple[int, int]:
    """Read a signed long."""
    value, at = unsigned(data, at)
    return (value >> 1) ^ -(value & 1), at


def length(data: bytes, at: int) -> tuple[int, int]:
    """Read the length of a string or of bytes; more than all bytes there are is refused, as is less than none."""
    value, at = long(data, at)
    if not 0 <= value <= len(data):
        raise ValueError(f"a length that is none of a value in {len(data)} bytes")
    return value, at


def day(data: bytes, at: int) -> tuple[date, int]:
    """Read a date as days since 1970-01-01."""
    days, after = long(data, at)
    value = date_of(days)
    if after - at == 3 and len(DAY_OF_BYTES) < _KEPT_DAYS:
        DAY_OF_BYTES[data[at:after]] = value
    return value, after


def date_of(days: int) -> date:
    """Return the date of days since 1970-01-01; raises ValueError outside the years 1 to 9999."""
    try:
        return date.fromordinal(days + EPOCH_ORDINAL)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def instant(data: bytes, at: int) -> tuple[datetime, int]:
    """Read an instant as milliseconds since 1970-01-01T00:00Z."""
    a, b, c, d, e, f = data[at : at + 6]
    if f < 128 and a & b & c & d & e & 128:
        # 1987 to 2039: near enough to 1970 for a float of seconds to hold the millisecond exactly.
        value = a + (b << 7) + (c << 14) + (d << 21) + (e << 28) + (f << 35) - _SIX_BYTES
        return datetime.fromtimestamp(((value >> 1) ^ -(value & 1)) / 1000, UTC), at + 6
    millis, at = long(data, at)
    return instant_of(millis), at


def instant_of(millis: int) -> datetime:
    """Return the instant of milliseconds since 1970; raises ValueError outside the years 1 to 9999."""
    try:
        return EPOCH + timedelta(milliseconds=millis)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def bytes_of_long(value: int) -> bytes:
    """Write a signed long."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def bytes_of_day(value: date) -> bytes:
    """Write a date."""
    out = bytes_of_long(value.toordinal() - EPOCH_ORDINAL)
    if len(BYTES_OF_DAY) < _KEPT_DAYS:
        BYTES_OF_DAY[value] = out
    return out


def millis_of(value: datetime) -> int:
    """Return the whole milliseconds since 1970 of an instant with a time zone."""
    since = value - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000


def bytes_of_instant(value: datetime) -> bytes:
    """Write an instant, cut to the millisecond."""
    return bytes_of_long(millis_of(value))


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


class _Source:
    """Writes and compiles functions, a record each."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names
        self.scope: dict[str, Any] = {}

    def _bind(self, stem: str, value: object) -> str:
        name = f"{stem}_{len(self.scope)}"
        self.scope[name] = value
        return name


class UnsupportedSchemaError(Exception):
    """A schema that is read plainly: its types differ from the struct's in kind, or a field is missing."""


def compile_reader(schema: Any, names: Mapping[str, Any], event: type[Event]) -> Reader:
    """Return the reader of a writer's record into an event type.

    schema, names: as `contracts.parsed` gives them. Fields that the event type does not know are
    read over; fields that the writer does not know take the event's defaults.
    Raises UnsupportedSchemaError.
    """
    source = _ReaderSource(names)
    reader: Reader = source.scope[source.record(schema, msgspec.inspect.type_info(event))]
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


class _ReaderSource(_Source):
    """Writes and compiles the functions that read one writer's schema."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        super().__init__(names)
        self.scope |= {
            "unsigned": unsigned,
            "long": long,
            "length": length,
            "day": day,
            "days": DAY_OF_BYTES,
            "instant": instant,
            "instant_of": instant_of,
            "double": struct.Struct("<d").unpack_from,
            "infinity": _INFINITY,
        }
        self._functions: dict[tuple[str, object], str] = {}

    def record(self, schema: Any, kind: Any) -> str:
        """Compile a record's function into the scope and return its name."""
        if kind is not None and not isinstance(kind, msgspec.inspect.StructType):
            raise UnsupportedSchemaError
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
            raise UnsupportedSchemaError
        made = "None" if cls is None else f"{self._bind(cls.__name__, cls)}({', '.join(arguments)})"
        lines = [f"def {name}(data, i):", *_indented(body), f"    return {made}, i"]
        # Only names of ours and numbers are in the lines: what a foreign schema calls things is bound as a value.
        exec(compile("\n".join(lines), f"<reader of {schema['name']}>", "exec"), self.scope)  # nosec B102
        return name

    def _lines(self, schema: Any, kind: Any, v: str, depth: int) -> list[str]:
        """Return the lines that read a value into the variable `v`; `kind` None reads over it."""
        if isinstance(schema, str) and schema in self._names:
            schema = self._names[schema]
        if isinstance(schema, list):
            return self._union(schema, kind, v, depth)
        if isinstance(schema, dict) and REFUSED in schema:
            raise UnsupportedSchemaError
        type_ = schema if isinstance(schema, str) else schema["type"]
        logical = None if isinstance(schema, str) else schema.get("logicalType")
        match type_:
            case "record":
                return [f"{v}, i = {self.record(schema, kind)}(data, i)"]
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
            case "long" if (
                logical in PER_MILLISECOND
                and logical != "timestamp-millis"
                and isinstance(kind, msgspec.inspect.DateTimeType)
            ):
                return [*_NUMBER.format(v=v).split("\n"), f"{v} = instant_of({v} // {PER_MILLISECOND[logical]})"]
            case "long" if logical == "timestamp-millis" and isinstance(kind, msgspec.inspect.DateTimeType):
                return [f"{v}, i = instant(data, i)"]
            case "int" | "long" if kind is None or (isinstance(kind, msgspec.inspect.IntType) and logical is None):
                return self._integer(type_, kind, v)
        raise UnsupportedSchemaError

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
            raise UnsupportedSchemaError
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
            raise UnsupportedSchemaError
        allowed = kind.values if isinstance(kind, msgspec.inspect.LiteralType) else symbols
        table = {2 * index: symbol for index, symbol in enumerate(symbols[:64]) if kind is None or symbol in allowed}
        return [f"{v} = {self._bind('symbols', table)}[data[i]]", "i += 1"]

    def _union(self, branches: list[Any], kind: Any, v: str, depth: int) -> list[str]:
        if "null" not in branches or len(branches) != 2:
            raise UnsupportedSchemaError
        null = branches.index("null")
        inner = None
        if kind is not None:
            if not isinstance(kind, msgspec.inspect.UnionType) or len(kind.types) != 2:
                raise UnsupportedSchemaError
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
                raise UnsupportedSchemaError
            inner = kind.item_type
        item, items = f"item{depth}", f"items{depth}"
        body = [*self._lines(schema["items"], inner, item, depth + 1), f"{items}.append({item})"]
        return [f"{items} = []", *_blocks(depth), *_indented(body, 8), f"{v} = tuple({items})"]

    def _map(self, schema: Any, kind: Any, v: str, depth: int) -> list[str]:
        inner = None
        if kind is not None:
            if not isinstance(kind, msgspec.inspect.DictType):
                raise UnsupportedSchemaError
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


_KEPT_STRINGS = 4_096
# One byte of length for strings below 64 bytes; small numbers as they are met most.
_LENGTHS = [bytes_of_long(size) for size in range(64)]
_NUMBERS = {number: bytes_of_long(number) for number in range(-64, 1_024)}


def compile_writer(schema: Any, names: Mapping[str, Any], event: type[Event]) -> Writer:
    """Return the writer of an event type in its contract's schema, as `contracts.parsed` gives it."""
    source = _WriterSource(names)
    writer: Writer = source.scope[source.record(schema, msgspec.inspect.type_info(event))]
    return writer


def bytes_of_text(text: str) -> bytes:
    """Write a string: its length in bytes, then UTF-8."""
    raw = text.encode()
    return (_LENGTHS[size] if (size := len(raw)) < 64 else bytes_of_long(size)) + raw


def bytes_of_bytes(raw: bytes) -> bytes:
    """Write bytes: how many, then they."""
    return bytes_of_long(len(raw)) + raw


class _WriterSource(_Source):
    """Writes and compiles the functions that write one contract."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        super().__init__(names)
        self._texts: dict[str, bytes] = {}
        self.scope |= {
            "text": bytes_of_text,
            "raw": bytes_of_bytes,
            "known_text": self._texts.get,
            "keep_text": self._keep,
            "number": bytes_of_long,
            "small": _NUMBERS.get,
            "days": BYTES_OF_DAY.get,
            "day": bytes_of_day,
            "instant": bytes_of_instant,
            "double": struct.Struct("<d").pack,
            "join": b"".join,
        }
        self._functions: dict[type, str] = {}

    def _keep(self, text: str) -> bytes:
        out = bytes_of_text(text)
        if len(self._texts) < _KEPT_STRINGS:
            self._texts[text] = out
        return out

    def record(self, schema: Any, kind: Any) -> str:
        """Compile a record's function into the scope and return its name."""
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
        exec(compile(source, f"<writer of {schema['name']}>", "exec"), self.scope)  # nosec B102
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
                return f"{self.record(schema, kind)}({v})"
            case "enum", _:
                table = {symbol: bytes_of_long(index) for index, symbol in enumerate(schema["symbols"])}
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
