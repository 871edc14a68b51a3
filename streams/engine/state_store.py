"""What the engine needs of a store: an agent's states and facts, and what belongs to the whole task.

Kafka's driver keeps both in RocksDB behind changelogs, the local runtime in SQLite, tests in either. What a batch
writes is read back within the batch, and becomes durable when its driver commits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from streams.engine.output import Record
from streams.state_rows import NamedValues, StateRows


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
