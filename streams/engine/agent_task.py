"""An agent's part of a task: its store, the topics that it reads, and the day that it has closed."""

from __future__ import annotations

from datetime import date
from typing import Any

from msgspec import Struct

from agents.base import Agent
from schemas.topics import TOPIC_OF
from state.policy import PolicyBook
from streams.engine.agent_store import AgentStateStore
from streams.engine.state_store import StateStore
from streams.security.vault import Vault

_CLOSED = "closed_through"
# Topics whose records open what others refer to come first, so that fewer records have to wait.
_FIRST = {"accounts": 0, "profiles": 1, "collections": 2, "plans": 3, "workout-requests": 4}


class AgentTask:
    """An agent at a task. cached: states that it may hold in memory."""

    def __init__(
        self,
        agent: Agent[Any],
        kind: type[Struct],
        rows: StateStore,
        book: PolicyBook,
        cached: int,
        vault: Vault | None = None,
    ) -> None:
        self.agent = agent
        self.name = agent.name
        self.rows = rows
        self.store: AgentStateStore[Any] = AgentStateStore(agent, kind, rows, book, cached, vault)
        self.topics = input_topics(agent)
        self.closed_through: date | None = None
        self._read()

    def forget(self) -> None:
        """Drop what a batch decided that is abandoned, once its rows are rolled back."""
        self.store.forget()
        self._read()

    def _read(self) -> None:
        day = self.rows.meta(_CLOSED)
        self.closed_through = None if day is None else date.fromisoformat(day)

    def close_through(self, day: date) -> None:
        """Note that a business date is closed."""
        self.closed_through = day
        self.rows.set_meta(_CLOSED, day.isoformat())

    def has_closed(self, day: date) -> bool:
        """Say whether a day is among those that were closed, through the last of them."""
        return self.closed_through is not None and day <= self.closed_through


def topic_priority(topic: str) -> int:
    """Return when a topic's records have their turn in a batch, the lowest first."""
    return _FIRST.get(topic, 9)


def input_topics(agent: Agent[Any]) -> list[str]:
    """Return the topics that an agent reads, without their prefix."""
    return sorted({TOPIC_OF[kind].name for kind in agent.accepts}, key=lambda name: (topic_priority(name), name))
