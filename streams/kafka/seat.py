"""An agent's place at a lane, and what all accounts of a lane come to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from msgspec import Struct

from agents.base import Agent
from schemas.topics import TOPIC_OF
from state.account import AccountState
from state.policy import PolicyBook
from state.portfolio import Portfolio
from state.storage import unpack
from streams.desk import Desk
from streams.kafka.lane_rows import LaneRows
from streams.privacy.vault import Vault

PORTFOLIO = "portfolio"
# Topics whose records open what others refer to come first, so that fewer records have to wait.
_FIRST = {"accounts": 0, "profiles": 1, "collections": 2, "plans": 3, "workout-requests": 4}


class Seat:
    """An agent at a lane: its rows, its desk, and the day that it has closed."""

    def __init__(
        self,
        agent: Agent[Any],
        kind: type[Struct],
        rows: LaneRows,
        book: PolicyBook,
        cached: int,
        vault: Vault | None = None,
    ) -> None:
        self.agent = agent
        self.rows = rows
        self.desk: Desk[Any] = Desk(agent, kind, rows, book, cached, vault)
        self.topics = input_topics(agent)
        day = self.rows.meta("closed_through")
        self.closed_through = None if day is None else date.fromisoformat(day)


def turn_of(topic: str) -> int:
    """Return when a topic's records have their turn in a batch, the lowest first."""
    return _FIRST.get(topic, 9)


def input_topics(agent: Agent[Any]) -> list[str]:
    """Return the topics that an agent reads, without their prefix."""
    return sorted({TOPIC_OF[kind].name for kind in agent.accepts}, key=lambda name: (turn_of(name), name))


def counted(seats: Sequence[Seat], book: PolicyBook) -> Portfolio:
    """Return what the accounts come to, as it was kept, or counted anew where it was not; it is kept up from now on."""
    for seat in seats:
        if seat.agent.name == "account":
            text = seats[0].rows.meta(PORTFOLIO)
            kept = Portfolio(book) if text is None else Portfolio.of(text, book)
            if text is None or kept is None:
                kept = Portfolio(book)
                for state in seat.rows.all_states():
                    kept.move(None, unpack(state, AccountState))
            seat.desk.watch = kept.move
            return kept
    return Portfolio(book)
