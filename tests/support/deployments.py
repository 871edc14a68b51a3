"""A worker that is run, refused, and helped by an operator's commands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from functools import cache

from schemas import events as ev
from simulator.runs import simulate
from streams.engine.agents import all_agents
from tests.support.worker_cluster import TIMEOUT, WorkerCluster

CHANGELOGS = [f"{agent.name}-changelog" for agent, _ in all_agents()]


@cache
def history() -> tuple[ev.Event, ...]:
    """Return events of a few borrowers over some weeks. Few closes, since each costs time."""
    return tuple(simulate(accounts=30, days=36, seed=11, start=date(2026, 1, 5), close_every=4))


def split_at_close(events: Sequence[ev.Event], at: int = 2) -> tuple[list[ev.Event], list[ev.Event]]:
    """Return events in two parts, each of which ends with the close of a day; the first is a part in `at` of them."""
    ends = [n + 1 for n, event in enumerate(events) if isinstance(event, ev.DayClosed)]
    cut = ends[len(ends) // at]
    return list(events[:cut]), list(events[cut:])


def halves(at: int = 2) -> tuple[list[ev.Event], list[ev.Event]]:
    """Return the history in two parts, each of which ends with the close of a day."""
    return split_at_close(history(), at)


def ran(workers: WorkerCluster, events: Sequence[ev.Event]) -> None:
    """Have a worker process events, and end it."""
    workers.publish(events)
    workers.start()
    workers.wait_until_idle()
    assert workers.stop() == 0


def refused(workers: WorkerCluster, **worker: object) -> str:
    """Return with what sentence a worker that is started, or runs, ends."""
    running = workers.processes.get("one") or workers.start(**worker)
    assert running.wait(TIMEOUT) == 1
    workers.processes.pop("one")
    last = workers.log().strip().splitlines()[-1]
    assert last.startswith("reprieve: ")
    return last


def reprieve(workers: WorkerCluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams.cli", *arguments, "--config", str(workers.folder / "one.toml")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)


def adopt(workers: WorkerCluster, *arguments: str) -> str:
    done = reprieve(workers, "deployment", "adopt", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout
