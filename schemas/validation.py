"""Whether values keep their contract, and a sentence for each that does not."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection
from datetime import date, datetime
from typing import Any, TypeVar

import msgspec

from schemas.errors import InvalidEventError
from schemas.events import EVENT_TYPES, MAX_LONG, Event, Id

E = TypeVar("E", bound=Event)

ID_PATTERN = msgspec.inspect.type_info(Id).pattern  # type: ignore[attr-defined]

_NATIVE = (date, datetime, bytes)
_MISSING = re.compile(r"^Object missing required field `(?P<field>[^`]+)`")
_PATTERNS = {ID_PATTERN: "1 to 64 visible characters", "^[A-Z]{3}$": "three capital letters (ISO 4217)"}
_FORMS = {
    "Invalid RFC3339 encoded date": "Expected a date as YYYY-MM-DD",
    "Invalid RFC3339 encoded datetime": "Expected an instant as YYYY-MM-DDThh:mm:ssZ",
    "Expected `datetime` with a timezone component": "Expected an instant with its time zone, as in …T08:30:00Z",
}


def check(event: Event) -> None:
    """Raise InvalidEventError where an event that was built by hand breaks a range of its contract.

    Structs do not look at their values when they are made; what is decoded has been checked.
    """
    try:
        value = msgspec.to_builtins(event, builtin_types=_NATIVE)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidEventError(
            "wrong_type", f"{type(event).__name__} holds a value of no contract type: {error}."
        ) from error
    typed(value, type(event))


def typed(value: Any, event: type[E]) -> E:
    """Return the event that plain values (dates and instants as such) make.

    Raises InvalidEventError with the field at fault: `out_of_range`, `wrong_type`, `missing_field`, `unknown_value`.
    """
    try:
        made = msgspec.convert(value, event)
    except msgspec.ValidationError as error:
        raise refusal(error, event.__name__) from error
    odd = _not_finite(value, "")
    if odd is not None:
        raise InvalidEventError("out_of_range", f"{event.__name__}.{odd} is not a finite number. Send a number.", odd)
    return made


def refusal(error: msgspec.ValidationError, record: str) -> InvalidEventError:
    """Return the InvalidEventError for a contract that is broken, with code, field and remedy.

    record: the event's name.
    """
    text, _, place = str(error).partition(" - at `")
    field = place.rstrip("`").removeprefix("$").removeprefix(".")
    missing = _MISSING.match(text)
    if missing is not None:
        field = f"{field}.{missing['field']}" if field else missing["field"]
        return InvalidEventError("missing_field", f"{record} has no {field}. Add it; it has no default.", field)
    # Which value it was may be personal, and the sentence goes to logs and dead letters.
    kind, code, remedy = _kind_at(EVENT_TYPES[record], place.rstrip("`")), _code(text), "Correct it at its source."
    want = _FORMS.get(text, text).replace("`", "")
    if code == "unknown_value" and isinstance(kind, msgspec.inspect.LiteralType):
        want, remedy = "a value that is not allowed", f"Send one of {', '.join(map(str, kind.values))}."
    elif code == "wrong_type" and isinstance(kind, msgspec.inspect.IntType) and kind.le == MAX_LONG:
        remedy = "Send money as an integer number of minor units: 12.50 in a currency of two decimals is 1250."
    for pattern, words in _PATTERNS.items():
        want = want.replace(f"Expected str matching regex {pattern!r}", f"Expected {words}")
    where = f"{record}.{field}" if field else record
    return InvalidEventError(code, f"{where}: {want[0].lower()}{want[1:]}. {remedy}", field or None)


def _kind_at(record: type[msgspec.Struct], path: str) -> msgspec.inspect.Type | None:
    """Return the type at a path of msgspec's, such as `$.instalments[0].due_on`; None where it leads nowhere."""
    found: msgspec.inspect.Type | None = msgspec.inspect.type_info(record)
    for step in re.findall(r"\.([^.\[]+)|(\[[^\]]*\])", path.removeprefix("$")):
        if isinstance(found, msgspec.inspect.StructType):
            found = next((f.type for f in found.fields if f.encode_name == step[0]), None)
        elif isinstance(found, msgspec.inspect.VarTupleType):
            found = found.item_type
        elif isinstance(found, msgspec.inspect.DictType):
            found = found.value_type
        if isinstance(found, msgspec.inspect.UnionType):
            found = next((t for t in found.types if not isinstance(t, msgspec.inspect.NoneType)), None)
    return found


def unknown_type(name: object) -> InvalidEventError:
    """Return the InvalidEventError for a `type` that no contract has, with the names nearest to it."""
    near = difflib.get_close_matches(str(name), EVENT_TYPES, n=3, cutoff=0.6)
    hint = f"Did you mean {' or '.join(near)}?" if near else "The records of each topic are in schemas/topics.py."
    return InvalidEventError("unknown_schema", f"No contract is called {str(name)[:80]!r}. {hint}", "type")


def unexpected_type(record: str, allowed: Collection[type[Event]]) -> InvalidEventError:
    """Return the InvalidEventError for a record that is not of a topic's closed set."""
    names = ", ".join(sorted(cls.__name__ for cls in allowed))
    return InvalidEventError(
        "unexpected_type", f"{record} does not belong here. Send it to its own topic; here go {names}."
    )


def _code(text: str) -> str:
    if text.startswith("Invalid enum value"):
        return "unknown_value"
    if ", got `" in text or text in ("Expected `str`", "Expected `int`"):
        return "wrong_type"
    return "out_of_range"


def _not_finite(value: Any, where: str) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else where
    if isinstance(value, dict):
        parts = [(f"{where}.{key}" if where else str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        parts = [(f"{where}[{index}]", item) for index, item in enumerate(value)]
    else:
        return None
    return next((found for place, item in parts if (found := _not_finite(item, place)) is not None), None)
