"""`views run` ends on SIGTERM at whatever moment it comes, while Redis refuses, is full, is away or never answers."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

import pytest

from deploy.local.processes import free_port
from simulator.runs import simulate
from tests.streams.test_told_to_end import PATIENCE, hanging
from tests.support.worker_cluster import WorkerCluster

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not here")


@contextmanager
def redis(folder: Path, *arguments: str) -> Iterator[int]:
    """Yield the port of a redis-server with settings of its own."""
    port = free_port()
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *arguments],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        server.kill()
        server.wait()


@contextmanager
def full(folder: Path) -> Iterator[int]:
    with redis(folder, "--maxmemory", "1500kb", "--maxmemory-policy", "noeviction") as port:
        yield port


@contextmanager
def away(folder: Path) -> Iterator[int]:
    yield free_port()


@contextmanager
def silent(folder: Path) -> Iterator[int]:
    with hanging() as port:
        yield port


@pytest.mark.parametrize(("broken", "processes"), [(full, 20), (away, 8), (silent, 8)])
def test_a_projector_ends_at_any_moment(
    broken: Callable[[Path], object], processes: int, workers: WorkerCluster, tmp_path: Path
) -> None:
    workers.start()
    workers.publish(simulate(accounts=300, days=20, seed=3, start=date(2026, 1, 5), close_every=4))
    workers.wait_until_idle()
    assert workers.stop() == 0
    dice = random.Random(7)
    with ExitStack() as stack:
        port = stack.enter_context(broken(tmp_path))  # type: ignore[arg-type]
        config = workers.folder / "views.toml"
        config.write_text(
            (workers.folder / "one.toml").read_text()
            + f'\n[redis]\nurl = "redis://127.0.0.1:{port}/0"\nprefix = "x:"\n'
        )
        for number in range(0, processes, 4):
            views = []
            for some in range(number, number + 4):
                log = stack.enter_context(open(tmp_path / f"views-{some}.log", "wb"))
                command = [sys.executable, "-m", "streams.cli", "views", "run", "--config", str(config)]
                views.append(subprocess.Popen(command, stdout=log, stderr=log))
                stack.callback(views[-1].kill)
            for some in range(number, number + 4):
                workers.wait(
                    lambda n=some: b"writing views" in (tmp_path / f"views-{n}.log").read_bytes(), "a projector"
                )  # type: ignore[misc]
            for view in views:
                time.sleep(dice.uniform(0, 1.0))
                view.send_signal(signal.SIGTERM)
            assert [view.wait(PATIENCE) for view in views] == [0] * 4


def test_a_worker_whose_registry_never_answers_ends(workers: WorkerCluster) -> None:
    with hanging() as port:
        workers.registry = f"http://127.0.0.1:{port}"
        worker = workers.start()
        workers.wait(lambda: workers.http_get("/livez")[0] == 200, "the worker")
        time.sleep(2)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 128 + signal.SIGTERM
        del workers.processes["one"]
