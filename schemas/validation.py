"""Whether values keep their contract, and a sentence for each that does not."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection
from datetime import date, datetime
from typing import Any, TypeVar

import msgspec

from schemas.errors import BadInput
from schemas.events import EVENT_TYPES, Event
from schemas.readers import ID_PATTERN

E = TypeVar("E", bound=Event)

_NATIVE = (date, datetime, bytes)
_MISSING = re.compile(r"^Object missing required field `(?P<field>[^`]+)`")
_PATTERNS = {ID_PATTERN: "1 to 64 visible characters", "^[A-Z]{3}$": "three capital letters (ISO 4217)"}
_FORMS = {
    "Invalid RFC3339 encoded date": "Expected a date as YYYY-MM-DD",
    "Invalid RFC3339 encoded datetime": "Expected an instant as YYYY-MM-DDThh:mm:ssZ",
    "Expected `datetime` with a timezone component": "Expected an instant with its time zone, as in …T08:30:00Z",
}


def check(event: Event) -> None:
    """Raise BadInput where an event that was built by hand breaks a range of its contract.

    Structs do not look at their values when they are made; what is decoded has been checked.
    """
    try:
        value = msgspec.to_builtins(event, builtin_types=_NATIVE)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput("wrong_type", f"{type(event).__name__} holds a value of no contract type: {error}.") from error
    typed(value, type(event))


def typed(value: Any, event: type[E]) -> E:
    """Return the event that plain values (dates and instants as such) make.

    Raises BadInput with the field at fault: `out_of_range`, `wrong_type`, `missing_field`, `unknown_value`.
    """
    try:
        made = msgspec.convert(value, event)
    except msgspec.ValidationError as error:
        raise refusal(error, event.__name__) from error
    odd = _not_finite(value, "")
    if odd is not None:
        raise BadInput("out_of_range", f"{event.__name__}.{odd} is not a finite number. Send a number.", odd)
    return made


def refusal(error: msgspec.ValidationError, record: str) -> BadInput:
    """Return the BadInput for a contract that is broken, with code, field and remedy."""
    text, _, place = str(error).partition(" - at `")
    field = place.rstrip("`").removeprefix("$").removeprefix(".")
    missing = _MISSING.match(text)
    if missing is not None:
        field = f"{field}.{missing['field']}" if field else missing["field"]
        return BadInput("missing_field", f"{record} has no {field}. Add it; it has no default.", field)
    # Which value it was may be personal, and the sentence goes to logs and dead letters.
    want = _FORMS.get(text, "Invalid enum value" if text.startswith("Invalid enum value") else text).replace("`", "")
    for pattern, words in _PATTERNS.items():
        want = want.replace(f"Expected str matching regex {pattern!r}", f"Expected {words}")
    where = f"{record}.{field}" if field else record
    return BadInput(_code(text), f"{where}: {want[0].lower()}{want[1:]}. Correct it at its source.", field or None)


def unknown_type(name: object) -> BadInput:
    """Return the BadInput for a `type` that no contract has, with the names nearest to it."""
    near = difflib.get_close_matches(str(name), EVENT_TYPES, n=3, cutoff=0.6)
    hint = f"Did you mean {' or '.join(near)}?" if near else "The records of each topic are in schemas/topics.py."
    return BadInput("unknown_schema", f"No contract is called {str(name)[:80]!r}. {hint}", "type")


def unexpected_type(record: str, allowed: Collection[type[Event]]) -> BadInput:
    """Return the BadInput for a record that is not of a topic's closed set."""
    names = ", ".join(sorted(cls.__name__ for cls in allowed))
    return BadInput("unexpected_type", f"{record} does not belong here. Send it to its own topic; here go {names}.")


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
