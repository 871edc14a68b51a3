"""What a deployment is made of: its topics by their ids, and the number of partitions by which accounts lie.

It is a record of the compacted topic `deployment`, written before a worker begins its first partition; so it outlives
every disk. Each partition's account changelog has what its offsets count in (`Origin`), in the transaction that has the
offsets, and each store on a disk has the id of the changelog that it follows. A topic that was made anew, whose
partitions were added to, or that is of another deployment, is found by these before a record of it is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, ProducerFenced
from msgspec import DecodeError, Struct, ValidationError, json
from msgspec.structs import replace

from schemas.errors import FatalError, RetryableError
from schemas.topics import TOPICS
from streams.kafka.committed_reader import read_committed
from streams.kafka.metrics import TOPICS_DIFFER
from streams.kafka.topic_admin import DEPLOYMENT_TOPIC, TopicDifference, find_differences, topic_specs, worker_topics
from streams.kafka.topic_ids import Seen, TopicIds
from streams.kafka.transactions import transactional_producer
from streams.settings import Settings

log: Any = structlog.get_logger(__name__)

_KEY = b"deployment"
# The form in which this release writes the record.
_FORM = 1
ORIGIN = "origin"


class Deployment(Struct, frozen=True):
    """What a deployment is made of. topics: ids by name without the prefix.

    replaced: names by the ids of topics whose place another has taken with an operator's consent. form: of the record.
    """

    application_id: str
    prefix: str
    partitions: int
    topics: dict[str, str]
    replaced: dict[str, str] = {}
    form: int = _FORM

    def origin(self) -> Origin:
        """Return it as a partition keeps it."""
        return Origin(self.partitions, self.topics)


class _Form(Struct):
    form: int


class Origin(Struct, frozen=True):
    """What the states and offsets of a partition are of: the number of partitions, and the ids of topics."""

    partitions: int
    topics: dict[str, str]

    def text(self) -> str:
        """Return it as a row's text."""
        return json.encode(self).decode()

    @staticmethod
    def of(text: str | None) -> Origin | None:
        """Return what a row's text says, None where there is no row."""
        return None if text is None else json.decode(text, type=Origin)

    def remade(self, partition: int, now: Deployment) -> set[str]:
        """Return the topics that others have replaced since, in which the partition begins at the first record.

        Raises FatalError where it is of something else than the deployment's record says.
        """
        if self.partitions != now.partitions:
            raise FatalError(
                f"Partition {partition} was kept by {self.partitions} partitions, and the topic {now.prefix}"
                f"{DEPLOYMENT_TOPIC} says {now.partitions}: accounts would be looked for where they do not lie. Set "
                f"topics.partitions to {self.partitions}, and bring {now.prefix}{DEPLOYMENT_TOPIC} back, or delete it "
                "and let `reprieve topics apply` make it anew."
            )
        other = {name for name, known in self.topics.items() if now.topics.get(name, known) != known}
        for name in sorted(other):
            if self.topics[name] not in now.replaced:
                raise FatalError(
                    f"The offsets of partition {partition} count in the topic {now.prefix}{name} with the id "
                    f"{self.topics[name]}, and there is another now ({now.topics[name]}). Nothing says that it takes "
                    "the other's place. Publish again what had not been read of it, then run `reprieve deployment "
                    f"adopt --replaces {self.topics[name]}`."
                )
        return other


def deployment_topics(settings: Settings) -> dict[str, str]:
    """Return the topics that belong to a deployment, by their name without the prefix."""
    prefix = settings.topics.prefix
    found = (plan.name for plan in topic_specs(settings))
    return {name.removeprefix(prefix): name for name in found if name != prefix + DEPLOYMENT_TOPIC}


def topic_faults(known: Deployment, settings: Settings, seen: Seen) -> Iterator[str]:
    """Yield what is not as a deployment's record says, a sentence each that says what to do."""
    yield from setting_faults(known, settings)
    read = worker_topics(settings)
    for name, full in deployment_topics(settings).items():
        topic = seen.get(full)
        if topic is None or name not in known.topics:
            continue
        if topic.topic_id != known.topics[name]:
            yield (
                f"{full} is another topic than the one that this deployment has worked with: it was deleted and made "
                f"anew, or restored (id {known.topics[name]}, now {topic.topic_id}). Nothing was read of it. See "
                '"A topic was made anew" in docs/operations.md: publish again what had not been read, then `reprieve '
                "deployment adopt`."
            )
        elif topic.partitions > known.partitions and full in read:
            inbound = name in TOPICS and TOPICS[name].inbound
            yield (
                f"{full} has {topic.partitions} partitions now, and this deployment began with {known.partitions}, by "
                "which every account is placed and kept. Kafka takes no partition away, and topics.partitions must "
                f"stay {known.partitions}. "
                + (
                    f"Stop its producers, delete {full}, run `reprieve topics apply`, publish to it again, "
                    'then `reprieve deployment adopt`; see "Partitions were added" in docs/operations.md.'
                    if inbound
                    else 'See "Partitions were added" in docs/operations.md.'
                )
            )


def setting_faults(known: Deployment, settings: Settings) -> Iterator[str]:
    """Yield which settings are not as a deployment's record says, a sentence each that says what to do."""
    record = f"the topic {settings.topics.prefix}{DEPLOYMENT_TOPIC}"
    if settings.topics.partitions != known.partitions:
        yield (
            f"topics.partitions is {settings.topics.partitions}, and this deployment began with {known.partitions} "
            f"({record}): accounts would be looked for where they do not lie. Set topics.partitions to "
            f"{known.partitions}."
        )
    if settings.topics.prefix != known.prefix:
        yield (
            f"The topics under {settings.topics.prefix} are copies of those under {known.prefix} ({record}), and what "
            f"waits in them names these. Set topics.prefix to {known.prefix}, and copy topics without renaming them."
        )
    if settings.worker.application_id != known.application_id:
        yield (
            f"worker.application_id is {settings.worker.application_id}, and this deployment's is "
            f"{known.application_id} ({record}): workers of both would write at once. Set it to "
            f"{known.application_id}; or stop all workers, and run `reprieve deployment adopt`."
        )


async def recorded_deployment(settings: Settings) -> Deployment | None:
    """Return what the record says, None where there is none, or no topic for it.

    Raises FatalError where it cannot be understood, and what aiokafka raises while the broker is away.
    """
    async with TopicIds(settings) as ids:
        there = await ids.ask([settings.topics.prefix + DEPLOYMENT_TOPIC])
    return await _read(settings) if any(there) else None


async def _read(settings: Settings) -> Deployment | None:
    value: bytes | None = None
    async with aclosing(read_committed(settings, [DEPLOYMENT_TOPIC])) as records:
        async for record in records:
            if record.key == _KEY:
                value = record.value
    if value is None:
        return None
    try:
        form = json.decode(value, type=_Form).form
        found = None if form > _FORM else json.decode(value, type=Deployment)
    except (DecodeError, ValidationError) as error:
        raise FatalError(
            f"What {settings.topics.prefix}{DEPLOYMENT_TOPIC} says of this deployment cannot be understood ({error}). "
            "Another program has written there: see who may, with `reprieve topics acl`."
        ) from error
    if found is None:
        raise FatalError(
            f"{settings.topics.prefix}{DEPLOYMENT_TOPIC} was written by a newer release (form {form}, this one "
            f"knows {_FORM}). Install that release again."
        )
    return found


async def verify_deployment(settings: Settings) -> Deployment:
    """Return what this deployment is made of, once its topics are seen to be as settings and the record say.

    Raises FatalError where they are not, and what aiokafka raises while the broker is away.
    """
    known = await recorded_deployment(settings)
    for fault in () if known is None else setting_faults(known, settings):
        raise FatalError(f"{fault} The worker did not start.")
    if known is not None:
        for seen in await topic_ids(settings):
            for fault in topic_faults(known, settings, seen):
                raise FatalError(f"{fault} The worker did not start.")
    found = await find_differences(settings)
    report_lenient_differences(found)
    refused = [difference for difference in found if difference.refused]
    if refused:
        more = f" ({len(refused) - 1} more: `reprieve topics check`)" if len(refused) > 1 else ""
        raise FatalError(f"{refused[0].topic} {refused[0].message}{more}. The worker did not start.")
    return await _taken_up(settings)


async def topic_ids(settings: Settings) -> list[Seen]:
    """Return what brokers say of the topics of a deployment, as TopicIds.ask does."""
    async with TopicIds(settings) as ids:
        return await ids.ask(deployment_topics(settings).values())


async def _taken_up(settings: Settings) -> Deployment:
    """Return what this deployment is made of, and record it where it is not recorded yet.

    A deployment of an earlier release, and topics that came with this one, are taken as they are. Raises FatalError
    where what is there is not what the record says, RetryableError where a topic is not seen yet.
    """
    answers = await topic_ids(settings)
    for seen in answers:
        missing = sorted(full for full in deployment_topics(settings).values() if full not in seen)
        if missing:
            raise RetryableError(f"{missing[0]} is not known to every broker yet")
    seen = answers[0]
    there = {name: seen[full].topic_id for name, full in deployment_topics(settings).items()}

    def wanted(known: Deployment | None) -> Deployment:
        if known is None:
            return Deployment(settings.worker.application_id, settings.topics.prefix, settings.topics.partitions, there)
        for answer in answers:
            for fault in topic_faults(known, settings, answer):
                raise FatalError(f"{fault} The worker did not start.")
        return replace(known, topics=there | known.topics)

    return await record_deployment(settings, wanted)


async def record_deployment(settings: Settings, wanted: Callable[[Deployment | None], Deployment]) -> Deployment:
    """Record what `wanted` makes of the record that there is, where it differs, and return it.

    One process at a time: whoever begins ends and fences whoever else was about it, and reads the record then.
    """
    known = await _read(settings)
    if known is not None and wanted(known) == known:
        return known
    name = f"{settings.worker.application_id}-{DEPLOYMENT_TOPIC}"
    try:
        # Who reads the record waits so long for one who was killed while he wrote it.
        async with transactional_producer(settings, name, timeout_seconds=10.0) as producer:
            await producer.begin_transaction()
            known = await _read(settings)
            found = wanted(known)
            if found != known:
                topic = settings.topics.prefix + DEPLOYMENT_TOPIC
                await producer.send_and_wait(topic, json.encode(found), key=_KEY, partition=0)
            await producer.commit_transaction()
    except (ProducerFenced, InvalidProducerEpoch) as error:
        raise RetryableError("another process records what this deployment is made of") from error
    if found != known:
        log.info("deployment_recorded", partitions=found.partitions, topics=len(found.topics), first=known is None)
    return found


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


_shown: set[str] = set()


def report_lenient_differences(found: list[TopicDifference]) -> None:
    """Tell of topics with other settings than asked for that do not keep a worker from its work, once each."""
    lenient = {difference.topic: difference for difference in found if not difference.refused}
    for topic in _shown - lenient.keys():
        _shown.discard(topic)
        TOPICS_DIFFER.labels(topic).set(0)
    for topic in lenient.keys() - _shown:
        _shown.add(topic)
        TOPICS_DIFFER.labels(topic).set(1)
        log.warning("topic_differs", topic=topic, what=lenient[topic].message)
