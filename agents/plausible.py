"""What events may say of time, money and names at all. What lies beyond is a slip of whoever wrote it, and is refused.

A date in the year 1 or 9999 cannot be moved to another time zone or by a day, and sums of amounts near 2**63 fit no
Avro long: neither is a date or an amount of a loan. So the limits stand far outside of what is real and far inside of
what can be counted with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec

from schemas import events as ev
from schemas.errors import BadInput
from schemas.readers import ID_PATTERN
from schemas.topics import PERSONAL_TOPICS, TOPIC_OF

FIRST_YEAR, LAST_YEAR = 1900, 2199
# One amount, and all that one account asks for: a trillion in a currency with two decimals.
MOST = 10**14
# All that a borrower's troubled accounts come to, charges included. At the highest rate and the longest term it still
# costs less than 2**63.
MOST_OWED = 4 * MOST
# All that one account may have received.
MOST_RECEIVED = 2**61
# Sums of smaller amounts do not come near that, however many there are.
SMALL = 10**11

# What one key keeps in its state, and how long a text in it may be: a state is one record of Kafka, and one that is too
# large for it would stop its partition for good.
MOST_KEPT = 2_000
MOST_CASES = 1_000
MOST_TEXT = 500
# Free text that is read by nobody and not kept.
_NOT_KEPT = frozenset({"comment"})

# What a page shows nothing of: controls, Unicode's Default_Ignorable_Code_Point, and blank letters. With one of these
# two ids would look the same and be different.
_HIDDEN = re.compile(
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
        "counter_amount",
        "monthly_income",
        "monthly_expenses",
        "other_debt_payments",
    }
)
_Look = Callable[[Any], None]


def check(event: ev.Event) -> None:
    """Raise BadInput (`out_of_range`) where a date, an amount or an id of an event cannot be meant.

    It is asked of what comes in, not of what is stored: that was taken once.
    """
    _look_at(type(event), is_personal(type(event)))(event)


def is_personal(kind: type[ev.Event]) -> bool:
    """Say whether an event tells of a person: no message may then repeat a value of it, but for ids."""
    return kind in TOPIC_OF and TOPIC_OF[kind].name in PERSONAL_TOPICS


def check_close(day: ev.DayClosed, closed_through: date | None, most_skipped: int) -> None:
    """Raise BadInput (`out_of_range`) where a close lies too far behind the last one, or the first behind its own time.

    A date that is closed cannot be opened again, so a slip of the year would end all business until then.
    """
    check(day)
    since = closed_through or day.occurred_at.date()
    if day.business_date > since + timedelta(days=most_skipped):
        last = f"the last close, of {since}" if closed_through else f"its own time, {since}"
        raise BadInput(
            "out_of_range",
            f"DayClosed {day.event_id} closes {day.business_date}, more than {most_skipped} days behind {last}. If it "
            "is no slip, close the days in between first, or raise the policy's business.most_days_skipped.",
            "business_date",
        )


def check_ahead(event: ev.Event, day: int, closed: int, most_ahead: int) -> None:
    """Raise BadInput (`out_of_range`) where a fact counts from a day too far behind the last close (ordinals)."""
    if closed and day > closed + most_ahead:
        counts = "a day" if is_personal(type(event)) else f"{date.fromordinal(day)},"
        raise BadInput(
            "out_of_range",
            f"{type(event).__name__} {event.event_id} counts from {counts} more than {most_ahead} days "
            f"behind the last close, of {date.fromordinal(closed)}. If it is no slip of the date, send it nearer to "
            "its day, or raise the policy's business.most_days_ahead.",
        )


def check_room(event: ev.Event, kept: int, most: int = MOST_KEPT) -> None:
    """Raise BadInput (`too_many`) where a key's state already holds as many things as it may."""
    if kept >= most:
        raise BadInput(
            "too_many",
            f"{type(event).__name__} {event.event_id} is one too many: {kept} things are kept for its key already. "
            "Close the days for which they wait, or correct what is sent, then replay the dead letter.",
        )


def check_total(event: ev.Event, amounts: Iterable[int], field: str, most: int = MOST) -> None:
    """Raise BadInput (`out_of_range`) where amounts together are more than there may be."""
    if sum(amounts) > most:
        raise BadInput(
            "out_of_range",
            f"With {type(event).__name__} {event.event_id} there are more than {most} minor units. "
            "Check the amount and its unit.",
            field,
        )


@cache
def _look_at(kind: type[msgspec.Struct], personal: bool) -> _Look:
    """Return what looks at the dates and amounts of a struct, and of its parts. personal: no value may be repeated."""
    dates, amounts, ids, texts, parts, tables = [], [], [], [], [], []
    simple = True
    for field in msgspec.structs.fields(kind):
        whole = msgspec.inspect.type_info(field.type)
        inner = _plain(whole)
        simple = simple and inner is whole
        if isinstance(inner, msgspec.inspect.DateType | msgspec.inspect.DateTimeType):
            dates.append(field.name)
        elif field.name in _MONEY:
            amounts.append(field.name)
        elif isinstance(inner, msgspec.inspect.StrType) and inner.pattern == ID_PATTERN:
            ids.append(field.name)
        elif isinstance(inner, msgspec.inspect.StrType) and inner.max_length is None and field.name not in _NOT_KEPT:
            texts.append(field.name)
        elif isinstance(inner, msgspec.inspect.StructType):
            parts.append((field.name, _look_at(inner.cls, personal), False))
        elif isinstance(inner, msgspec.inspect.VarTupleType) and isinstance(
            inner.item_type, msgspec.inspect.StructType
        ):
            parts.append((field.name, _look_at(inner.item_type.cls, personal), True))
        elif field.name == "spending":
            tables.append(field.name)
    days, money, names = _values_of(dates), _values_of(amounts), _values_of(ids)

    def look(value: Any) -> None:
        for day in days(value):
            if day is not None and not FIRST_YEAR <= day.year <= LAST_YEAR:
                raise _odd_date(value, next(n for n in dates if getattr(value, n) is day), None if personal else day)
        for amount in money(value):
            if amount is not None and amount > MOST:
                name = next(n for n in amounts if getattr(value, n) is amount)
                raise _odd_amount(value, name, None if personal else amount)
        for text in names(value):
            if text is not None and not text.isascii() and _HIDDEN.search(text):
                raise _hidden(value, next(n for n in ids if getattr(value, n) is text), None if personal else text)
        for name in texts:
            text = getattr(value, name)
            if text is not None and len(text) > MOST_TEXT:
                raise _too_long(value, name, f"{len(text)} characters, more than {MOST_TEXT}")
        for name, inside, many in parts:
            part = getattr(value, name)
            for one in part if many else () if part is None else (part,):
                inside(one)
        for name in tables:
            if len(getattr(value, name)) > MOST_TEXT:
                raise _too_long(value, name, f"{len(getattr(value, name))} entries, more than {MOST_TEXT}")
            for category, amount in getattr(value, name).items():
                if len(category) > MOST_TEXT:
                    raise _too_long(value, name, f"a category of {len(category)} characters, more than {MOST_TEXT}")
                if amount > MOST:
                    raise _odd_amount(value, name, None if personal else amount)

    return _quick(look, dates, amounts, ids, texts) if simple and not parts and not tables else look


def _quick(look: _Look, dates: list[str], amounts: list[str], ids: list[str], texts: list[str]) -> _Look:
    """Return what looks at plain fields in one expression, since payments come by the million, and else as `look`."""
    tests = [f"{FIRST_YEAR} <= e.{name}.year <= {LAST_YEAR}" for name in dates]
    tests += [f"e.{name} <= {MOST}" for name in amounts] + [f"e.{name}.isascii()" for name in ids]
    tests += [f"len(e.{name}) <= {MOST_TEXT}" for name in texts]
    scope: dict[str, Any] = {"look": look}
    exec(f"def quick(e):\n    if not ({' and '.join(tests) or True}):\n        look(e)", scope)  # nosec B102
    quick: _Look = scope["quick"]
    return quick


def _values_of(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gives the values of fields as a tuple, however few they are."""
    if not names:
        return lambda value: ()
    if len(names) == 1:
        (name,) = names
        return lambda value: (getattr(value, name),)
    return attrgetter(*names)


def _plain(info: Any) -> Any:
    """Return what a type is where there is something."""
    if isinstance(info, msgspec.inspect.UnionType):
        return next(t for t in info.types if not isinstance(t, msgspec.inspect.NoneType))
    return info


def _hidden(value: Any, name: str, text: str | None) -> BadInput:
    said = "holds a character that" if text is None else f"is {text!a}, in which a character"
    return BadInput(
        "out_of_range",
        f"{type(value).__name__}.{name} {said} cannot be seen. Ids are 1 to 64 visible characters; "
        "send the one that is meant.",
        name,
    )


def _too_long(value: Any, name: str, what: str) -> BadInput:
    return BadInput("too_long", f"{type(value).__name__}.{name} has {what}. Send less.", name)


def _odd_date(value: Any, name: str, day: date | datetime | None) -> BadInput:
    said = "is" if day is None else f"is {day.isoformat()},"
    return BadInput(
        "out_of_range",
        f"{type(value).__name__}.{name} {said} outside the years {FIRST_YEAR} to {LAST_YEAR}. Send the real date.",
        name,
    )


def _odd_amount(value: Any, name: str, amount: int | None) -> BadInput:
    said = "is" if amount is None else f"is {amount} minor units,"
    return BadInput(
        "out_of_range",
        f"{type(value).__name__}.{name} {said} more than {MOST} minor units. Check the amount and its unit.",
        name,
    )
