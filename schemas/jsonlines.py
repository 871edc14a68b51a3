"""Events as JSON lines: `{"type": "PaymentReceived", …}`, dates ISO 8601, money integer minor units."""

from __future__ import annotations

import difflib
import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from schemas import containers, resolution
from schemas.errors import InvalidEventError, Rejected, UsageError, rejected
from schemas.events import EVENT_TYPES, AnyEvent, Event
from schemas.validation import refusal, unknown_type

MAX_LINE = 64 * 2**20

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_encoder = msgspec.json.Encoder()
_decode = resolution.aliased_decoder(msgspec.json.Decoder(AnyEvent).decode, msgspec.json.decode, _encoder.encode)


def to_line(event: Event) -> bytes:
    """Return an event as one JSON line, its newline included: `type` first, then the fields of its contract."""
    return _encoder.encode(event) + b"\n"


def from_line(line: bytes) -> Event:
    """Return the event of one JSON line; its instant is brought to UTC and cut to the millisecond, as Avro has it.

    Raises InvalidEventError (`invalid_json`, `unknown_schema`, `missing_field`, `wrong_type`, `unknown_value`,
    `out_of_range`) with the field at fault and what to do.
    """
    try:
        event = cast(Event, _decode(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _explained(line, error) from error
    at = event.occurred_at
    if at.tzinfo is not UTC or at.microsecond % 1_000:
        return _in_utc(event)
    return event


def unknown_fields(value: object, kind: type[msgspec.Struct]) -> list[str]:
    """Return the paths of the fields of an event's plain JSON value, parts included, that its contract has not got."""
    if not isinstance(value, dict):
        return []
    parts = _parts_of(kind)
    found = [name for name in value if name not in parts]
    for name, part in parts.items():
        if part is not None and name in value:
            inner = value[name]
            for number, one in enumerate(inner if isinstance(inner, list) else [inner]):
                place = f"{name}[{number}]" if isinstance(inner, list) else name
                found += [f"{place}.{below}" for below in unknown_fields(one, part)]
    return found


@cache
def _parts_of(kind: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct] | None]:
    """Return a contract's fields by name, each with the contract of what it holds where that is a part of its own."""
    parts: dict[str, type[msgspec.Struct] | None] = {"type": None} if issubclass(kind, Event) else {}
    for field in msgspec.structs.fields(kind):
        inner = msgspec.inspect.type_info(field.type)
        if isinstance(inner, msgspec.inspect.UnionType):
            inner = next(t for t in inner.types if not isinstance(t, msgspec.inspect.NoneType))
        if isinstance(inner, msgspec.inspect.VarTupleType):
            inner = inner.item_type
        parts[field.encode_name] = inner.cls if isinstance(inner, msgspec.inspect.StructType) else None
    return parts


def without_place(kind: type[msgspec.Struct], path: str) -> str:
    """Return a sentence on a field that a contract has not got, with the name that was probably meant."""
    *above, name = re.sub(r"\[\d+\]", "", path).split(".")
    for step in above:
        kind = _parts_of(kind)[step] or kind
    known = [other for other in _parts_of(kind) if other != "type"]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"It has {', '.join(known)}."
    return f"{kind.__name__} has no field {name[:80]!r}. {hint}"


def read_events(
    path: Path | str,
    fit: Callable[[Event], None] | None = None,
    strange: Callable[[int, Event, list[str]], None] | None = None,
) -> Iterator[Event | Rejected]:
    """Return what a file holds, one after another: events, and where one is refused, why; the rest goes on.

    path: JSON lines or an Avro container file, gzipped or not, told apart by their first bytes;
    `-` is the standard input. Blank lines are skipped. fit: raises InvalidEventError where an event is to be refused.
    strange: told the line, its event, and the fields that no contract has; they are no part of the event.
    Raises UsageError where the file cannot be opened.
    """
    name = str(path)
    with ExitStack() as open_files:
        try:
            raw = sys.stdin.buffer if name == "-" else open_files.enter_context(Path(name).open("rb"))
            stream = containers.Ahead(raw)
            if stream.peek(2) == _GZIP:
                stream = containers.Ahead(
                    cast(BinaryIO, open_files.enter_context(gzip.GzipFile(fileobj=cast(BinaryIO, stream))))
                )
        except OSError as error:
            raise UsageError(
                f"{name} cannot be read: {error.strerror}. Name a file of events, or - for input."
            ) from error
        try:
            is_container = stream.peek(4) == containers.MAGIC
        except (OSError, EOFError, zlib.error) as error:
            yield rejected(name, 1, _broken(error), b"")
            return
        if is_container:
            yield from _fitting(containers.read(stream, name), name, fit)
        else:
            yield from _lines(stream, name, fit, strange)


def _fitting(
    found: Iterator[Event | Rejected], name: str, fit: Callable[[Event], None] | None
) -> Iterator[Event | Rejected]:
    """Yield what a container file holds; an event that does not fit is refused by its number."""
    for number, item in enumerate(found, 1):
        if fit is not None and isinstance(item, Event):
            try:
                fit(item)
            except InvalidEventError as error:
                yield rejected(name, number, error, b"")
                continue
        yield item


def _lines(
    stream: containers.Ahead,
    name: str,
    fit: Callable[[Event], None] | None,
    strange: Callable[[int, Event, list[str]], None] | None,
) -> Iterator[Event | Rejected]:
    number = 0
    while True:
        number += 1
        try:
            line = stream.readline(MAX_LINE)
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                while (more := stream.readline(MAX_LINE)) and not more.endswith(b"\n"):
                    pass
                long = InvalidEventError(
                    "too_long", f"The line has {MAX_LINE} bytes or more. Put one event on each line."
                )
                yield rejected(name, number, long, line[:200])
                continue
        except (OSError, EOFError, zlib.error) as error:
            yield rejected(name, number, _broken(error), b"")
            return
        if not line:
            return
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.isspace():
            continue
        try:
            event = from_line(line)
            if fit is not None:
                fit(event)
            if strange is not None and (found := unknown_fields(_plain(line), type(event))):
                strange(number, event, found)
        except InvalidEventError as error:
            yield rejected(name, number, error, line.rstrip(b"\r\n"))
        else:
            yield event


def _plain(line: bytes) -> object:
    """Return the plain value of a line that holds an event.

    Raises InvalidEventError where what no contract has is no JSON.
    """
    try:
        try:
            return resolution.present_event(msgspec.json.decode(line))
        except msgspec.ValidationError:
            # A number that fits nothing, in a field that is left out.
            return resolution.present_event(json.loads(line))
    except (ValueError, RecursionError) as error:
        raise InvalidEventError("invalid_json", f"The line is not JSON: {_place(line, error)}. Correct it.") from error


def _broken(error: Exception) -> InvalidEventError:
    return InvalidEventError(
        "unreadable", f"The file breaks off here: {error}. Fetch it again; what came before was read."
    )


def _in_utc(event: Event) -> Event:
    at = event.occurred_at
    try:
        at = at.replace(microsecond=at.microsecond // 1_000 * 1_000).astimezone(UTC)
    except OverflowError as error:
        raise InvalidEventError(
            "out_of_range",
            f"{type(event).__name__}.occurred_at is outside the years 1 to 9999 in UTC. Send a real instant.",
            "occurred_at",
        ) from error
    return msgspec.structs.replace(event, occurred_at=at)


def _explained(line: bytes, error: Exception) -> InvalidEventError:
    """Return why a line was refused. Slow: only what is wrong comes here."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        return InvalidEventError("invalid_json", f"The line is not JSON: {_place(line, broken)}. Correct it.")
    if not isinstance(value, dict):
        hint = " A file that is one array: put each event on a line of its own." if isinstance(value, list) else ""
        return InvalidEventError(
            "wrong_type", f'The line holds no JSON object. Send {{"type": …}} with its fields.{hint}'
        )
    name = value.get("type")
    if name is None:
        return InvalidEventError(
            "missing_field", 'The event has no type. Add "type": "PaymentReceived" or the like.', "type"
        )
    record = EVENT_TYPES.get(resolution.present_name(name)) if isinstance(name, str) else None
    if record is None:
        return unknown_type(name)
    if not isinstance(error, msgspec.ValidationError):
        return InvalidEventError("invalid_json", f"The line is not JSON: {_place(line, error)}. Correct it.")
    found = refusal(error, record.__name__)
    if found.code == "missing_field" and found.field is not None and found.field.isidentifier():
        known = {field.encode_name for field in msgspec.structs.fields(record)}
        near = difflib.get_close_matches(found.field, [k for k in value if k not in known and k != "type"], n=1)
        if near:
            return InvalidEventError(found.code, f"{found.message} It has {near[0]!r}: is that it?", found.field)
    return found


def _place(line: bytes, error: Exception) -> str:
    """Return what a JSON error says, with its place as a column counted from 1."""
    if isinstance(error, UnicodeDecodeError):
        return f"its text is not UTF-8 at column {line.find(error.object[error.start : error.end]) + 1}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = str(error).removeprefix("JSON is malformed: ")
    if text.endswith(")") and "(byte " in text:
        words, _, byte = text[:-1].rpartition(" (byte ")
        return f"{words} at column {int(byte) + 1}"
    return f"it ends too early, at column {len(line.rstrip()) + 1}"
