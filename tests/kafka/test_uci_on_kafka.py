"""The UCI card data on Kafka, processed by two workers, says what one process says of it.

A sample by default; REPRIEVE_UCI_ACCOUNTS=30000 takes all of it (some minutes).
"""

from __future__ import annotations

import json
import os

import pytest

from schemas.errors import UsageError
from tests.real_data.uci import uci_csv, uci_events
from tests.support.worker_cluster import TIMEOUT, WorkerCluster

pytestmark = [pytest.mark.real_data, pytest.mark.timeout(3_600)]
ACCOUNTS = int(os.environ.get("REPRIEVE_UCI_ACCOUNTS", "150"))


def test_card_data_by_two_workers_equals_one_process(workers: WorkerCluster) -> None:
    try:
        lines = uci_csv()
    except UsageError as error:
        pytest.skip(str(error))
    events = list(uci_events(lines[: ACCOUNTS + 1]))
    workers.start("one")
    workers.start("two")
    for name in ("one", "two"):
        workers.wait(lambda name=name: "Worker ready" in workers.log(name), f"worker {name}")  # type: ignore[misc]
    workers.publish(events)
    workers.wait_until_idle(patience=TIMEOUT + len(events) / 100)
    workers.assert_exact(events)
    # Both had a share of it.
    for name in ("one", "two"):
        opened = [json.loads(line) for line in workers.log(name).splitlines() if '"tasks_open"' in line]
        assert opened[-1]["tasks"]
