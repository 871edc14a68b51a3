"""What is learned on Kafka is what one process learns, whatever happens to the workers."""

from __future__ import annotations

from functools import cache

from chaos.stage import Stage, expected
from schemas import events as ev
from simulator.runs import simulate

POLICY = "learning_on"


@cache
def history() -> list[ev.Event]:
    """Return the events of a population that answers offers led by what was learned."""
    return list(simulate(accounts=200, days=110, seed=4, policy=POLICY))


def test_what_was_learned_leads_the_same_offers_with_two_workers_and_a_crash(stage: Stage) -> None:
    said = expected(history(), POLICY)
    assert {"fixed", "learned"} <= {e.group for e in said if isinstance(e, ev.DecisionLogged)}
    stage.policy = POLICY
    stage.start("one")
    stage.start("two")
    parts = [history()[n : n + len(history()) // 4 + 1] for n in range(0, len(history()), len(history()) // 4 + 1)]
    for name, part in zip(("one", "two", "one", ""), parts, strict=True):
        stage.publish(part)
        if name:
            stage.wait(lambda: bool(stage.committed()), "progress")
            stage.kill(name)
            stage.start(name)
    stage.settle()
    stage.assert_exact(history())
