"""How long a fetch waits for records: a full task has room again before an idle topic brings any."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.engine.record_queue import RecordQueue
from streams.kafka.transport import TaskConsumer

PAYMENTS, COLLECTIONS = TP("payments", 0), TP("collections", 0)


class Consumer(TaskConsumer):
    """A consumer of one task that notes how long each fetch may wait, and finds nothing."""

    flow_active = True

    def __init__(self, queue: RecordQueue) -> None:
        tasks = SimpleNamespace(
            can_accept=lambda tp: queue.can_accept(tp.topic), closing=queue.closing, update_positions=lambda where: None
        )
        self.app = SimpleNamespace(task_manager=tasks, consumer_generation_id=1)
        self._backoff = SimpleNamespace(reset=lambda: None)  # type: ignore[assignment]
        self._thread = SimpleNamespace(position_now=None)  # type: ignore[assignment]
        self.waits: list[float] = []

    async def _found(self, wanted: set[TP], wait: float) -> Mapping[TP, Any]:
        self.waits.append(wait)
        return {}


@pytest.mark.parametrize(("waiting", "longest"), [(0, 0.25), (1, 0.25), (2, 0.02)])
def test_a_fetch_waits_long_only_while_every_topic_has_room(waiting: int, longest: float) -> None:
    queue = RecordQueue(2, {}, ["payments", "collections"])
    if waiting:
        queue.add_records("payments", [record(offset) for offset in range(waiting)])
    consumer = Consumer(queue)
    asyncio.run(consumer._getmany({PAYMENTS, COLLECTIONS}, 1.0))
    (wait,) = consumer.waits
    assert longest / 10 < wait <= longest


def record(offset: int) -> Any:
    """Return a record at an offset."""
    return SimpleNamespace(offset=offset, timestamp=offset)
