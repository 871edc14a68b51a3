"""What is learned on Kafka is what one process learns, whatever happens to the workers."""

from __future__ import annotations

from functools import cache

from schemas import events as ev
from simulator.runs import simulate
from tests.support.worker_cluster import WorkerCluster, expected_outputs

POLICY = "learning_on"


@cache
def history() -> list[ev.Event]:
    """Return the events of a population that answers offers led by what was learned."""
    return list(simulate(accounts=200, days=110, seed=4, policy=POLICY))


def test_learning_by_two_workers_and_a_crash_equals_one_process(workers: WorkerCluster) -> None:
    said = expected_outputs(history(), POLICY)
    assert {"fixed", "learned"} <= {e.arm for e in said if isinstance(e, ev.DecisionLogged)}
    workers.policy = POLICY
    workers.start("one")
    workers.start("two")
    parts = [history()[n : n + len(history()) // 4 + 1] for n in range(0, len(history()), len(history()) // 4 + 1)]
    for name, part in zip(("one", "two", "one", ""), parts, strict=True):
        workers.publish(part)
        if name:
            workers.wait(lambda: bool(workers.committed()), "progress")
            workers.kill(name)
            workers.start(name)
    workers.wait_until_idle()
    workers.assert_exact(history())
