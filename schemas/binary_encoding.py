"""Avro's binary encoding of our records: readers made from plans, writers from schemas, a Python function a record.

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

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from schemas import read_plan as plans
from schemas.events import Event
from schemas.validation import ID_PATTERN

Reader = Callable[[bytes, int], tuple[Event, int]]
Writer = Callable[[Event], bytes]
REFUSALS = (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError, struct.error)
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


_LEAVES = {
    "text": f"{_SLICE}\n{{v}} = str(data[i:j], 'utf-8')\ni = j",
    # Stricter than the pattern, and far quicker; what differs is left to the plain reader.
    "id": f"{_SLICE}\n{{v}} = str(data[i:j], 'utf-8')\ni = j\n"
    "if not (0 < len({v}) <= 64 and {v}.isprintable() and ' ' not in {v}):\n    raise ValueError",
    "bytes": f"{_SLICE}\n{{v}} = data[i:j]\ni = j",
    "boolean": "{v} = booleans[data[i]]\ni += 1",
    "double": "{v} = double(data, i)[0]\ni += 8\nif not -infinity < {v} < infinity:\n    raise ValueError",
    "date": "{v} = days.get(data[i : i + 3])\nif {v} is None:\n    {v}, i = day(data, i)\nelse:\n    i += 3",
}


class _Source:
    """Writes and compiles functions, a record each."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}

    def _bind(self, stem: str, value: object) -> str:
        name = f"{stem}_{len(self.scope)}"
        self.scope[name] = value
        return name


def reader_of(plan: plans.RecordPlan) -> Reader:
    """Return the reader of a plan, in Python."""
    source = _ReaderSource()
    reader: Reader = source.scope[source.record(plan)]
    return reader


class _ReaderSource(_Source):
    """Writes and compiles the functions that read by one plan."""

    def __init__(self) -> None:
        super().__init__()
        self.scope |= {
            "unsigned": unsigned,
            "long": long,
            "length": length,
            "day": day,
            "days": DAY_OF_BYTES,
            "instant": instant,
            "instant_of": instant_of,
            "double": struct.Struct("<d").unpack_from,
            "booleans": {0: False, 1: True},
            "infinity": _INFINITY,
        }
        self._functions: dict[int, str] = {}

    def record(self, plan: plans.RecordPlan) -> str:
        """Compile a record's function into the scope and return its name."""
        if id(plan) in self._functions:
            return self._functions[id(plan)]
        body: list[str] = []
        arguments: list[str] = []
        for number, (attribute, part) in enumerate(plan.fields):
            body += self._lines(part, f"v{number}", 0)
            if attribute is not None:
                arguments.append(f"{attribute}=v{number}")
        made = "None" if plan.cls is None else f"{self._bind(plan.cls.__name__, plan.cls)}({', '.join(arguments)})"
        name = self._functions[id(plan)] = f"read_{len(self.scope)}"
        lines = [f"def {name}(data, i):", *_indented(body), f"    return {made}, i"]
        # Only names of ours and numbers are in the lines: what a foreign schema calls things is bound as a value.
        exec(compile("\n".join(lines), f"<reader of {plan.cls and plan.cls.__name__}>", "exec"), self.scope)  # nosec B102
        return name

    def _lines(self, plan: plans.Plan, v: str, depth: int) -> list[str]:
        """Return the lines that read a value into the variable `v`."""
        match plan:
            case plans.RecordPlan():
                return [f"{v}, i = {self.record(plan)}(data, i)"]
            case plans.Optional(null, value):
                return [
                    "n = data[i]",
                    "i += 1",
                    f"if n == {2 * null}:",
                    f"    {v} = None",
                    f"elif n == {2 * (1 - null)}:",
                    *_indented(self._lines(value, v, depth)),
                    "else:",
                    "    raise ValueError",
                ]
            case plans.Array(item):
                body = [*self._lines(item, f"item{depth}", depth + 1), f"items{depth}.append(item{depth})"]
                return [f"items{depth} = []", *_blocks(depth), *_indented(body, 8), f"{v} = tuple(items{depth})"]
            case plans.Map(value):
                key = self._lines(plans.Leaf("text"), f"key{depth}", depth + 1)
                body = [*key, *self._lines(value, f"item{depth}", depth + 1), f"items{depth}[key{depth}] = item{depth}"]
                return [f"items{depth} = {{}}", *_blocks(depth), *_indented(body, 8), f"{v} = items{depth}"]
            case plans.Enum(symbols):
                table = {2 * index: symbol for index, symbol in enumerate(symbols) if symbol is not None}
                return [f"{v} = {self._bind('symbols', table)}[data[i]]", "i += 1"]
            case plans.Integer(low, high):
                return [*_NUMBER.format(v=v).split("\n"), *_within(v, low, high)]
            case plans.Instant(1):
                return [f"{v}, i = instant(data, i)"]
            case plans.Instant(units):
                return [*_NUMBER.format(v=v).split("\n"), f"{v} = instant_of({v} // {units})"]
            case plans.Name(table, fill):
                known, name = self._bind("kept", table.get), self._bind("name", fill)
                return [*_SLICE.split("\n"), "raw = data[i:j]", f"{v} = {known}(raw) or {name}(raw)", "i = j"]
            case plans.Leaf(kind):
                return _LEAVES[kind].format(v=v).split("\n")


def _within(v: str, low: int, high: int) -> list[str]:
    if high < 2**63 - 1:
        return [f"if not {low} <= {v} <= {high}:", "    raise ValueError"]
    return [f"if {v} < {low}:", "    raise ValueError"] if low > -(2**63) else []


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
        super().__init__()
        self._names = names
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
