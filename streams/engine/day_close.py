"""The close of a business date over all partitions, as a state machine.

Records from outside are taken in the order in which the broker appended them, over all topics: a topic that has
more to bring holds up what was appended later to others, and what was appended behind DayClosed waits until the
day is closed. So a backlog of many days gives what it would have given day by day.

The broker's clock tells when a record was appended, and it may go back: it is set, or another broker leads with a
slower one. The order within a partition wins, so a record counts as appended no earlier than any before it.

A day is closed in phases, so that no partition closes it on half of what belongs to it:

1. READ_INPUTS: the task processes all that came from outside before DayClosed on `clock`, and reports READY.
2. AWAIT_PEERS: all partitions report READY; for a later agent, that the one before has closed the day.
3. READ_OUTPUTS: the task processes what agents have published until then, for the next agent. That agent closes the
   day, the task reports CLOSED, and goes back to AWAIT_PEERS.
4. READ_MODEL: when all partitions have closed the day for the last agent, the learner, the task reads what that one
   published. The record on `clock` counts as consumed then.

A task that ends in between goes on at the phase that was committed. A change of policy needs READ_INPUTS alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import Enum
from typing import Generic, Protocol, TypeVar

from msgspec import json

from agents.base import day_identity, derived_id
from schemas import events as ev
from streams.engine.output import Record

READY = "ready"
CLOSED = "closed"
# What the barrier says in the place of an agent where it is about all that came in.
ALL = "all"


class Phase(Enum):
    """What a close waits for."""

    READ_INPUTS = "read_inputs"
    AWAIT_PEERS = "await_peers"
    READ_OUTPUTS = "read_outputs"
    READ_MODEL = "read_model"
    DONE = "done"


class Action(Enum):
    """What a driver does next; `DayClose.done` says that it did."""

    # Nothing, before more was read or other partitions have come as far.
    WAIT = "wait"
    # Set `fence` to the ends of `topics`.
    FENCE = "fence"
    CHANGE_POLICIES = "change_policies"
    REPORT_READY = "report_ready"
    # Close the day for `agent`, and report that it is closed.
    CLOSE_AGENT = "close_agent"
    # Count the record on `clock` as consumed.
    FINISH = "finish"


class Closes(Protocol):
    """An agent of the task."""

    @property
    def name(self) -> str: ...
    def has_closed(self, day: date) -> bool:
        """Say whether it has closed a day."""
        ...


A = TypeVar("A", bound=Closes)


class Progress(Protocol):
    """How far a task has processed its topics."""

    def is_past(self, topic: str, at: int) -> bool:
        """Say whether a topic's next record was appended behind an instant (ms)."""
        ...

    def has_read(self, topic: str, fence: int) -> bool:
        """Say whether all of a topic before an offset was processed."""
        ...


class DayClose(Generic[A]):
    """A close in progress, or a change of policy, which takes effect behind all that came before it.

    record: of `clock`, that asks for it. at: when it counts as appended, in ms. agents: in the order in which they
    close. inputs, internal: topics that come from outside, and those by which agents reach each other.
    """

    def __init__(
        self,
        record: Record,
        at: int,
        command: ev.DayClosed | ev.PolicyChanged,
        agents: Sequence[A],
        inputs: Sequence[str],
        internal: Sequence[str],
    ) -> None:
        self.record = record
        self.at = at
        self.command = command
        self.phase = Phase.READ_INPUTS
        # By topic of the phase, the offset up to which it must be read; None before it was asked for.
        self.fence: Mapping[str, int] | None = None
        self._agents = agents
        self._inputs, self._internal = inputs, internal
        if isinstance(command, ev.DayClosed) and self.agent is None:
            self.phase = Phase.AWAIT_PEERS

    @property
    def day(self) -> date:
        """The business date that is closed."""
        assert isinstance(self.command, ev.DayClosed)
        return self.command.business_date

    @property
    def agent(self) -> A | None:
        """The next agent to close the day, None behind the last one."""
        return next((agent for agent in self._agents if not agent.has_closed(self.day)), None)

    @property
    def topics(self) -> Sequence[str]:
        """What must be read in this phase."""
        return {Phase.READ_INPUTS: self._inputs, Phase.READ_OUTPUTS: self._internal, Phase.READ_MODEL: ("learning",)}[
            self.phase
        ]

    def action(self, progress: Progress, barriers: Barriers, partitions: int) -> Action:
        """Return what is to be done now."""
        if self.phase is Phase.AWAIT_PEERS:
            if not barriers.passed(*self._awaited(), self.day.toordinal(), partitions):
                return Action.WAIT
            self.phase = Phase.READ_MODEL if self.agent is None else Phase.READ_OUTPUTS
        behind = [topic for topic in self.topics if not progress.is_past(topic, self.at)]
        if behind and self.fence is None:
            return Action.FENCE
        if not all(progress.has_read(topic, (self.fence or {})[topic]) for topic in behind):
            return Action.WAIT
        if self.phase is Phase.READ_MODEL:
            return Action.FINISH
        if self.phase is Phase.READ_OUTPUTS:
            return Action.CLOSE_AGENT
        return Action.CHANGE_POLICIES if isinstance(self.command, ev.PolicyChanged) else Action.REPORT_READY

    def done(self, action: Action) -> None:
        """Go on behind an action: AWAIT_PEERS follows a report."""
        self.fence = None
        over = action in (Action.CHANGE_POLICIES, Action.FINISH)
        self.phase = Phase.DONE if over else Phase.AWAIT_PEERS

    def report(self, partition: int, closed: str | None = None) -> ev.BarrierReached:
        """Return that a partition is ready, or that it has closed the day for an agent."""
        assert isinstance(self.command, ev.DayClosed)
        phase, agent = (READY, ALL) if closed is None else (CLOSED, closed)
        return barrier(self.command, partition, phase, agent)

    def _awaited(self) -> tuple[str, str]:
        """Return the barrier that is awaited: of the last agent that has closed the day, or that all are ready."""
        closed = [agent.name for agent in self._agents if agent.has_closed(self.day)]
        return (CLOSED, closed[-1]) if closed else (READY, ALL)


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
        event_id=derived_id(day_identity(day), "BarrierReached", phase, agent, partition),
        occurred_at=day.occurred_at,
        source="reprieve.kafka",
        business_date=at,
        agent=agent,
        partition=partition,
        phase=phase,
    )


def repeated_barriers(partition: int, closed: Mapping[str, date | None]) -> Iterator[ev.BarrierReached]:
    """Yield what a partition has reported of the days that it has closed last. closed: through which, by agent."""
    days = {agent: day for agent, day in closed.items() if day is not None}
    reached = [(READY, ALL, max(days.values()))] if days else []
    for phase, agent, day in [*reached, *((CLOSED, agent, day) for agent, day in days.items())]:
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        day_closed = ev.DayClosed(
            event_id=f"day-{day}", occurred_at=at, source="reprieve.kafka", business_date=day, calendar="any"
        )
        yield barrier(day_closed, partition, phase, agent)
