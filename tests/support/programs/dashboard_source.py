"""A process with real tasks at work, whose metrics Prometheus scrapes.

It writes its port on the first line, takes a part of a history whenever it is sent a line, and ends with its input.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import date
from pathlib import Path

import structlog

import streams.views.projector  # noqa: F401
from schemas import events as ev
from simulator.runs import simulate
from streams.http.health import health
from streams.kafka.gauges import GAUGES
from streams.kafka.metrics import TASKS
from streams.settings import HealthSettings
from tests.support.in_memory_cluster import InMemoryCluster, InMemoryWorker

# The history is taken in so many parts.
PARTS = 4


def without_effect(events: list[ev.Event]) -> list[ev.Event]:
    """Return events with the end of a hold that was never placed behind the first payment."""
    at, paid = next((n, e) for n, e in enumerate(events) if isinstance(e, ev.PaymentReceived))
    release = ev.HoldReleased(
        event_id=f"release-{paid.event_id}",
        occurred_at=paid.occurred_at,
        source="test",
        account_id=paid.account_id,
        hold_id="none",
        released_on=paid.value_on,
    )
    return [*events[: at + 1], release, *events[at + 1 :]]


async def run(folder: Path) -> None:
    """Answer until the input ends."""
    events = list(simulate(accounts=80, days=170, seed=4, start=date(2026, 1, 5)))
    house, owner = InMemoryCluster(folder, 2), InMemoryWorker()
    GAUGES.watch(owner)
    house.open(owner, 0)
    house.open(owner, 1)
    TASKS.set(2)
    size = len(events) // PARTS + 1
    parts = [without_effect(events[start : start + size]) for start in range(0, len(events), size)]
    async with health(HealthSettings(port=0)) as port:
        print(port, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            if parts:
                house.publish(parts.pop(0))
                # Nobody can read it: a dead letter.
                house.append("payments", 0, b"A1", b"no event", ())
            await house.settle(owner)
            print("done", flush=True)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(run(Path(sys.argv[1])))
