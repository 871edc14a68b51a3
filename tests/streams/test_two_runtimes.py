"""The local runtime and a task that is driven as Kafka drives it give the same bytes and the same states.

Within a batch a task on Kafka takes topics by their priority, so records of different keys may come in another order.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec import msgpack

from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import TOPIC_OF, TOPICS, key_of
from simulator.runs import simulate
from state.policy_packs.loader import default_book, files_of
from streams.local.runtime import LocalRuntime
from tests.support.in_memory_cluster import InMemoryCluster, InMemoryWorker

START = date(2026, 1, 5)
OUTPUTS = [t.name for t in TOPICS.values() if not t.inbound and t.name != "barriers"]
AGENTS = ("account", "planner", "learner")
WAIT = "unknown_account_wait_days: {value: 3,"


class Raw(NamedTuple):
    """A record that is published: its topic, key and value."""

    topic: str
    key: bytes | None
    value: bytes


class Outcome(NamedTuple):
    """All that comes of records: by topic and key values and headers in order, by agent and key state and facts."""

    outputs: Mapping[tuple[str, bytes | None], Sequence[tuple[bytes | None, bytes]]]
    states: Mapping[tuple[str, str], Any]


def by_key(records: Iterable[tuple[str, bytes | None, bytes | None, bytes]]) -> dict[tuple[str, bytes | None], Any]:
    """Return values and headers by topic and key, in order."""
    found = defaultdict(list)
    for topic, key, value, headers in records:
        found[topic, key].append((value, headers))
    return dict(found)


def changes(dice: random.Random) -> list[ev.PolicyChanged]:
    """Return changes of policy, one of them of how long a record waits for its account."""
    waiting = dict(files_of("default"))
    waiting["house"] = waiting["house"].replace(WAIT, f"unknown_account_wait_days: {{value: {dice.choice([1, 9, 30])},")
    assert waiting != files_of("default")
    found = []
    for number, files in enumerate((waiting, files_of("us_ffiec"), files_of("eu_dod"))):
        on = START + timedelta(dice.randrange(2, 80))
        at = datetime(on.year, on.month, on.day, 23, tzinfo=UTC) - timedelta(1)
        found.append(
            ev.PolicyChanged(
                event_id=f"c{number}", occurred_at=at, source="t", change_id=f"c{number}", effective_on=on, files=files
            )
        )
    return sorted(found, key=lambda change: change.occurred_at)


def history(seed: int) -> list[Raw]:
    """Return a population's records: some accounts opened late or never, records repeated, and some unreadable."""
    dice, codec = random.Random(seed), Codec()
    simulated = list(simulate(accounts=60, days=110, seed=seed, start=START, changes=changes(dice)))
    late = [e for e in simulated if isinstance(e, ev.AccountOpened) and dice.random() < 0.4]
    events = [event for event in simulated if event not in late]
    for event in late:
        if dice.random() < 0.8:
            events.insert(dice.randrange(len(events)), event)
    for _ in range(20):
        at = dice.randrange(len(events))
        events.insert(dice.randrange(at, len(events)), events[at])
    records = []
    for event in events:
        key = key_of(event)
        records.append(Raw(TOPIC_OF[type(event)].name, None if key is None else key.encode(), codec.encode(event)))
    for n in range(6):
        topic = dice.choice(["payments", "profiles", "clock"])
        records.insert(dice.randrange(len(records)), Raw(topic, b"A%d" % n, b"\xff%d" % n))
    return records


def local(records: Sequence[Raw], batch: int) -> Outcome:
    """Return what the local runtime makes of records, in batches of so many."""
    with LocalRuntime.open(None, default_book(), batch=batch) as runtime:
        for number, raw in enumerate(records, 1):
            runtime.publish_raw(*raw, timestamp=number)
        runtime.run()
        return Outcome(
            by_key((topic, row[3], row[4], row[5]) for topic in OUTPUTS for row in runtime._store.of_topic(topic)),
            {
                (agent, key): (runtime.state(agent, key), runtime.history(agent, key))
                for agent in AGENTS
                for key in runtime.keys(agent)
            },
        )


def driven(records: Sequence[Raw], folder: Path, cuts: Sequence[int]) -> Outcome:
    """Return what the task of the only partition makes of records. cuts: where all so far is processed first.

    At every other cut another worker takes the task over.
    """
    cluster, owner = InMemoryCluster(folder, 1, source="reprieve.local"), InMemoryWorker()

    async def run() -> dict[tuple[str, str], Any]:
        cluster.open(owner, 0)
        for number, raw in enumerate(records, 1):
            cluster.append(raw.topic, 0, raw.key, raw.value, timestamp=number)
            if number in cuts:
                await cluster.settle(owner)
                if cuts.index(number) % 2:
                    await cluster.leave(owner, 0)
                    cluster.open(owner, 0)
        await cluster.settle(owner)
        states = {
            (x.name, key): (x.store.state(key), x.store.history(key))
            for x in owner.executors[0].task.agent_tasks
            for key in x.rows.keys(x.name)
        }
        await cluster.leave(owner, 0)
        return states

    states = asyncio.run(run())
    cluster.close()
    outputs = (
        (topic, r.key, r.value, msgpack.encode(list(r.headers))) for topic in OUTPUTS for r in cluster.logs[topic, 0]
    )
    return Outcome(by_key(outputs), states)


@pytest.mark.parametrize("seed", [3, 4, 5, 6])
def test_the_two_runtimes_give_the_same_bytes_and_states(seed: int, tmp_path: Path) -> None:
    records, dice = history(seed), random.Random(seed)
    assert len(records) > 500
    wanted = local(records, 10_000)
    values = [value for (topic, _), some in wanted.outputs.items() if topic == "dead-letters" for value, _ in some]
    letters = [Codec().decode(value or b"") for value in values]
    codes = {letter.code for letter in letters if isinstance(letter, ev.DeadLetter)}
    assert codes >= {"unknown_account", "unreadable"}
    assert {topic for topic, _ in wanted.outputs} >= {"delinquency", "plans", "offers", "learning"}
    assert local(records, dice.randrange(1, 50)) == wanted
    assert driven(records, tmp_path / "at once", ()) == wanted
    assert driven(records, tmp_path / "cut", sorted(dice.sample(range(len(records)), 12))) == wanted
