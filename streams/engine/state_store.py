"""What the engine needs of a store: an agent's states and facts, and what belongs to the whole task.

Kafka's driver keeps both in RocksDB behind changelogs, the local runtime in SQLite, tests in either. What a batch
writes is read back within the batch, and becomes durable when its driver commits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

from streams.engine.output import Record

# Keys hold no control characters, so a fact's id is its key and fact key with one between.
SEPARATOR, AFTER_SEPARATOR = "\x1f", "\x20"


def fact_id(key: str, fact_key: str) -> str:
    """Return the id under which a key's fact is stored."""
    return key + SEPARATOR + fact_key


class NamedValues(Protocol):
    """Texts by name."""

    def meta(self, name: str) -> str | None:
        """Return a named value, None where there is none."""
        ...

    def set_meta(self, name: str, value: str) -> None:
        """Store a named value."""
        ...


class StateRows(Protocol):
    """The rows of agents: states by agent and key, facts by agent and id."""

    def states(self, agent: str, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the stored states of keys; those that have none are left out."""
        ...

    def waiting(self, agent: str, keys: Sequence[str], after: int) -> Iterator[tuple[str, bytes]]:
        """Yield the stored facts of keys that wait for a day behind `after` (ordinal), by id; some may be folded."""
        ...

    def due(self, agent: str, through: int) -> list[str]:
        """Return the keys that are due by a day or have a fact that waits for one, sorted; some may be due no more.

        It costs what is due, not what is stored.
        """
        ...

    def visited(self, agent: str, keys: Sequence[str]) -> None:
        """Note that of keys which `due` has returned none is due any more."""
        ...

    def keys(self, agent: str) -> list[str]:
        """Return all keys that have a state, sorted."""
        ...

    def put_states(self, rows: Iterable[tuple[str, str, bytes, int | None]]) -> None:
        """Store states by agent and key, with the day when each is due; the latest of a key stands."""
        ...

    def known(self, agent: str, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield those facts that are recorded, by id."""
        ...

    def facts(self, agent: str, key: str) -> list[tuple[str, bytes]]:
        """Return all facts of a key by fact key, in the order of these."""
        ...

    def put_facts(self, rows: Iterable[tuple[str, str, bytes]]) -> None:
        """Record facts by agent and id; one that exists is replaced."""
        ...

    def end_waiting(self, agent: str, facts: Iterable[tuple[int, str]]) -> None:
        """Note that facts, by day and id, wait for these days no more."""
        ...


class StateStore(StateRows, NamedValues, Protocol):
    """The rows of agents, and named values.

    faults: what it raises where it cannot be read or written, beside ReprieveError.
    """

    faults: tuple[type[Exception], ...]

    def erase(self, key: str) -> None:
        """Note that what was personal of a key is replaced in this batch: no file may hold what was there before."""
        ...


class TaskStore(NamedValues, Protocol):
    """What belongs to a task and to none of its agents: policies, the model, parked records, keys in quarantine."""

    @property
    def parked_keys(self) -> Collection[str]:
        """The keys for which records are parked."""
        ...

    def park(self, key: str, record: Record, deadline: int | None) -> None:
        """Let a record wait for its account, through a business date (ordinal); a later call replaces the deadline."""
        ...

    def parked(self, key: str) -> list[tuple[Record, int | None]]:
        """Return the records that wait for an account with their deadlines, by topic, partition and offset."""
        ...

    def unpark(self, key: str) -> None:
        """Remove the records that waited for an account."""
        ...

    def erase(self, key: str) -> None:
        """Note that what was personal of a key is removed in this batch: no file may hold what was there before."""
        ...

    def quarantined(self) -> Iterator[tuple[int, bytes]]:
        """Yield the rows of the quarantine by number, the lowest first."""
        ...

    def put_quarantined(self, number: int, row: bytes) -> None:
        """Store a row of the quarantine; one that exists is replaced."""
        ...

    def remove_quarantined(self, numbers: Iterable[int]) -> None:
        """Remove rows of the quarantine."""
        ...
