"""A short form of `make chaos`, and what it has found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.proxy import Proxy
from chaos.stage import Stage
from chaos.trial import Trial
from deploy.local.kafka import KafkaCluster
from deploy.local.processes import addresses


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """A proxy for one broker."""
    with Proxy(1) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(kafka_parts: None, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """A broker behind it."""
    with KafkaCluster(tmp_path_factory.mktemp("kafka"), fronts=proxy.ports) as made:
        proxy.aim(made.behind)
        yield made


def test_a_dozen_faults_leave_the_answer_exact(cluster: KafkaCluster, proxy: Proxy, tmp_path: Path) -> None:
    trial = Trial(tmp_path, cluster, proxy, seed=20_261_124)
    with trial.stage:
        compared = trial.run(15, accounts=60, days=75)
    assert trial.struck == 15
    assert compared.total() > 200
    assert compared["OfferPublished"]
    assert compared["Corrected"]


def test_a_worker_that_cannot_join_its_group_ends_when_it_is_told_to(
    cluster: KafkaCluster, proxy: Proxy, tmp_path: Path
) -> None:
    connection = {"bootstrap_servers": addresses(proxy.ports)}
    with Stage(cluster.bootstrap, tmp_path, "alone", connection=connection) as stage:
        stage.start()
        stage.wait(lambda: "LaneApp]: Starting" in stage.log(), "its start")
        proxy.aim([1])
        proxy.cut()
        # It complains in one of two ways: it had connected already, or it had not.
        words = ("Unable to update metadata", "joining the group")
        stage.wait(lambda: any(word in stage.log() for word in words), "a word about it")
        assert stage.end() == 0
        proxy.aim(cluster.behind)
