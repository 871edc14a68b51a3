"""What a source may say: its events with the source set by us and ids of its own, all else refused with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec

from schemas import events as ev
from schemas.errors import InvalidEventError
from schemas.jsonlines import from_line, unknown_fields, without_place
from schemas.openapi import TAKEN
from schemas.validation import unknown_type
from streams.partners.partner_registry import Partner, Sends

# Ids that a source gives to what it says; others' it can only refer to.
OWN_IDS = (
    "event_id", "attempt_id", "feedback_id", "promise_id", "replaces", "hold_id", "payment_id", "reversal_id",
    "adjustment_id", "review_id",
)  # fmt: skip
_LONGEST = 64


def admitted(raw: Any, partner: Partner, *, fallback_id: str, now: float, ahead: float) -> ev.Event:
    """Return the event that a source's plain JSON value makes, as it may go to Kafka.

    fallback_id: of an event that has none. now: seconds since the epoch. ahead: seconds that an event may be ahead.
    Raises InvalidEventError with a code, the field and a remedy.
    """
    assert partner.sends is not None
    if not isinstance(raw, dict):
        raise InvalidEventError("wrong_type", 'An event is a JSON object. Send {"type": …} with its fields.')
    name = _allowed_type(raw, partner.sends)
    if strange := sorted(unknown_fields(raw, TAKEN[name])):
        # Not taken with a warning, as from a file: one program wrote it, and whoever wrote it reads the answer.
        raise InvalidEventError("unknown_field", without_place(TAKEN[name], strange[0]), strange[0][:80])
    said = {"event_id": fallback_id, **raw}
    _stamp(said, "source", partner.id)
    if name == "ProfileReported":
        _stamp(said, "partner_id", partner.id)
    event = from_line(msgspec.json.encode(said))
    _see_limits(event, partner.sends.records[name])
    _see_time(event, now, ahead)
    return event if partner.sends.ids == "shared" else _with_own_ids(event, partner.id)


def fallback_id(source: str, message_id: str, body: bytes, number: int) -> str:
    """Return the id of an event that came without one: the same whenever the same message comes again."""
    digest = hashlib.sha256(body).hexdigest()
    return str(uuid5(NAMESPACE_URL, f"reprieve:intake:{source}:{message_id}:{digest}:{number}"))


def _allowed_type(raw: Mapping[str, Any], sends: Sends) -> str:
    name = raw.get("type")
    if name is None:
        raise InvalidEventError(
            "missing_field", 'The event has no type. Add "type": "OfferAnswered" or the like.', "type"
        )
    if not isinstance(name, str) or name not in TAKEN:
        raise unknown_type(name)
    if name not in sends.records:
        raise InvalidEventError(
            "forbidden_type",
            f"This source may not send {name}; it may send {', '.join(sends.records)}. Ask the lender to allow it.",
            "type",
        )
    return name


def _stamp(said: dict[str, Any], field: str, value: str) -> None:
    """Set a field that says who speaks; another's name there is refused."""
    given = said.get(field)
    if given is not None and given != value:
        raise InvalidEventError(
            "forbidden_value", f"The {field} is {value} for whoever signs as that. Leave it out.", field
        )
    said[field] = value


def _see_limits(event: ev.Event, limits: Mapping[str, tuple[str, ...]]) -> None:
    for field, values in limits.items():
        if getattr(event, field) not in values:
            raise InvalidEventError(
                "forbidden_value",
                f"This source may send {type(event).__name__} only with {field} {' or '.join(values)}. Correct it, or "
                "ask the lender to allow more.",
                field,
            )


def _see_time(event: ev.Event, now: float, ahead: float) -> None:
    """Refuse what is said to happen later than now: as the latest word on a consent it would stay so for good."""
    if event.occurred_at.timestamp() > now + ahead:
        raise InvalidEventError(
            "out_of_range",
            "occurred_at is in the future. Send what has happened, and see to your clock.",
            "occurred_at",
        )
    if isinstance(event, ev.ProfileReported) and event.as_of > event.occurred_at.date() + timedelta(days=1):
        raise InvalidEventError(
            "out_of_range", "as_of lies after occurred_at. Send the day that the figures are of.", "as_of"
        )


def _with_own_ids(event: ev.Event, source: str) -> ev.Event:
    """Return an event whose ids no other source can give, the same for the same ids."""
    changed = {}
    for field in OWN_IDS:
        given = getattr(event, field, None)
        if given is not None:
            own = f"{source}:{given}"
            changed[field] = own if len(own) <= _LONGEST else f"{source}:{uuid5(NAMESPACE_URL, given).hex[:23]}"
    return msgspec.structs.replace(event, **changed)
