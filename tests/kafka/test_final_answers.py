"""What brokers will answer for ever ends a worker with a sentence, also before it is a member of its group."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.errors import (
    FetchSessionIdNotFound,
    InvalidSessionTimeoutError,
    KafkaConnectionError,
    KafkaError,
    NotLeaderForPartitionError,
    UnknownTopicOrPartitionError,
    UnsupportedVersionError,
)
from confluent_kafka import Consumer

from streams.kafka.retry import permanent_error
from streams.settings import Settings
from tests.support.servers import KafkaTestCluster
from tests.support.worker_cluster import TIMEOUT, WorkerCluster

LIMITS = {
    "group.min.session.timeout.ms": 4_000,
    "group.max.session.timeout.ms": 8_000,
    "transaction.max.timeout.ms": 20_000,
}


@pytest.fixture(scope="module")
def strict(kafka_parts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaTestCluster]:
    """A broker that allows less than ours do by default."""
    with KafkaTestCluster(tmp_path_factory.mktemp("strict"), properties=LIMITS) as cluster:
        yield cluster


def last_words(workers: WorkerCluster, **worker: object) -> str:
    assert workers.start(**worker).wait(TIMEOUT) == 1
    workers.processes.pop("one")
    last = workers.log().strip().splitlines()[-1]
    assert last.startswith("reprieve: Kafka refuses this process (")
    assert "Nothing that was committed is lost" in last
    return last


@pytest.mark.parametrize("seconds", [3, 10])
def test_a_session_timeout_that_brokers_do_not_allow_is_named(
    strict: KafkaTestCluster, tmp_path: Path, seconds: int
) -> None:
    allowed = {"transaction_timeout_seconds": 10}
    with WorkerCluster(strict.bootstrap, tmp_path, f"session-{seconds}") as workers:
        last = last_words(workers, session_timeout_seconds=seconds, **allowed)
        assert f"worker.session_timeout_seconds is {seconds}: set it between the brokers'" in last
        workers.start(session_timeout_seconds=6, **allowed)
        workers.wait(lambda: bool(workers.log_lines("tasks_open")), "its tasks")


def test_a_transaction_timeout_brokers_refuse_is_named(strict: KafkaTestCluster, tmp_path: Path) -> None:
    with WorkerCluster(strict.bootstrap, tmp_path, "transaction") as workers:
        last = last_words(workers, session_timeout_seconds=6, transaction_timeout_seconds=60)
        assert "worker.transaction_timeout_seconds is 60: set it to no more than the brokers'" in last


def test_another_program_in_the_group_is_named(workers: WorkerCluster) -> None:
    other = Consumer({"bootstrap.servers": workers.bootstrap, "group.id": workers.group, "session.timeout.ms": 6000})
    try:
        other.subscribe([workers.prefix + "payments"])
        workers.wait(lambda: other.poll(0.2) is None and bool(other.assignment()), "the other program's partitions")
        assert f"Another program is in the group {workers.group}" in last_words(workers)
    finally:
        other.close()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InvalidSessionTimeoutError(), "worker.session_timeout_seconds is 10"),
        (KafkaError("UnsupportedVersionError()"), "Run brokers of Kafka 3.0 or later"),
        (KafkaError("[Error 35] UnsupportedVersionError"), "Run brokers of Kafka 3.0 or later"),
        (UnsupportedVersionError(), "Run brokers of Kafka 3.0 or later"),
        (KafkaConnectionError("away"), None),
        (NotLeaderForPartitionError(), None),
        (UnknownTopicOrPartitionError(), None),
        (FetchSessionIdNotFound(), None),
        (KafkaError("something"), None),
        (OSError("InvalidSessionTimeoutError"), None),
    ],
)
def test_only_what_no_repetition_mends_is_final(error: Exception, told: str | None) -> None:
    final = permanent_error(Settings.load(), "joining the group", error)
    assert (final is None) == (told is None)
    if told is not None:
        assert "(joining the group)" in str(final)
        assert told in str(final)
