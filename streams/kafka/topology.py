"""The topics that Reprieve needs: how each has to be, what differs on a cluster, and making it so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from schemas.errors import Fatal
from schemas.topics import TOPICS
from streams.at_work import agents_at_work
from streams.kafka.broker import changelog
from streams.kafka.letters import REPLAYED_TOPIC
from streams.settings import Settings

_DAY_MS = 86_400_000
# Days that records are kept unless settings say otherwise. What came in and was said is kept for good, so that
# a history can be replayed; barriers are of no use once a day is closed, and of what was learned the last word counts.
# What people said of themselves is kept no longer than it takes to look into a complaint: the states have what decides.
# From offers and decisions what a borrower can pay may be worked out; a year and a month is what judging a model takes.
_KEPT_DAYS = {
    "barriers": 7,
    "learning": 30,
    **dict.fromkeys(("profiles", "feedback", "dead-letters"), 90),
    **dict.fromkeys(("offers", "decisions", "evidence"), 400),
}
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """How a topic has to be. `config`: only what matters to us; the rest is the operator's."""

    name: str
    partitions: int
    replicas: int
    config: dict[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """What is not as it has to be. `mendable`: `reprieve topics apply` can put it right."""

    topic: str
    message: str
    mendable: bool


def plans(settings: Settings) -> list[TopicPlan]:
    """Return all topics that settings ask for: all with the same partitions, since lanes read them together."""
    wanted, made = settings.topics, []
    for topic in TOPICS.values():
        days = wanted.retention_days.get(topic.name, _KEPT_DAYS.get(topic.name))
        config = {
            "cleanup.policy": "delete",
            "retention.ms": "-1" if days is None else str(days * _DAY_MS),
            # Lanes put records of different topics in order by when the broker took them.
            "message.timestamp.type": "LogAppendTime",
            # A dead letter holds the record that was refused, and a record may be a mebibyte.
            "max.message.bytes": str((4 if topic.name == "dead-letters" else 2) * _MIB),
        }
        made.append(_plan(settings, wanted.prefix + topic.name, config))
    for agent, _ in agents_at_work():
        config = {"cleanup.policy": "compact", "max.message.bytes": str(8 * _MIB), "min.cleanable.dirty.ratio": "0.2"}
        # What was written over is gone after that time, and with it the data keys of borrowers who were erased.
        config["max.compaction.lag.ms"] = str(_DAY_MS)
        made.append(_plan(settings, changelog(settings, agent.name), config))
    made.append(_plan(settings, wanted.prefix + REPLAYED_TOPIC, {"cleanup.policy": "compact"}))
    return made


def _plan(settings: Settings, name: str, config: dict[str, str]) -> TopicPlan:
    wanted = settings.topics
    config["min.insync.replicas"] = str(wanted.min_insync_replicas)
    return TopicPlan(name, wanted.partitions, wanted.replication_factor, config)


async def differences(settings: Settings) -> list[Difference]:
    """Return what differs on the cluster. Raises what aiokafka raises while the broker is away."""
    admin = AIOKafkaAdminClient(**settings.kafka.client_options())
    await admin.start()
    try:
        return await _differences(admin, plans(settings))
    finally:
        await admin.close()


async def apply(settings: Settings) -> list[str]:
    """Make the cluster as settings ask, and return what was done, a line each.

    Raises Fatal where that would lose something, or is not ours to do: the partitions of a topic decide where each
    key belongs, so their number is never changed, and which brokers keep replicas is for operators to say.
    """
    admin = AIOKafkaAdminClient(**settings.kafka.client_options())
    await admin.start()
    try:
        return await _apply(admin, plans(settings))
    finally:
        await admin.close()


async def _differences(admin: AIOKafkaAdminClient, wanted: list[TopicPlan]) -> list[Difference]:
    there = await _partitions(admin, wanted)
    found = [
        Difference(
            plan.name, "is missing, or this user may not see it; `reprieve topics apply` makes it", mendable=True
        )
        for plan in wanted
        if plan.name not in there
    ]
    found += [
        Difference(
            plan.name,
            f"has {len(there[plan.name])} partitions where settings ask for {plan.partitions}; set topics.partitions "
            "to what is there, or move to new topics under another topics.prefix",
            mendable=False,
        )
        for plan in wanted
        if plan.name in there and len(there[plan.name]) != plan.partitions
    ]
    # More copies than were asked for do no harm.
    found += [
        Difference(
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
    found += [
        Difference(
            plan.name,
            f"has {name}={configs[plan.name].get(name)} where it must be {value}; `reprieve topics apply` sets it",
            mendable=True,
        )
        for plan in wanted
        if plan.name in there
        for name, value in plan.config.items()
        if configs[plan.name].get(name) != value
    ]
    return found


async def _apply(admin: AIOKafkaAdminClient, wanted: list[TopicPlan]) -> list[str]:
    found = await _differences(admin, wanted)
    hard = [f"{d.topic} {d.message}" for d in found if not d.mendable]
    if hard:
        raise Fatal(f"{hard[0]}. Nothing was changed.")
    there = await _partitions(admin, wanted)
    done = []
    fresh = [plan for plan in wanted if plan.name not in there]
    if fresh:
        answer = await admin.create_topics(
            [NewTopic(plan.name, plan.partitions, plan.replicas, topic_configs=plan.config) for plan in fresh]
        )
        for name, code, reason, *_ in answer.topic_errors:
            if code:
                raise Fatal(f"Kafka did not make the topic {name}: {for_code(code).__name__} {reason or ''}.")
        done += [f"{plan.name} made with {plan.partitions} partitions" for plan in fresh]
    unlike = {d.topic for d in found} & there.keys()
    for plan in wanted:
        if plan.name in unlike:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, plan.name, plan.config)])
            done.append(f"{plan.name} set to {', '.join(f'{k}={v}' for k, v in plan.config.items())}")
    return done


async def _partitions(admin: AIOKafkaAdminClient, wanted: list[TopicPlan]) -> dict[str, list[int]]:
    """Return of those topics that there are how many replicas each partition has, on brokers that are away too."""
    names = set(await admin.list_topics()) & {plan.name for plan in wanted}
    if not names:
        return {}
    found = await admin.describe_topics(sorted(names))
    return {topic["topic"]: [len(partition["replicas"]) for partition in topic["partitions"]] for topic in found}


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    if not names:
        return found
    answers: list[Any] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, n) for n in names])
    for answer in answers:
        for code, reason, _, name, entries in answer.resources:
            if code:
                raise KafkaError(f"{name}: {reason}")
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found
