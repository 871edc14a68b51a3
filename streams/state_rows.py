"""The rows of agents in a store: states by agent and key, facts by agent and id, and texts by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

# Keys hold no control characters, so a fact's id is its key and fact key with one between.
SEPARATOR, AFTER_SEPARATOR = "\x1f", "\x20"


def fact_id(key: str, fact_key: str) -> str:
    """Return the id under which a key's fact is stored."""
    return key + SEPARATOR + fact_key


class NamedValues(Protocol):
    """Texts by name."""

    def meta(self, name: str) -> str | None:
        """Return a named value, None where there is none."""

    def set_meta(self, name: str, value: str) -> None:
        """Store a named value."""


class ReadableRows(Protocol):
    """Rows for whoever may only read them."""

    def states(self, agent: str, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the stored states of keys; those that have none are left out."""

    def facts(self, agent: str, key: str) -> list[tuple[str, bytes]]:
        """Return all facts of a key by fact key, in the order of these."""


class StateRows(ReadableRows, Protocol):
    """The rows of agents."""

    def waiting(self, agent: str, keys: Sequence[str], after: int) -> Iterator[tuple[str, bytes]]:
        """Yield the stored facts of keys that wait for a day behind `after` (ordinal), by id; some may be folded."""

    def waiting_keys(self, agent: str) -> Iterable[str]:
        """Return the key of each stored fact that waits; some may be folded. It costs what waits."""

    def due(self, agent: str, through: int) -> list[str]:
        """Return the keys that are due by a day or have a fact that waits for one, sorted; some may be due no more.

        It costs what is due, not what is stored.
        """

    def visited(self, agent: str, keys: Sequence[str]) -> None:
        """Note that of keys which `due` has returned none is due any more."""

    def keys(self, agent: str) -> list[str]:
        """Return all keys that have a state, sorted."""

    def put_states(self, rows: Iterable[tuple[str, str, bytes, int | None]]) -> None:
        """Store states by agent and key, with the day when each is due; the latest of a key stands."""

    def known(self, agent: str, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield those facts that are recorded, by id."""

    def put_facts(self, rows: Iterable[tuple[str, str, bytes]]) -> None:
        """Record facts by agent and id; one that exists is replaced."""

    def end_waiting(self, agent: str, facts: Iterable[tuple[int, str]]) -> None:
        """Note that facts, by day and id, wait for these days no more."""
