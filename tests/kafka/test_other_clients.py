"""Payment systems in other languages feed a worker, with a registry and without one."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Producer

from deploy.local.jars import classpath, java
from deploy.local.processes import free_port
from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import TOPIC_OF, TOPICS, key_of
from simulator.runs import simulate
from streams.cli import cli
from streams.engine.partitioning import partition_of
from streams.kafka.audit import KafkaAudit
from streams.kafka.compat import connected
from streams.registry import ConfluentRegistry, register_all
from streams.settings import RegistrySettings
from tests.support.canaries import erasure
from tests.support.faulty_proxy import FaultyProxy
from tests.support.registry_server import RegistryServer
from tests.support.worker_cluster import TIMEOUT, WorkerCluster

# Topic, partition, key, value; None where all before it must have arrived.
Line = tuple[str, int | None, str | None, bytes] | None
Feed = Callable[[str, Sequence[Line]], None]


def by_java(bootstrap: str, lines: Sequence[Line], codec: str = "none") -> None:
    """Publish with the Java client as it is by default, but for what it compresses with."""
    text = "\n".join(
        "flush" if line is None else "\t".join(("-" if p is None else str(p)) for p in line[:3]) + "\t" + line[3].hex()
        for line in lines
    )
    program = Path(__file__).with_name("Produce.java")
    subprocess.run(
        [java(), "-cp", classpath(), str(program), bootstrap, codec],
        input=text.encode(),
        check=True,
        timeout=120,
        capture_output=True,
    )


def by_librdkafka(bootstrap: str, lines: Sequence[Line], **options: str) -> None:
    """Publish with librdkafka; without options keys fall on partitions by CRC-32."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", **options})
    for line in lines:
        if line is None:
            producer.flush()
            continue
        topic, partition, key, value = line
        place = {} if partition is None else {"partition": partition}
        producer.produce(topic, value, key, **place)
    assert producer.flush(60) == 0


def by_librdkafka_as_java(bootstrap: str, lines: Sequence[Line]) -> None:
    """Publish with librdkafka, told to place keys as everybody else does."""
    by_librdkafka(bootstrap, lines, partitioner="murmur2_random")


def lines_of(workers: WorkerCluster, events: Sequence[ev.Event], codec: Codec) -> list[Line]:
    """Return events as a payment system would publish them."""
    lines: list[Line] = []
    for event in events:
        topic = workers.prefix + TOPIC_OF[type(event)].name
        value = codec.encode(event, topic)
        if isinstance(event, ev.DayClosed):
            lines += [None, *((topic, part, None, value) for part in range(workers.partitions)), None]
        else:
            lines.append((topic, None, key_of(event), value))
    return lines


@pytest.fixture(scope="module")
def events() -> list[ev.Event]:
    """Two weeks of a small lender."""
    return list(simulate(accounts=25, days=12, seed=8, start=date(2026, 1, 5), close_every=4))


@pytest.fixture(scope="module")
def registry(kafka_parts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A real registry."""
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def known(registry: RegistryServer) -> Iterator[ConfluentRegistry]:
    """A client of it."""
    with closing(ConfluentRegistry(RegistrySettings(url=registry.url))) as client:
        yield client


@pytest.mark.parametrize("feed", [by_java, by_librdkafka_as_java])
def test_other_clients_feed_a_worker(feed: Feed, workers: WorkerCluster, events: list[ev.Event]) -> None:
    feed(workers.bootstrap, lines_of(workers, events, Codec()))
    workers.start()
    workers.wait_until_idle()
    workers.assert_exact(events)


@pytest.mark.parametrize("wrong_partition", ["refuse", "rekey"])
def test_keys_placed_by_another_hash_are_refused_or_forwarded(
    wrong_partition: str, workers: WorkerCluster, events: list[ev.Event]
) -> None:
    opened = [event for event in events if isinstance(event, ev.AccountOpened)]
    by_librdkafka(workers.bootstrap, lines_of(workers, opened, Codec()))
    workers.start(wrong_partition=wrong_partition)
    workers.wait_until_idle()
    said = workers.outputs()
    refused = {letter.key for letter in said if isinstance(letter, ev.DeadLetter)}
    if wrong_partition == "rekey":
        workers.assert_exact(opened)
        return
    codes = Counter(letter.code for letter in said if isinstance(letter, ev.DeadLetter))
    assert set(codes) == {"wrong_partition"}
    # Of three partitions about a third of the keys fall on the right one by chance.
    assert 0 < len(refused) < len(opened)


def test_a_worker_with_a_registry_uses_confluent_framing(
    workers: WorkerCluster, events: list[ev.Event], known: ConfluentRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    workers.registry = known.url
    workers.start()
    workers.wait(lambda: "has no such schema under the subject" in workers.log(), "a word about the missing schemas")
    assert workers.processes.pop("one").wait(TIMEOUT) == 1
    assert "Run `reprieve schemas register`" in workers.log().splitlines()[-1]

    command = ["schemas", "register", "--config", str(workers.folder / "one.toml")]
    assert cli(command, standalone_mode=False) is None
    once = capsys.readouterr().out
    assert f"{workers.prefix}payments-reprieve.PaymentReceived" in once
    cli(command, standalone_mode=False)
    assert capsys.readouterr().out == once

    workers.codec = Codec(known)
    lines = lines_of(workers, events, workers.codec)
    assert {line[3][:1] for line in lines if line is not None} == {b"\0"}
    by_librdkafka_as_java(workers.bootstrap, lines)
    # An id that nobody has registered, on the partition of its key.
    workers.produce("payments", partition_of(b"nobody", workers.partitions), b"nobody", b"\0\x7f\xff\xff\xff")
    workers.start()
    workers.wait_until_idle()
    workers.assert_exact(events, Counter(unknown_schema=1))


def test_a_registry_that_goes_away_is_waited_for(
    workers: WorkerCluster, events: list[ev.Event], registry: RegistryServer, known: ConfluentRegistry
) -> None:
    nowhere = free_port()
    with FaultyProxy(1) as proxy:
        workers.registry = registry.url.replace(str(registry.port), str(proxy.ports[0]))
        proxy.set_targets([registry.port])
        register_all(workers.settings())
        workers.codec = Codec(known)
        lines = lines_of(workers, events, workers.codec)
        workers.start()
        workers.wait(lambda: '"event": "tasks_open"' in workers.log(), "its tasks")
        proxy.set_targets([nowhere])
        proxy.cut()
        by_librdkafka_as_java(workers.bootstrap, lines)
        workers.wait(
            lambda: '"doing": "asking the registry for a schema"' in workers.log(), "a word about the registry"
        )
        workers.assert_running()
        proxy.set_targets([registry.port])
        workers.wait_until_idle()
        workers.assert_exact(events)


def test_the_cloudevents_sdk_reads_every_record_of_a_run(
    workers: WorkerCluster,
) -> None:
    # Few closes, since each costs time.
    history = [
        event
        for event in simulate(accounts=25, days=180, seed=1)
        if not isinstance(event, ev.DayClosed) or event.business_date.toordinal() % 20 == 0
    ]
    last = next(event for event in reversed(history) if isinstance(event, ev.DayClosed))
    who = next(event.borrower_id for event in history if isinstance(event, ev.AccountOpened))
    poison = b"nothing that anybody wrote"
    workers.start()
    workers.publish([*history, erasure(who, last.business_date)])
    workers.produce("payments", 0, b"x", poison)
    workers.wait_until_idle()

    async def records() -> dict[str, list[Any]]:
        await KafkaAudit(workers.settings(), workers.codec, "test").record(
            [(who, ["means.region"])], "li.wei", "hotline"
        )
        found: dict[str, list[Any]] = {}
        async with connected(
            AIOKafkaConsumer(
                bootstrap_servers=workers.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
            )
        ) as consumer:
            tps = [
                TopicPartition(workers.prefix + topic, part) for topic in TOPICS for part in range(workers.partitions)
            ]
            consumer.assign(tps)
            ends = await workers.end_offsets(tps)
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for tp, some in (await consumer.getmany(timeout_ms=200)).items():
                    found.setdefault(tp.topic.removeprefix(workers.prefix), []).extend(some)
        return found

    found = asyncio.run(records())
    # No guardrail trips in so short a run.
    assert {name for name, topic in TOPICS.items() if not topic.inbound} - found.keys() <= {"guardrails"}
    kinds = set()
    for name, some in found.items():
        for record in some:
            if record.value == poison:
                continue
            event = workers.codec.decode(record.value)
            headers = dict(record.headers)
            assert len(headers) == len(record.headers)
            message = KafkaMessage(headers=headers, key=record.key, value=record.value)
            read = from_binary(message, JSONFormat(), CloudEvent)
            assert read.get_id() == event.event_id, name
            assert read.get_type() == f"reprieve.{type(event).__name__}"
            assert read.get_datacontenttype() == "application/avro"
            assert read.get_data() == record.value
            kinds.add(type(event))
    assert {ev.PersonalDataRead, ev.PersonalDataErased, ev.DeadLetter, ev.OfferPublished, ev.DayClosed} <= kinds
