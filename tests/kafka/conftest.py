"""A real Apache Kafka for the tests of this folder."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka.compat import connected
from tests.support.servers import KafkaTestCluster

# Its assertions are told as those of a test.
pytest.register_assert_rewrite("tests.support.worker_cluster")

from tests.support.worker_cluster import WorkerCluster  # noqa: E402

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kafka_parts() -> None:
    """Skip where Apache Kafka cannot be had."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            pytest.skip(f"Apache Kafka needs {program}, which is not here")


@pytest.fixture(scope="session")
def kafka(kafka_parts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaTestCluster]:
    """One broker for all tests of a process; each uses topics and groups of its own."""
    with KafkaTestCluster(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


@pytest.fixture
def workers(kafka: KafkaTestCluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[WorkerCluster]:
    """Topics, a group and folders for one test, whose workers are ended with it."""
    # Topics of two tests must differ, however long their names are.
    name = f"{request.node.originalname[:40]}-{next(_numbers)}"
    with WorkerCluster(kafka.bootstrap, tmp_path, name) as made:
        yield made
    # Whoever asks a broker for all of its topics would pay for those of every test before.
    asyncio.run(_forget(kafka.bootstrap, name))


async def _forget(bootstrap: str, name: str) -> None:
    async with connected(AIOKafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        await admin.delete_topics([topic for topic in await admin.list_topics() if topic.startswith(name)])
