"""What one Kafka transaction holds: what was said, which rows changed, how far the input was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streams.kafka.business import Count

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
    """One transaction. `offsets`: by input topic, without its prefix, the offset behind the last record read."""

    said: list[Saying] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)
    read: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    counted: Counter[Count] = field(default_factory=Counter)
