"""Administers topics: how each has to be configured, what differs on a cluster, and creating and altering them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from schemas.errors import FatalError
from schemas.topics import TOPICS
from streams.engine.agent_task import input_topics
from streams.engine.agents import all_agents
from streams.kafka.changelog_format import changelog_topic
from streams.kafka.dead_letters import REPLAYED_TOPIC
from streams.kafka.retry import can_read, codec_remedy
from streams.settings import Settings

_DAY_MS = 86_400_000
# Days that records are kept unless settings say otherwise. What came in and was said is kept for good, so that
# a history can be replayed; barriers are of no use once a day is closed, and of what was learned the last word counts.
# What people said of themselves is kept no longer than it takes to look into a complaint: the states have what decides.
# Offers and decisions say what a borrower may be able to pay, and why; no record can be taken out of a topic of events.
# So whoever reads them stores what they need, and the topics let go within 30 days, by which an erasure has to be done
# (GDPR art. 12(3)): 29, and one until the segment closes.
_KEPT_DAYS = {
    "barriers": 7,
    "learning": 30,
    **dict.fromkeys(("profiles", "feedback", "dead-letters"), 90),
    **dict.fromkeys(("offers", "decisions", "evidence"), 29),
}
# Kafka deletes whole segments, so the first record of one lives as much longer as the segment took to fill.
_SEGMENTS, _MOST_SEGMENT_DAYS = 30, 7
_MIB = 1024 * 1024
# Seconds until brokers must tell of topics that were made.
_PATIENCE = 30
# What this deployment is made of (`streams.kafka.deployment`), in one partition.
DEPLOYMENT_TOPIC = "deployment"
# Settings of topics that may be larger than asked for, those without which a worker would lose or double something,
# and the source of a setting that is the topic's own, as Kafka's protocol has it.
_AT_LEAST = ("max.message.bytes", "min.insync.replicas")
_NEEDED = ("cleanup.policy", "message.timestamp.type", *_AT_LEAST)
_OWN = 1


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic has to be. `config`: only what matters to us; the rest is the operator's."""

    name: str
    partitions: int
    replicas: int
    config: dict[str, str]


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """What is not as it has to be.

    mendable: `reprieve topics apply` can put it right. refused: a worker would lose, double or miss something by it,
    and does not work; else it works on, and says so.
    """

    topic: str
    message: str
    mendable: bool
    refused: bool = True


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """Return all topics that settings ask for: all with the same partitions, since tasks read them together."""
    wanted, made = settings.topics, []
    for topic in TOPICS.values():
        days = wanted.retention_days.get(topic.name, _KEPT_DAYS.get(topic.name))
        config = {
            "cleanup.policy": "delete",
            "retention.ms": "-1" if days is None else str(days * _DAY_MS),
            # Tasks put records of different topics in order by when the broker took them.
            "message.timestamp.type": "LogAppendTime",
            # A dead letter holds the record that was refused, and a record may be a mebibyte.
            "max.message.bytes": str((4 if topic.name == "dead-letters" else 2) * _MIB),
        }
        if days is not None:
            segment_days = min(max(1, days // _SEGMENTS), _MOST_SEGMENT_DAYS)
            config["segment.ms"] = str(segment_days * _DAY_MS)
        made.append(_plan(settings, wanted.prefix + topic.name, config))
    for agent, _ in all_agents():
        config = {"cleanup.policy": "compact", "max.message.bytes": str(8 * _MIB), "min.cleanable.dirty.ratio": "0.2"}
        # What was written over is gone after that time, and with it the data keys of borrowers who were erased.
        config["max.compaction.lag.ms"] = str(_DAY_MS)
        made.append(_plan(settings, changelog_topic(settings, agent.name), config))
    made.append(_plan(settings, wanted.prefix + REPLAYED_TOPIC, {"cleanup.policy": "compact"}))
    made.append(_plan(settings, wanted.prefix + DEPLOYMENT_TOPIC, {"cleanup.policy": "compact"}, partitions=1))
    return made


def worker_topics(settings: Settings) -> frozenset[str]:
    """Return the topics that tasks read, each partition by its own task, and their changelogs; with their prefix."""
    agents = all_agents()
    inputs = {topic for agent, _ in agents for topic in input_topics(agent)} | {"clock", "barriers", "learning"}
    names = {settings.topics.prefix + topic for topic in inputs}
    return frozenset(names | {changelog_topic(settings, agent.name) for agent, _ in agents})


def _plan(settings: Settings, name: str, config: dict[str, str], partitions: int | None = None) -> TopicSpec:
    wanted = settings.topics
    config["min.insync.replicas"] = str(wanted.min_insync_replicas)
    return TopicSpec(name, partitions or wanted.partitions, wanted.replication_factor, config)


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield an admin client that is connected. Raises what aiokafka raises while the broker is away."""
    admin = AIOKafkaAdminClient(**settings.kafka.client_options())
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def find_differences(settings: Settings) -> list[TopicDifference]:
    """Return what differs on the cluster. Raises what aiokafka raises while the broker is away."""
    async with admin_client(settings) as admin:
        return await _differences(admin, topic_specs(settings), worker_topics(settings))


async def apply_topics(settings: Settings) -> list[str]:
    """Make the cluster as settings ask, and return what was done, a line each.

    Raises FatalError where that would lose something, or is not ours to do: the partitions of a topic decide where each
    key belongs, so their number is never changed, and which brokers keep replicas is for operators to say.
    """
    async with admin_client(settings) as admin:
        return await _apply(admin, topic_specs(settings), worker_topics(settings))


async def _differences(
    admin: AIOKafkaAdminClient, wanted: list[TopicSpec], read: frozenset[str]
) -> list[TopicDifference]:
    there = await _partitions(admin, wanted)
    found = [
        TopicDifference(
            plan.name, "is missing, or this user may not see it; `reprieve topics apply` makes it", mendable=True
        )
        for plan in wanted
        if plan.name not in there
    ]
    found += [
        _other_partitions(plan, len(there[plan.name]), plan.name in read)
        for plan in wanted
        if plan.name in there and len(there[plan.name]) != plan.partitions
    ]
    # More copies than were asked for do no harm.
    found += [
        TopicDifference(
            plan.name,
            f"has a partition with {min(there[plan.name])} of the {plan.replicas} replicas that settings ask for; add "
            "replicas with kafka-reassign-partitions, delete the topic where nothing is in it yet and let `reprieve "
            "topics apply` make it anew, or set topics.replication_factor to what is there",
            mendable=False,
        )
        for plan in wanted
        if min(there.get(plan.name, ()), default=plan.replicas) < plan.replicas
    ]
    configs = await _configs(admin, [plan.name for plan in wanted if plan.name in there])
    for plan in wanted:
        if plan.name in there:
            found += _other_config(plan, {name: value for name, (value, _) in configs[plan.name].items()})
    return found


def _other_partitions(plan: TopicSpec, there: int, read: bool) -> TopicDifference:
    if there > plan.partitions and not read:
        return TopicDifference(
            plan.name,
            f"has {there} partitions where settings ask for {plan.partitions}; nothing is written to those behind the "
            f"first {plan.partitions}, which does no harm",
            mendable=False,
            refused=False,
        )
    return TopicDifference(
        plan.name,
        f"has {there} partitions where settings ask for {plan.partitions}. Accounts are placed and kept by that "
        f"number: where workers have run with {plan.partitions}, leave topics.partitions as it is, and see "
        f'"Partitions were added" in docs/operations.md. Where none has run yet, set topics.partitions to {there}',
        mendable=False,
    )


def _other_config(plan: TopicSpec, there: dict[str, str | None]) -> Iterator[TopicDifference]:
    for name, value in plan.config.items():
        now = there.get(name)
        if _suffices(name, now, value):
            continue
        more = " at least" if name in _AT_LEAST else ""
        yield TopicDifference(
            plan.name,
            f"has {name}={now} where it must be{more} {value}; `reprieve topics apply` sets it",
            mendable=True,
            refused=name in _NEEDED,
        )
    codec = there.get("compression.type")
    if codec is not None and not can_read(codec):
        yield TopicDifference(
            plan.name,
            f"has compression.type={codec}, which cannot be read here: {codec_remedy(codec)}",
            mendable=False,
        )


def _suffices(name: str, now: str | None, wanted: str) -> bool:
    return now == wanted or (name in _AT_LEAST and now is not None and int(now) >= int(wanted))


async def _apply(admin: AIOKafkaAdminClient, wanted: list[TopicSpec], read: frozenset[str]) -> list[str]:
    found = await _differences(admin, wanted, read)
    hard = [f"{d.topic} {d.message}" for d in found if d.refused and not d.mendable]
    if hard:
        raise FatalError(f"{hard[0]}. Nothing was changed.")
    there = await _partitions(admin, wanted)
    done = []
    fresh = [plan for plan in wanted if plan.name not in there]
    if fresh:
        answer = await admin.create_topics(
            [NewTopic(plan.name, plan.partitions, plan.replicas, topic_configs=plan.config) for plan in fresh]
        )
        for name, code, reason, *_ in answer.topic_errors:
            if code:
                raise FatalError(f"Kafka did not make the topic {name}: {for_code(code).__name__} {reason or ''}.")
        await _told_of(admin, fresh)
        done += [f"{plan.name} made with {plan.partitions} partitions" for plan in fresh]
    unlike = {d.topic for d in found if d.mendable} & there.keys()
    configs = await _configs(admin, sorted(unlike))
    for plan in wanted:
        if plan.name in unlike:
            now = configs[plan.name]
            # Kafka takes all of a topic's own settings anew: those that are the operator's go with ours.
            own = {name: value for name, (value, is_own) in now.items() if is_own}
            mended = {d for d in plan.config if not _suffices(d, now[d][0] if d in now else None, plan.config[d])}
            config = own | {name: plan.config[name] for name in mended}
            answers = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, plan.name, config)])
            for code, reason, *_ in (one for answer in answers for one in answer.resources):
                if code:
                    raise FatalError(f"Kafka did not set {plan.name}: {for_code(code).__name__} {reason or ''}.")
            done.append(f"{plan.name} set to {', '.join(f'{k}={plan.config[k]}' for k in plan.config if k in mended)}")
    return done


async def _told_of(admin: AIOKafkaAdminClient, made: list[TopicSpec]) -> None:
    """Wait until brokers tell of topics: the controller knows of them before brokers do."""
    deadline = time.monotonic() + _PATIENCE
    while (await _partitions(admin, made)).keys() < {plan.name for plan in made}:
        if time.monotonic() > deadline:
            raise FatalError(f"Kafka made topics and does not tell of them after {_PATIENCE} seconds. Ask it again.")
        await asyncio.sleep(0.05)


async def _partitions(admin: AIOKafkaAdminClient, wanted: list[TopicSpec]) -> dict[str, list[int]]:
    """Return of those topics that there are how many replicas each partition has, on brokers that are away too."""
    names = set(await admin.list_topics()) & {plan.name for plan in wanted}
    if not names:
        return {}
    found = await admin.describe_topics(sorted(names))
    return {topic["topic"]: [len(partition["replicas"]) for partition in topic["partitions"]] for topic in found}


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, tuple[str | None, bool]]]:
    """Return the settings of topics by name, each with whether it is the topic's own and not the broker's default."""
    found: dict[str, dict[str, tuple[str | None, bool]]] = {}
    if not names:
        return found
    answers: list[Any] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, n) for n in names])
    for answer in answers:
        for code, reason, _, name, entries in answer.resources:
            if code:
                raise KafkaError(f"{name}: {reason}")
            found[name] = {entry[0]: (entry[1], entry[3] == _OWN) for entry in entries}
    return found


@dataclass(frozen=True, slots=True)
class ShorterRetention:
    """A topic that would keep less. was, will: days, None for good. inbound: it holds what others have said."""

    topic: str
    was: float | None
    will: float
    inbound: bool

    def __str__(self) -> str:
        was = "for good" if self.was is None else f"{self.was:g} days"
        return f"{self.topic} keeps records {self.will:g} days and no longer {was}: Kafka deletes what is older"


async def shorter_retentions(settings: Settings) -> list[ShorterRetention]:
    """Return the topics whose records settings ask to be kept shorter than the cluster keeps them now."""
    wanted, prefix = topic_specs(settings), settings.topics.prefix
    async with admin_client(settings) as admin:
        there = await _configs(admin, sorted(await _partitions(admin, wanted)))
    found = []
    for plan in wanted:
        now, will = there.get(plan.name, {}).get("retention.ms", (None, False))[0], plan.config.get("retention.ms")
        if now is None or will is None or int(will) < 0 or 0 <= int(now) <= int(will):
            continue
        topic = TOPICS.get(plan.name.removeprefix(prefix))
        was = None if int(now) < 0 else int(now) / _DAY_MS
        found.append(ShorterRetention(plan.name, was, int(will) / _DAY_MS, topic is not None and topic.inbound))
    return found
