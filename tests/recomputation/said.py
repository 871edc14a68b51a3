"""What is said of an account, as plain tuples that two sides can compare: no ids of events, no texts, no evidence."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec

from schemas import events as ev
from schemas.topics import TOPICS

# Words for people, envelopes and evidence; codes and amounts remain.
LEFT_OUT = frozenset(
    {"event_id", "occurred_at", "source", "account_id", "borrower_id", "caused_by", "reasons", "evidence", "reason"}
)
REPORTED = tuple(
    kind
    for topic in ("delinquency", "plans")
    for kind in TOPICS[topic].records
    if kind not in (ev.EventSuperseded, ev.PlanActivated, ev.PlanReviewRequested)
)

# Their reason is a code.
CODED = (ev.PlanBroken, ev.AccountEnded, ev.AccountRestored, ev.PaymentFailureReported)

Record = tuple[date, str, tuple[tuple[str, Any], ...]]


def plain(value: Any) -> Any:
    """Return a part of an event as tuples."""
    if isinstance(value, msgspec.Struct):
        return tuple((f.name, plain(getattr(value, f.name))) for f in msgspec.structs.fields(value))
    if isinstance(value, tuple | list):
        return tuple(plain(item) for item in value)
    return value


def record(day: date, name: str, **fields: Any) -> Record:
    """Return a record of the recomputation."""
    return day, name, tuple(sorted((key, plain(value)) for key, value in fields.items()))


def of_event(event: ev.Event) -> Record:
    """Return an output of Reprieve's as a record."""
    fields = {
        f.name: getattr(event, f.name)
        for f in msgspec.structs.fields(event)
        if f.name not in LEFT_OUT and f.name != "business_date"
    }
    if isinstance(event, CODED):
        fields["reason"] = event.reason
    return record(event.business_date, type(event).__name__, **fields)  # type: ignore[attr-defined]


def told(rec: Record) -> str:
    """Return a record as a line for people."""
    day, name, fields = rec
    return f"{day} {name} " + " ".join(f"{k.rstrip('_')}={_short(v)}" for k, v in fields)


def _short(value: Any) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], tuple) and isinstance(value[0][0], str):
        return "(" + " ".join(f"{k}={_short(v)}" for k, v in value if v) + ")"
    if isinstance(value, tuple):
        return "[" + ", ".join(_short(v) for v in value) + "]"
    return str(value)
