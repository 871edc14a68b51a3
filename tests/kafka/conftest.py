"""A real Apache Kafka for the tests of this folder."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.kafka import KafkaCluster

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
def kafka(kafka_parts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """One broker for all tests of a process; each uses topics and groups of its own."""
    with KafkaCluster(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


@pytest.fixture
def workers(kafka: KafkaCluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[WorkerCluster]:
    """Topics, a group and folders for one test, whose workers are ended with it."""
    # Topics of two tests must differ, however long their names are.
    with WorkerCluster(kafka.bootstrap, tmp_path, f"{request.node.originalname[:40]}-{next(_numbers)}") as made:
        yield made
