"""Who was shown personal data, on the topic `audit`: written and acknowledged before it is shown."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime

from schemas.codec import Codec
from streams.engine.partitioning import partition_of
from streams.kafka.publishing import publish
from streams.security.audit import Shown, checked
from streams.security.audit_chain import Head, next_record
from streams.settings import Settings


class KafkaAudit:
    """Chains on Kafka of this process alone, one a partition, within which Kafka keeps their order."""

    def __init__(self, settings: Settings, codec: Codec, source: str) -> None:
        self._settings, self._codec = settings, codec
        self._source = source
        self._heads: dict[str, Head] = {}
        self._begin()

    def _begin(self) -> None:
        """Begin new chains."""
        self._name = f"{self._source}-{os.urandom(8).hex()}"[-56:]
        self._heads.clear()

    async def record(self, shown: Iterable[Shown], actor: str, purpose: str) -> None:
        """Publish records, acknowledged by all replicas."""
        checked(purpose, actor)
        made = []
        for borrower, fields in shown:
            chain = f"{self._name}-{partition_of(borrower.encode(), self._settings.topics.partitions)}"
            head = self._heads.get(chain, Head())
            record = next_record(chain, head, datetime.now(UTC), self._source, borrower, actor, purpose, fields)
            self._heads[chain] = Head(record.number, record.digest)
            made.append(record)
        try:
            await publish(self._settings, self._codec, made)
        except BaseException:
            # Nobody knows which of them are there. A chain that went on might lack one, or have a number twice.
            self._begin()
            raise
