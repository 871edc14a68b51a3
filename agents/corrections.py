"""What is said of an account, and how something said wrongly is corrected.

Every output is kept beside the facts. When an account is folded anew, what it says now is compared with
what stands: what is said no longer is superseded by a Corrected, what is new is published, and what is
the same stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import cast

from msgspec.structs import replace

from agents.base import derived_id
from schemas import events as ev
from state.account import AccountState

SOURCE = "reprieve.account"
SAID = "said/"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Said = tuple[int, type[ev.Event], dict[str, object]]


def publish(s: AccountState, cause: ev.Event, said: Iterable[Said], standing: Iterable[ev.Event]) -> list[ev.Event]:
    """Return the events that bring what stands to what is said: corrections first, then what is new."""
    open_: dict[ev.Event, list[ev.Event]] = {}
    for e in standing:
        open_.setdefault(body(e), []).append(e)
    new: list[ev.Event] = []
    for number, (day, kind, fields) in enumerate(said):
        build = cast(Callable[..., ev.Event], kind)
        event = build(
            event_id=derived_id(cause.event_id, kind.__name__, s.account_id, day, number),
            occurred_at=cause.occurred_at,
            source=SOURCE,
            account_id=s.account_id,
            business_date=date.fromordinal(day),
            caused_by=cause.event_id,
            **fields,
        )
        if open_:
            same = open_.get(body(event))
            if same:
                same.pop()
                continue
        new.append(event)
    corrections = [
        ev.Corrected(
            event_id=derived_id(cause.event_id, "Corrected", e.event_id),
            occurred_at=cause.occurred_at,
            source=SOURCE,
            account_id=s.account_id,
            business_date=date.fromordinal(business_date_of(e)),
            caused_by=cause.event_id,
            supersedes=e.event_id,
            superseded_type=type(e).__name__,
            reason=f"{type(cause).__name__} {cause.event_id} changed what was true of that day",
        )
        for left in open_.values()
        for e in left
    ]
    corrections.sort(key=lambda e: (e.business_date, e.supersedes))
    return [*corrections, *new]


def record(outputs: Iterable[ev.Event]) -> list[tuple[str, ev.Event]]:
    return [(SAID + (e.supersedes if isinstance(e, ev.Corrected) else e.event_id), e) for e in outputs]


def body(event: ev.Event) -> ev.Event:
    """Return what an output says, without when and why it was said."""
    return replace(event, event_id="", occurred_at=EPOCH, caused_by="")


def business_date_of(event: ev.Event) -> int:
    day: date = event.business_date  # type: ignore[attr-defined]
    return day.toordinal()
