"""Tasks over logs in memory: repetitions anywhere, in batches cut anywhere, change nothing that comes of a history."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.base import EPOCH
from schemas import events as ev
from schemas.topics import TOPICS
from tests.streams.test_repetition import arrivals, cuts, history
from tests.support.in_memory_cluster import AGENTS, InMemoryCluster, InMemoryWorker

SAID = [t.name for t in TOPICS.values() if not t.inbound and t.name != "barriers"]
PARTITIONS = 2


def body(event: ev.Event) -> str:
    """Return what an output says, without the message that caused it, whose copy may have come first."""
    said: dict[str, Any] = {"event_id": ""}
    if hasattr(event, "caused_by"):
        said["caused_by"] = ""
    if isinstance(event, ev.EventSuperseded):
        said |= {"reason": "", "supersedes": ""}
    if isinstance(event, ev.DeadLetter):
        # The log's clock goes on with all that is appended to it.
        said |= {"offset": 0, "occurred_at": EPOCH}
    return repr(replace(event, **said))


class Outcome:
    """All that came of a history that was published in parts. most: how many records a task is handed at once."""

    def __init__(self, parts: Sequence[Sequence[ev.Event]], batch: int = 500, most: int | None = None) -> None:
        with TemporaryDirectory() as folder:
            cluster = InMemoryCluster(Path(folder), PARTITIONS, batch=batch, most=most)
            asyncio.run(self._run(cluster, parts))
            self.said = {topic: Counter(body(event) for _, event in cluster.said(topic)) for topic in SAID}
            cluster.close()

    async def _run(self, cluster: InMemoryCluster, parts: Sequence[Sequence[ev.Event]]) -> None:
        owner = InMemoryWorker()
        for partition in range(PARTITIONS):
            cluster.open(owner, partition)
        for part in parts:
            cluster.publish(part)
            await cluster.settle(owner)
        agent_tasks = [agent_task for executor in owner.running() for agent_task in executor.task.agent_tasks]
        self.states = {
            (agent_task.agent.name, key): agent_task.store.state(key)
            for agent_task in agent_tasks
            for key in agent_task.rows.keys(agent_task.agent.name)
        }
        for partition in range(PARTITIONS):
            await cluster.leave(owner, partition)

    def check(self, other: Outcome, *, letters: bool = True) -> None:
        """Fail where another outcome is not the same. letters: dead letters are compared too."""
        for topic in SAID if letters else [name for name in SAID if name != "dead-letters"]:
            assert (self.said[topic] - other.said[topic], other.said[topic] - self.said[topic]) == ({}, {}), topic
        assert self.states == other.states


@cache
def once(seed: int) -> Outcome:
    return Outcome([history(seed)])


@settings(max_examples=4, deadline=None, derandomize=True, phases=(Phase.generate,))
@given(data=st.data(), found=arrivals(contradictions=True))
def test_tasks_cut_batches_anywhere_and_give_the_same(data: st.DataObject, found: tuple[int, list[ev.Event]]) -> None:
    _, events = found
    whole = Outcome([events])
    whole.check(Outcome(data.draw(cuts(events))))
    whole.check(Outcome([events], *data.draw(st.sampled_from([(1, None), (7, 3), (50, 1)]))))


@settings(max_examples=4, deadline=None, derandomize=True, phases=(Phase.generate,))
@given(data=st.data(), found=arrivals(contradictions=False))
def test_tasks_give_the_same_for_repetitions(data: st.DataObject, found: tuple[int, list[ev.Event]]) -> None:
    seed, events = found
    parts = data.draw(st.sampled_from([[events], [[event] for event in events]]))
    # What was refused is refused again.
    once(seed).check(Outcome(parts), letters=False)


def test_the_histories_are_told_to_every_agent() -> None:
    assert {agent for agent, _ in once(0).states} == {agent.name for agent, _ in AGENTS}
