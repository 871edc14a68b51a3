"""Probes tell the truth: of a busy loop, of one that stands still, and of work that waits and does not move."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from schemas.errors import FatalError
from streams.engine.output import TaskOutput
from streams.http.health import HealthStatus, Stalls, health
from streams.kafka.rocksdb_store import RocksDBStore
from streams.kafka.store_transaction import TaskStores
from streams.kafka.task_executor import TaskExecutor
from streams.security.key_file import make
from streams.settings import HealthSettings
from tests.streams.test_stream_task import OPENED
from tests.support.in_memory_cluster import AGENTS, add_records, record_of, stream_task

# Enough for any machine; a test ends as soon as what it waits for has come.
PATIENCE = 30.0


def asked(port: int | None, path: str) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers={"Accept": "application/openmetrics-text"}
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def until(port: int | None, path: str, status: int) -> str:
    """Wait until a path answers with a status; returns the text."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found, text = await asyncio.to_thread(asked, port, path)
        if found == status:
            return text.strip()
        assert time.monotonic() < deadline, f"{path} says {found} {text}"
        await asyncio.sleep(0.02)


def test_probes_say_what_was_seen_last_and_nothing_else() -> None:
    standing = HealthStatus()

    async def run() -> None:
        nonlocal standing
        async with health(HealthSettings(port=0), lambda: standing) as port:
            assert await until(port, "/readyz", 200) == "ok"
            assert await until(port, "/livez", 200) == "ok"
            standing = HealthStatus(readiness_error="its tasks are not open yet")
            assert await until(port, "/readyz", 503) == "its tasks are not open yet"
            assert (await asyncio.to_thread(asked, port, "/livez"))[0] == 200
            standing = HealthStatus(liveness_error="partition 3 has not moved for 121 s")
            assert await until(port, "/livez", 503) == await until(port, "/readyz", 503) == standing.liveness_error
            status, text = await asyncio.to_thread(asked, port, "/metrics")
            assert status == 200
            assert "reprieve_tasks" in {family.name for family in text_string_to_metric_families(text)}
            for path in ("/", "/table/accounts", "/metrics/x", "/../etc/passwd"):
                assert (await asyncio.to_thread(asked, port, path))[0] == 404
        with pytest.raises(urllib.error.URLError):
            asked(port, "/livez")

    asyncio.run(run())


def test_it_answers_while_the_loop_is_busy_and_says_how_long() -> None:
    async def run() -> None:
        async with health(HealthSettings(port=0, stall_seconds=1)) as port:
            await until(port, "/livez", 200)
            # This is the loop that is looked at, and nothing else runs in it meanwhile.
            assert asked(port, "/livez")[0] == 200
            deadline = time.monotonic() + PATIENCE
            while asked(port, "/livez")[0] == 200:
                assert time.monotonic() < deadline
            assert asked(port, "/livez")[1].startswith("the loop has not turned for")
            await until(port, "/livez", 200)

    asyncio.run(run())


def test_a_port_that_is_taken_is_named_and_none_is_none() -> None:
    async def run(port: int | None) -> int | None:
        async with health(HealthSettings(port=port)) as got:
            return got

    assert asyncio.run(run(None)) is None
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            FatalError, match=rf"health.port {port} on 127.0.0.1 cannot be had: .* Set health.port to another"
        ):
            asyncio.run(run(port))


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)), st.booleans()),
        max_size=20,
    )
)
def test_only_work_that_stalls_without_excuse_is_ill(
    looks: list[tuple[int, dict[str, int], bool]],
) -> None:
    now = 0.0
    stalls = Stalls(60, lambda: now)
    seen: list[tuple[float, dict[str, int], bool]] = []
    for pause, under_way, excused in looks:
        now += pause
        seen.append((now, under_way, excused))
        still = {}
        for name, number in under_way.items():
            since = now
            for at, before, excuse in reversed(seen):
                if before.get(name) != number:
                    break
                since = at
                if excuse:
                    break
            still[name] = now - since
        ill = stalls.stalled(under_way, excused=excused)
        if ill is None:
            assert all(seconds <= 60 for seconds in still.values())
        else:
            assert still[ill.split()[0]] > 60


class Hanging:
    """A broker whose transactions take until they are let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def commit(self, output: TaskOutput, stores: TaskStores) -> dict[str, int]:
        await self.go.wait()
        return {"account": 1}

    async def ends(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        return dict.fromkeys(topics, 0)


def test_a_task_with_records_and_a_hanging_commit_stalls(tmp_path: Path) -> None:
    store = RocksDBStore(tmp_path / "p")
    accounts = [(agent, kind) for agent, kind in AGENTS if agent.name == "account"]
    task, rows = stream_task({"account": store}, accounts)

    async def run() -> None:
        broker = Hanging()
        executor = TaskExecutor(task, rows, broker, 10, lambda _, error: pytest.fail(str(error)), lambda: None, {})
        executor.start()
        topics = dict.fromkeys(("accounts", "payments", "collections", "plans", "clock"), (0, 0))
        executor.update_positions(topics)
        assert not executor.waits
        # The end that was seen last lies behind what was given: something waits on the broker.
        executor.update_positions(topics | {"payments": (0, 5)})
        assert executor.waits
        executor.update_positions(topics)
        add_records(executor, "accounts", [record_of(OPENED, 0)])
        await asyncio.sleep(0.1)
        assert (executor.waits, executor.commits) == (True, 0)
        broker.go.set()
        while executor.commits == 0:
            await asyncio.sleep(0)
        assert not executor.waits
        await executor.stop(1)

    asyncio.run(run())
    store.close()


def test_a_worker_without_its_broker_lives_and_is_not_ready(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REPRIEVE_")} | {
        # Nobody listens on port 1.
        "REPRIEVE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "REPRIEVE_WORKER__DATA_DIR": str(tmp_path / "data"),
        "REPRIEVE_WORKER__LOG_FORMAT": "json",
        "REPRIEVE_HEALTH__STALL_SECONDS": "2",
        "REPRIEVE_PRIVACY__MASTER_KEYS_FILE": str(tmp_path / "keys.json"),
    }
    make(tmp_path / "keys.json")
    command = [sys.executable, "-m", "streams.cli", "worker", "--health-port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True) as worker:
        try:
            assert worker.stderr is not None
            port = json.loads(worker.stderr.readline())["port"]
            ends = time.monotonic() + 3
            while time.monotonic() < ends:
                assert asked(port, "/livez") == (200, "ok\n")
            assert asked(port, "/readyz") == (503, "its tasks are not open yet\n")
            text = asked(port, "/metrics")[1]
            assert re.search(r"^reprieve_broker_wait_seconds [0-9.]*[1-9]", text, re.MULTILINE)
        finally:
            worker.terminate()
