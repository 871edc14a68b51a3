"""The account agent's work as every engine in Python is given it: rows of one key in, rows and events out.

Each engine keeps the rows (the packed state, and each fact under its own row) in its own durable keyed state, and
publishes what is said. So all of them decode, decide, pack and encode alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, MutableMapping
from datetime import date
from typing import Any, cast

import msgspec

from agents.account import AccountAgent
from agents.base import Environment, Step
from schemas import events as ev
from schemas.codec import Codec
from schemas.headers import headers_for
from schemas.topics import TOPIC_OF, key_of
from state.account import AccountState
from state.pack import default_book
from state.storage import pack, unpack

# What the account agent reads, without what workers say to each other.
TOPICS = ("accounts", "payments", "collections")
STATE, FACT = "s", "f"
Rows = MutableMapping[str, bytes]
Headers = list[tuple[str, bytes]]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ev.AnyEvent).decode


def flags(description: str | None) -> argparse.ArgumentParser:
    """Return the flags that every peer takes."""
    parser = argparse.ArgumentParser(description=description)
    for name in ("bootstrap", "prefix", "group", "state"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    return parser


class Work:
    """Decides on one event of one account at a time."""

    def __init__(self, prefix: str) -> None:
        self.codec = Codec()
        self._prefix = prefix
        self._agent = AccountAgent()
        self._environment = Environment(default_book())

    def decide(
        self, key: str, event: ev.Event, rows: Rows, closed_through: date | None = None
    ) -> Iterator[tuple[str, bytes, bytes, Headers]]:
        """Decide, write rows, and yield what to publish: topic, key, value, headers."""
        env = self._environment
        env.closed_through = closed_through
        fact = rows.get(FACT + self._agent.fact_key(event))
        env.known = None if fact is None else _decode(fact)
        env.history = lambda: sorted((row[1:], _decode(rows[row])) for row in rows if row[:1] == FACT)
        stored = rows.get(STATE)
        state = None if stored is None else unpack(stored, AccountState)
        return self._kept(self._agent.handle(state, event, env), rows)

    def close(
        self, day: ev.DayClosed, rows: Rows, closed_through: date | None
    ) -> Iterator[tuple[str, bytes, bytes, Headers]]:
        """Close a day for one account for which it matters."""
        state = unpack(rows[STATE], AccountState)
        due = self._agent.due(state)
        if due is None or due > day.business_date.toordinal():
            return iter(())
        env = self._environment
        env.closed_through = closed_through
        env.known = None
        env.history = lambda: sorted((row[1:], _decode(rows[row])) for row in rows if row[:1] == FACT)
        return self._kept(self._agent.close(state, day, env), rows)

    def _kept(self, step: Step[Any], rows: Rows) -> Iterator[tuple[str, bytes, bytes, Headers]]:
        rows[STATE] = pack(cast(AccountState, step.state))
        for fact_key, fact in step.facts:
            rows[FACT + fact_key] = _encode(fact)
        for event in step.outputs:
            topic = self._prefix + TOPIC_OF[type(event)].name
            yield topic, (key_of(event) or "").encode(), self.codec.encode(event, topic), list(headers_for(event))
