"""What one Kafka transaction holds: what was said, which rows changed, how far the input was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from streams.kafka.business import Count

if TYPE_CHECKING:
    from streams.kafka.lane import Lane

Headers = Sequence[tuple[str, bytes]]


class Record(Protocol):
    """A record as a consumer hands it over (aiokafka's ConsumerRecord)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Broker(Protocol):
    """What a runner asks of Kafka."""

    async def commit(self, lane: Lane) -> dict[str, int]:
        """Commit the lane's batch, however long it takes; returns the changelogs' ends by agent."""
        ...

    async def ends(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """Return the offsets behind the last records of topics, uncommitted ones too."""
        ...


@dataclass(slots=True)
class Saying:
    """A record to publish. `topic` is without its prefix; partition None means one copy to every partition."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class Batch:
    """One transaction. `offsets`, `read`: by input topic, without its prefix, the offset behind the last record read,
    and how many were.
    """

    said: list[Saying] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)
    read: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    counted: Counter[Count] = field(default_factory=Counter)
    # By code, the first record that was refused: its topic, partition and offset, and its traceparent.
    first_refused: dict[str, tuple[str, int, int, bytes | None]] = field(default_factory=dict)
    # When the broker took the oldest record, in ms; 0 where none was read.
    oldest: int = 0

    def note(self, topic: str, records: Sequence[Record]) -> None:
        """Count records as read."""
        self.read[topic] += len(records)
        # The broker stamps them in their order.
        if not self.oldest or records[0].timestamp < self.oldest:
            self.oldest = records[0].timestamp
