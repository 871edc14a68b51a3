"""Limits of dates, amounts, ids and texts in events. The agents reject an event beyond them as a slip of its sender.

A date in the year 1 or 9999 cannot be moved to another time zone or by a day, and sums of amounts near 2**63 fit no
Avro long: neither is a date or an amount of a loan. So the limits are far outside of what is real and far inside of
what can be computed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import msgspec

from schemas import events as ev
from schemas.errors import InvalidEventError
from schemas.topics import PERSONAL_TOPICS, TOPIC_OF
from schemas.validation import ID_PATTERN

FIRST_YEAR, LAST_YEAR = 1900, 2199
# Where the seconds of 1970 to LAST_YEAR and beyond come to lie when they are taken for milliseconds.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = _EPOCH + timedelta(milliseconds=10**10)
_SECONDS_TAKEN = (
    "lies in the first weeks of 1970, where seconds come to lie that are taken for milliseconds. Send milliseconds "
    "since 1970-01-01, UTC."
)
# One amount, and all that one account asks for: a trillion in a currency with two decimals.
MAX_AMOUNT = 10**14
# All that a borrower's troubled accounts come to, charges included. At the highest rate and the longest term it still
# costs less than 2**63.
MAX_OWED = 4 * MAX_AMOUNT
# All that one account may have received.
MAX_RECEIVED = 2**61
# Sums of smaller amounts do not come near that, however many there are.
NEGLIGIBLE_AMOUNT = 10**11

# How many entries one key has in its state, and how long a text in it may be: a state is one record of Kafka, and one
# that is too large for it would stop its partition for good.
MAX_ENTRIES = 2_000
MAX_CASES = 1_000
MAX_TEXT = 500
# Free text that is neither read nor stored.
_NOT_STORED = frozenset({"comment"})

# What a page shows nothing of: controls, Unicode's Default_Ignorable_Code_Point, and blank letters. With one of these
# two ids would look the same and be different.
_INVISIBLE = re.compile(
    "[\x80-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

_MONEY = frozenset(
    {
        "amount",
        "principal",
        "interest",
        "fees",
        "penalty",
        "amount_due",
        "paid",
        "credit",
        "charged",
        "statement_principal",
        "allowance",
        "counter_amount",
        "monthly_income",
        "monthly_expenses",
        "other_debt_payments",
    }
)
# Tables of texts or of amounts by category.
_TABLES = frozenset({"spending", "classes"})
_Check = Callable[[Any], None]


def check_event(event: ev.Event) -> None:
    """Raise InvalidEventError (`out_of_range`) where a date, an amount or an id of an event is beyond its limits.

    It checks events that come in, not stored ones: those were checked once.
    """
    _check_of(type(event))(event)


def is_personal(kind: type[ev.Event]) -> bool:
    """Return whether an event is about a person: no message may then repeat a value of it, except ids."""
    return kind in TOPIC_OF and TOPIC_OF[kind].name in PERSONAL_TOPICS


def check_close_date(day: ev.DayClosed, closed_through: date | None, most_skipped: int) -> None:
    """Raise InvalidEventError (`out_of_range`) where a close is too far behind the last, or the first behind its time.

    A date that is closed cannot be opened again, so a slip of the year would end all business until then.
    """
    check_event(day)
    since = closed_through or day.occurred_at.date()
    if day.business_date > since + timedelta(days=most_skipped):
        last = f"the last close, of {since}" if closed_through else f"its own time, {since}"
        raise InvalidEventError(
            "out_of_range",
            f"DayClosed {day.event_id} closes {day.business_date}, more than {most_skipped} days behind {last}. If it "
            "is no slip, close the days in between first, or raise the policy's business.most_days_skipped.",
            "business_date",
        )


def check_days_ahead(event: ev.Event, day: int, closed: int, most_ahead: int) -> None:
    """Raise InvalidEventError (`out_of_range`) where a fact's day is too far behind the last close (ordinals)."""
    if closed and day > closed + most_ahead:
        counts = "a day" if is_personal(type(event)) else f"{date.fromordinal(day)},"
        raise InvalidEventError(
            "out_of_range",
            f"{type(event).__name__} {event.event_id} counts from {counts} more than {most_ahead} days "
            f"behind the last close, of {date.fromordinal(closed)}. If it is no slip of the date, send it nearer to "
            "its day, or raise the policy's business.most_days_ahead.",
        )


def check_entries(event: ev.Event, kept: int, most: int = MAX_ENTRIES) -> None:
    """Raise InvalidEventError (`too_many`) where a key's state already holds as many things as it may."""
    if kept >= most:
        raise InvalidEventError(
            "too_many",
            f"{type(event).__name__} {event.event_id} is one too many: {kept} things are kept for its key already. "
            "Close the days for which they wait, or correct what is sent, then replay the dead letter.",
        )


def check_total(event: ev.Event, amounts: Iterable[int], field: str, most: int = MAX_AMOUNT) -> None:
    """Raise InvalidEventError (`out_of_range`) where amounts together are more than there may be."""
    if sum(amounts) > most:
        raise InvalidEventError(
            "out_of_range",
            f"With {type(event).__name__} {event.event_id} there are more than {most} minor units. "
            "Check the amount and its unit.",
            field,
        )


@cache
def _check_of(kind: type[msgspec.Struct]) -> _Check:
    return _check_fields(kind, issubclass(kind, ev.Event) and is_personal(kind))


@cache
def _check_fields(kind: type[msgspec.Struct], personal: bool) -> _Check:
    """Return the check of a struct and of its parts. personal: no message may repeat a value."""
    dates, instants, amounts, ids, texts, tables = [], [], [], [], [], []
    parts: list[tuple[str, _Check, bool]] = []
    all_required = True
    for field in msgspec.structs.fields(kind):
        info = msgspec.inspect.type_info(field.type)
        inner = _not_none(info)
        all_required = all_required and inner is info
        if isinstance(inner, msgspec.inspect.DateType | msgspec.inspect.DateTimeType):
            dates.append(field.name)
            instants += [field.name] if isinstance(inner, msgspec.inspect.DateTimeType) else []
        elif field.name in _MONEY:
            amounts.append(field.name)
        elif isinstance(inner, msgspec.inspect.StrType) and inner.pattern == ID_PATTERN:
            ids.append(field.name)
        elif isinstance(inner, msgspec.inspect.StrType) and inner.max_length is None and field.name not in _NOT_STORED:
            texts.append(field.name)
        elif isinstance(inner, msgspec.inspect.StructType):
            parts.append((field.name, _check_fields(inner.cls, personal), False))
        elif isinstance(inner, msgspec.inspect.VarTupleType) and isinstance(
            inner.item_type, msgspec.inspect.StructType
        ):
            parts.append((field.name, _check_fields(inner.item_type.cls, personal), True))
        elif field.name in _TABLES:
            tables.append(field.name)

    def check(value: Any) -> None:
        for name in dates:
            day = getattr(value, name)
            if day is not None and not FIRST_YEAR <= day.year <= LAST_YEAR:
                said = "is" if personal else f"is {day.isoformat()},"
                where = f"outside the years {FIRST_YEAR} to {LAST_YEAR}"
                raise _fault(value, name, f"{said} {where}. Send the real date.")
        for name in instants:
            at = getattr(value, name)
            if at is not None and at.year == _EPOCH.year and at < _SECONDS:
                raise _fault(value, name, _SECONDS_TAKEN)
        for name in amounts:
            amount = getattr(value, name)
            if amount is not None and abs(amount) > MAX_AMOUNT:
                raise _amount_out_of_range(value, name, None if personal else amount)
        for name in ids:
            text = getattr(value, name)
            if text is not None and not text.isascii() and _INVISIBLE.search(text):
                raise _invisible_character(value, name, None if personal else text)
        for name in texts:
            text = getattr(value, name)
            if text is not None and len(text) > MAX_TEXT:
                raise _too_long(value, name, f"{len(text)} characters, more than {MAX_TEXT}")
        for name, check_part, many in parts:
            part = getattr(value, name)
            if many and len(part) >= MAX_ENTRIES:
                few = f"an account keeps fewer than {MAX_ENTRIES}. Send fewer."
                raise _fault(value, name, f"has {len(part)} entries, and {few}", "too_many")
            for one in part if many else () if part is None else (part,):
                check_part(one)
        for name in tables:
            if len(getattr(value, name)) > MAX_TEXT:
                raise _too_long(value, name, f"{len(getattr(value, name))} entries, more than {MAX_TEXT}")
            for category, entry in getattr(value, name).items():
                longest = max(len(category), len(entry) if isinstance(entry, str) else 0)
                if longest > MAX_TEXT:
                    raise _too_long(value, name, f"an entry of {longest} characters, more than {MAX_TEXT}")
                if isinstance(entry, int) and abs(entry) > MAX_AMOUNT:
                    raise _amount_out_of_range(value, name, None if personal else entry)

    if not all_required or parts or tables:
        return check
    # Payments come by the million: one expression takes half the time of the loops, which then only name what is wrong.
    tests = [f"{FIRST_YEAR} <= e.{name}.year <= {LAST_YEAR}" for name in dates]
    tests += [f"e.{name}.year != {_EPOCH.year}" for name in instants]
    tests += [f"{-MAX_AMOUNT} <= e.{name} <= {MAX_AMOUNT}" for name in amounts]
    tests += [f"e.{name}.isascii()" for name in ids] + [f"len(e.{name}) <= {MAX_TEXT}" for name in texts]
    scope: dict[str, Any] = {"check": check}
    exec(f"def quick(e):\n    if not ({' and '.join(tests) or True}):\n        check(e)", scope)  # nosec B102
    quick: _Check = scope["quick"]
    return quick


def _not_none(info: Any) -> Any:
    """Return a type without None."""
    if isinstance(info, msgspec.inspect.UnionType):
        return next(t for t in info.types if not isinstance(t, msgspec.inspect.NoneType))
    return info


def _fault(value: Any, name: str, what: str, code: str = "out_of_range") -> InvalidEventError:
    return InvalidEventError(code, f"{type(value).__name__}.{name} {what}", name)


def _invisible_character(value: Any, name: str, text: str | None) -> InvalidEventError:
    said = "holds a character that" if text is None else f"is {text!a}, in which a character"
    return _fault(
        value, name, f"{said} cannot be seen. Ids are 1 to 64 visible characters; send the one that is meant."
    )


def _too_long(value: Any, name: str, what: str) -> InvalidEventError:
    return _fault(value, name, f"has {what}. Send less.", "too_long")


def _amount_out_of_range(value: Any, name: str, amount: int | None) -> InvalidEventError:
    said = "is" if amount is None else f"is {amount} minor units,"
    bound = f"less than -{MAX_AMOUNT}" if amount is not None and amount < 0 else f"more than {MAX_AMOUNT}"
    return _fault(value, name, f"{said} {bound} minor units. Check the amount and its unit.")
