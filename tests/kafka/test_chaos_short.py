"""A short form of `make chaos`."""

from __future__ import annotations

from pathlib import Path

from chaos.proxy import Proxy
from chaos.trial import Trial
from deploy.local.kafka import KafkaCluster


def test_a_dozen_faults_leave_the_answer_exact(kafka_parts: None, tmp_path: Path) -> None:
    with Proxy(1) as proxy, KafkaCluster(tmp_path / "kafka", fronts=proxy.ports) as cluster:
        proxy.aim(cluster.behind)
        trial = Trial(tmp_path, cluster, proxy, seed=20_261_124)
        with trial.stage:
            trial.run(15, accounts=40)
    assert trial.struck == 15
