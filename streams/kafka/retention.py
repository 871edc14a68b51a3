"""Which topics would keep their records for a shorter time than now: Kafka then deletes what is older."""

from __future__ import annotations

from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import TOPICS
from streams.kafka.topology import _configs, _partitions, plans
from streams.settings import Settings

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Shorter:
    """A topic that would keep less. was, will: days, None for good. inbound: it holds what others have said."""

    topic: str
    was: float | None
    will: float
    inbound: bool

    def __str__(self) -> str:
        was = "for good" if self.was is None else f"{self.was:g} days"
        return f"{self.topic} keeps records {self.will:g} days and no longer {was}: Kafka deletes what is older"


async def shorter(settings: Settings) -> list[Shorter]:
    """Return the topics whose records settings ask to be kept shorter than the cluster keeps them now."""
    wanted, prefix = plans(settings), settings.topics.prefix
    admin = AIOKafkaAdminClient(**settings.kafka.client_options())
    try:
        await admin.start()
        there = await _configs(admin, sorted(await _partitions(admin, wanted)))
    finally:
        await admin.close()
    found = []
    for plan in wanted:
        now, will = there.get(plan.name, {}).get("retention.ms"), plan.config.get("retention.ms")
        if now is None or will is None or int(will) < 0 or 0 <= int(now) <= int(will):
            continue
        topic = TOPICS.get(plan.name.removeprefix(prefix))
        was = None if int(now) < 0 else int(now) / _DAY_MS
        found.append(Shorter(plan.name, was, int(will) / _DAY_MS, topic is not None and topic.inbound))
    return found
