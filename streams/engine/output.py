"""The records of a task: those that it consumes, and what it has to commit of a batch of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from schemas import events as ev
from state.borrower import BorrowerState

Headers = Sequence[tuple[str, bytes]]


class Record(Protocol):
    """A record as a consumer hands it over (aiokafka's ConsumerRecord)."""

    @property
    def topic(self) -> str:
        """Its topic, with the deployment's prefix."""
        ...

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """When the broker appended it, in ms since 1970."""
        ...

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class StoredRecord(Struct, array_like=True, frozen=True):
    """A copy of a record, as it waits in a store."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int


def headers_of(record: Record) -> tuple[tuple[str, bytes], ...]:
    """Return a record's headers; one without a value has an empty one."""
    return tuple((name, value or b"") for name, value in record.headers)


@dataclass(slots=True)
class OutputRecord:
    """A record to publish. `topic` is without its prefix; partition None means one copy to every partition.

    event: the event in it; None where the record is sent on as it came.
    """

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    event: ev.Event | None = None


@dataclass(slots=True)
class Erasure:
    """What was personal of a borrower was erased, or its consent ended. cause: what asked for it, or came in late.

    state: theirs, which says what of earlier records is to be emptied.
    """

    cause: ev.Event
    state: BorrowerState


@dataclass(slots=True)
class TaskOutput:
    """What one batch comes to: all of it is committed at once, or nothing is.

    offsets, consumed: by input topic, without its prefix, the offset behind the last record that was consumed, and how
    many were. recorded: the events that were recorded as facts.
    """

    records: list[OutputRecord] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)
    consumed: Counter[str] = field(default_factory=Counter)
    recorded: list[ev.Event] = field(default_factory=list)
    dead_lettered: Counter[str] = field(default_factory=Counter)
    # By code, the first record that was dead-lettered: its topic, partition and offset, and its traceparent.
    first_dead_lettered: dict[str, tuple[str, int, int, bytes | None]] = field(default_factory=dict)
    erasures: list[Erasure] = field(default_factory=list)
    # When the broker appended the oldest record, in ms; 0 where none was consumed.
    oldest_append_ms: int = 0

    def copy(self) -> TaskOutput:
        """Return what it comes to now, which stays so."""
        return TaskOutput(
            list(self.records),
            dict(self.offsets),
            self.consumed.copy(),
            list(self.recorded),
            self.dead_lettered.copy(),
            dict(self.first_dead_lettered),
            list(self.erasures),
            self.oldest_append_ms,
        )

    def consume(self, topic: str, records: Sequence[Record]) -> None:
        """Count records of a topic, without its prefix, as consumed."""
        self.offsets[topic] = records[-1].offset + 1
        self.consumed[topic] += len(records)
        # The broker stamps them in their order.
        if not self.oldest_append_ms or records[0].timestamp < self.oldest_append_ms:
            self.oldest_append_ms = records[0].timestamp
