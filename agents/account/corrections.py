"""Published events of an account, and how one that turns out to be wrong is corrected.

Every published event is stored beside the facts. When an account is rebuilt, the events that it emits now are compared
with those that stand: an EventSuperseded takes back those that it emits no longer, new ones are published, and the
others stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date

from msgspec.structs import replace

from agents.account.day import SOURCE, business_date_of
from agents.account.facts import identity_of
from agents.base import EPOCH, derived_id
from schemas import events as ev
from state.account import AccountState

# The prefix of their fact keys; stored rows have it.
EMITTED = "said/"


def reconcile(
    s: AccountState, cause: ev.Event, emitted: Iterable[ev.AnyEvent], standing: Iterable[ev.Event]
) -> list[ev.Event]:
    """Return the events that bring what stands to what is emitted: corrections first, then what is new.

    emitted: events with an empty header, which is filled in here.
    """
    open_: dict[ev.Event, list[ev.Event]] = {}
    for e in standing:
        open_.setdefault(payload_of(e), []).append(e)
    new: list[ev.Event] = []
    identity = ""
    # Ids number a day's events of one type: which days are folded at once depends on which were visited before.
    emitted_so_far: Counter[tuple[str, int]] = Counter()
    for event in emitted:
        kind, day = type(event).__name__, business_date_of(event)
        number = emitted_so_far[kind, day]
        emitted_so_far[kind, day] += 1
        if open_ and (same := open_.get(event)):
            same.pop()
            continue
        identity = identity or identity_of(cause)
        event_id = derived_id(identity, kind, s.account_id, day, number)
        new.append(replace(event, event_id=event_id, occurred_at=cause.occurred_at, caused_by=cause.event_id))
    corrections = [
        ev.EventSuperseded(
            # Once for what it supersedes, whatever changed it, under the name that release 0.1.0 gave this event.
            event_id=derived_id(e.event_id, "Corrected"),
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


def emitted_facts(outputs: Iterable[ev.Event]) -> list[tuple[str, ev.Event]]:
    """Return published events with the keys under which they are stored beside the facts."""
    return [(EMITTED + (e.supersedes if isinstance(e, ev.EventSuperseded) else e.event_id), e) for e in outputs]


def payload_of(event: ev.Event) -> ev.Event:
    """Return an event without its header, as it was emitted."""
    return replace(event, event_id="", occurred_at=EPOCH, caused_by="")
