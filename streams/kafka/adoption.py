"""Taking topics that were made anew as those of a deployment, as far as nothing is lost by it."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec.structs import replace

from schemas.errors import FatalError
from streams.kafka.deployment import (
    Deployment,
    deployment_topics,
    record_deployment,
    recorded_deployment,
    setting_faults,
    topic_faults,
    topic_ids,
)
from streams.kafka.topic_admin import worker_topics
from streams.settings import Settings


async def disagreements(settings: Settings) -> list[str]:
    """Return what is otherwise than recorded, a sentence each; nothing where nothing is recorded."""
    known = await recorded_deployment(settings)
    if known is None:
        return []
    faulty = list(setting_faults(known, settings))
    if faulty:
        return faulty
    found = [fault for seen in await topic_ids(settings) for fault in topic_faults(known, settings, seen)]
    return list(dict.fromkeys(found))


async def adopt(settings: Settings, replaces: Sequence[str] = ()) -> list[str]:
    """Take what is there now as the deployment, and return what that changes, a line each.

    replaces: ids of topics besides, whose place those that are there have taken. Raises FatalError where states would
    be lost or looked for where they do not lie.
    """
    before = await recorded_deployment(settings)
    if before is None:
        raise FatalError(
            "This deployment is not recorded yet, and a worker does so when it starts: nothing is to be adopted."
        )
    for fault in setting_faults(replace(before, application_id=settings.worker.application_id), settings):
        raise FatalError(f"{fault} Nothing was changed.")
    seen = (await topic_ids(settings))[-1]
    missing = sorted(full for full in deployment_topics(settings).values() if full not in seen)
    if missing:
        raise FatalError(f"{missing[0]} is missing. Make it with `reprieve topics apply` first. Nothing was changed.")
    for full in worker_topics(settings):
        if seen[full].partitions != before.partitions:
            raise FatalError(
                f"{full} has {seen[full].partitions} partitions, and accounts lie by {before.partitions}. See "
                '"Partitions were added" in docs/operations.md. Nothing was changed.'
            )
    told: list[str] = []
    empty = await _empty(settings, [full for full in worker_topics(settings) if full.endswith("-changelog")])

    def wanted(known: Deployment | None) -> Deployment:
        known = known or before
        told[:] = []
        here = replace(known, application_id=settings.worker.application_id)
        if settings.worker.application_id != known.application_id:
            told.append(f"worker.application_id {known.application_id} becomes {settings.worker.application_id}")
        topics, replaced = dict(known.topics), dict(known.replaced)
        for name, full in deployment_topics(settings).items():
            topic, old = seen[full], known.topics.get(name)
            if topic.topic_id == old:
                continue
            if full in empty and old is not None:
                raise FatalError(
                    f"{full} was made anew and is empty: the states that were in it are lost, and going on would begin "
                    "accounts anew in the middle of their lives. Restore it from a copy; or begin a new deployment "
                    "under another topics.prefix and worker.application_id, and publish history to it. Nothing was "
                    "changed."
                )
            topics[name] = topic.topic_id
            if old is not None:
                replaced[old] = name
                told.append(f"{full} {topic.topic_id} takes the place of {old}, and is read from its beginning")
        for one in replaces:
            if one not in replaced:
                replaced[one] = ""
                told.append(f"offsets in {one} are given up")
        return replace(here, topics=topics, replaced=replaced)

    await record_deployment(settings, wanted)
    return told


async def _empty(settings: Settings, topics: Sequence[str]) -> set[str]:
    """Return the topics that have never had a record."""
    consumer = AIOKafkaConsumer(**settings.kafka.client_options(), enable_auto_commit=False)
    try:
        await consumer.start()
        places = [TopicPartition(topic, part) for topic in topics for part in range(settings.topics.partitions)]
        ends = await consumer.end_offsets(places)
    finally:
        await consumer.stop()
    return {topic for topic in topics if not any(end for place, end in ends.items() if place.topic == topic)}
