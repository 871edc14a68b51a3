"""The close of a business date over all partitions.

Records from outside are taken in the order in which the broker appended them, over all topics: a topic that has
more to bring holds up what was appended later to others, and what was appended behind DayClosed waits until the
day is closed. So a backlog of many days gives what it would have given day by day.

When a record was appended is told by the broker's clock, which may go back: it is set, or another broker leads with a
slower one. The order within a partition wins, so a record counts as appended no earlier than any before it.

A day is closed in steps, so that no partition closes it on half of what belongs to it:

1. The lane sees DayClosed on `clock` and processes all that came from outside before it. Then it tells every
   partition that it is ready.
2. When all partitions are ready, the first agent closes the day, and tells every partition.
3. When that agent has closed the day in all partitions, the next one closes it, on all that the first one said.
4. When the last agent, the learner, has closed the day in all partitions, the lane has read what it told, and goes on
   with the next day.

The record on `clock` counts as read then. A crash in between goes on at the step that was committed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from msgspec import json

from agents.base import derived_id
from schemas import events as ev
from streams.kafka.batch import Record

READY = "ready"
CLOSED = "closed"
# What the barrier says in the place of an agent where it is about all that came in.
ALL = "all"


@dataclass(slots=True)
class Closing:
    """The close of one business date at a lane, or a change of policy, which comes behind all that came before it.

    record: that which asked for it. at: when it counts as appended, in ms. fence: by topic, the offset that must be
    read; None before it was asked for in this step. others: it waits for other partitions.
    """

    record: Record
    at: int
    asked: ev.DayClosed | ev.PolicyChanged
    ready: bool = False
    fence: dict[str, int] | None = None
    others: bool = False


@dataclass(slots=True)
class Barriers:
    """How far each partition has come: by phase and agent, the last business date (ordinal) by partition."""

    reached: dict[str, dict[str, int]] = field(default_factory=dict)

    @staticmethod
    def of(text: str | None) -> Barriers:
        """Return barriers from their text."""
        return Barriers() if text is None else json.decode(text, type=Barriers)

    def text(self) -> str:
        """Return them as text, to be kept beside the states."""
        return json.encode(self).decode()

    def note(self, event: ev.BarrierReached) -> None:
        """Note a barrier."""
        places = self.reached.setdefault(f"{event.phase}:{event.agent}", {})
        name, day = str(event.partition), event.business_date.toordinal()
        places[name] = max(places.get(name, 0), day)

    def passed(self, phase: str, agent: str, day: int, partitions: int) -> bool:
        """Say whether all partitions have come to a phase of a day.

        One that is ready for a later day will not come back to this one: it never had it.
        """
        here = self.reached.get(f"{phase}:{agent}", {})
        ready = self.reached.get(f"{READY}:{ALL}", {})
        names = map(str, range(partitions))
        return all(here.get(name, 0) >= day or ready.get(name, 0) > day for name in names)


def barrier(day: ev.DayClosed, partition: int, phase: str, agent: str) -> ev.BarrierReached:
    """Return that a partition has come to a phase of a day."""
    at = day.business_date
    return ev.BarrierReached(
        event_id=derived_id(day.event_id, "BarrierReached", phase, agent, partition, at.isoformat()),
        occurred_at=day.occurred_at,
        source="reprieve.kafka",
        business_date=at,
        agent=agent,
        partition=partition,
        phase=phase,
    )


def begun(record: Record, at: int, asked: ev.DayClosed | ev.PolicyChanged, closed: Iterable[date | None]) -> Closing:
    """Return what a record of the clock begins, that was appended at `at` ms.

    closed: through which day each agent has closed.
    """
    done = isinstance(asked, ev.DayClosed) and all(has_closed(through, asked.business_date) for through in closed)
    return Closing(record, at, asked, ready=done)


def has_closed(through: date | None, day: date) -> bool:
    """Say whether a day is among those that were closed, through the last of them."""
    return through is not None and day <= through


def appended_at(since: int, record: Record) -> int:
    """Return when a record counts as appended, in ms, where those before it in its partition were by `since`."""
    return max(since, record.timestamp)


def appended_until(waiting: deque[Record], since: int, until: int, most: int) -> Iterator[Record]:
    """Take records from the front, up to a time in ms; since: when the last one before them was appended."""
    while waiting and most and (since := appended_at(since, waiting[0])) <= until:
        most -= 1
        yield waiting.popleft()
