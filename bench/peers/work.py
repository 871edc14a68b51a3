"""The account agent's work as every engine in Python is given it: rows of one key in, rows and events out.

Each engine keeps the rows (the packed state, and each fact under its own row) in its own durable keyed state, and
publishes what is said. So all of them decode, decide, pack and encode alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from agents.account.agent import AccountAgent
from agents.base import DecisionContext
from schemas import events as ev
from schemas.codec import Codec, headers_for
from schemas.topics import TOPIC_OF, key_of
from state.account import AccountState
from state.policy_packs.loader import default_book
from state.storage import pack, unpack

# What the account agent reads, without what workers say to each other.
TOPICS = ("accounts", "payments", "collections")
STATE, FACT = "s", "f"
Headers = list[tuple[str, bytes]]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ev.AnyEvent).decode


class Rows(Protocol):
    """The rows of the key that is at work, in an engine's keyed state."""

    def get(self, row: str) -> bytes | None:
        """Return a row, None where there is none."""
        ...

    def __setitem__(self, row: str, value: bytes) -> None: ...


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
        self._book = default_book()

    def decide(self, key: str, event: ev.Event, rows: Rows) -> Iterator[tuple[str, bytes, bytes, Headers]]:
        """Decide, write rows, and yield what to publish: topic, key, value, headers."""
        fact = rows.get(FACT + self._agent.fact_key(event))
        existing = None if fact is None else _decode(fact)
        context = DecisionContext(self._book, None, existing, _no_history)
        stored = rows.get(STATE)
        state = None if stored is None else unpack(stored, AccountState)
        step = self._agent.handle(state, event, context)
        rows[STATE] = pack(step.state)
        for fact_key, fact_event in step.facts:
            rows[FACT + fact_key] = _encode(fact_event)
        for said in step.outputs:
            topic = self._prefix + TOPIC_OF[type(said)].name
            yield topic, (key_of(said) or "").encode(), self.codec.encode(said, topic), list(headers_for(said))


def _no_history() -> Sequence[tuple[str, ev.Event]]:
    raise NotImplementedError("No day is closed here, so no payment is late")
