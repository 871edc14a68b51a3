"""A short form of `make chaos`."""

from __future__ import annotations

from pathlib import Path

from chaos.trial import Trial
from deploy.local.kafka import KafkaCluster


def test_a_dozen_faults_leave_the_answer_exact(kafka: KafkaCluster, tmp_path: Path) -> None:
    trial = Trial(tmp_path, kafka, seed=20_261_124)
    with trial.stage:
        trial.run(12, accounts=40)
    assert sum(trial.done.values()) == 12
