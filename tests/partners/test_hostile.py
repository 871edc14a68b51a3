"""The processes that partners and operators speak to, as they run: with clients that say nothing, and a full disk."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.local.processes import free_port
from schemas import events as ev
from streams.cli.common import book_named
from streams.local.runtime import LocalRuntime
from tests.support.webhook_processes import Process, wait
from tests.support.webhook_senders import ENVIRONMENT, SENDING, education, headers

PATIENCE = 30.0
LISTENS = re.compile(r"http://127\.0\.0\.1:(\d+)")


def asked(port: int, path: str, data: bytes | None = None, more: dict[str, str] | None = None) -> tuple[int, Any, Any]:
    """Return status, headers and body of an answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, more or {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def study(number: int) -> dict[str, Any]:
    """Return an event that stands for itself."""
    return education(number, borrower_id=f"B{number}")


def sent(port: int, said: Any, message_id: str) -> tuple[int, Any, Any]:
    """Send a signed message."""
    body = msgspec.json.encode(said)
    signed = headers(ENVIRONMENT["EMPLOYER_SECRET"], body, message_id)
    return asked(port, "/v1/events?source=employer", body, signed)


@contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[tuple[Process, int, int]]:
    """Run a command that serves; yields it, its port, and that of its probes."""
    health = free_port()
    process = Process(
        folder / f"{arguments[0]}.log",
        [*arguments, "--port", "0", "--health-port", str(health)],
        {**ENVIRONMENT, **environment},
    )
    process.start()
    try:
        wait(lambda: LISTENS.search(process.said()) is not None, "its address", process)
        found = LISTENS.search(process.said())
        assert found is not None
        yield process, int(found[1]), health
    finally:
        process.end()


def an_intake(folder: Path, data: Path, **environment: str) -> Any:
    """Run an intake over a data directory."""
    partners = folder / "partners.yaml"
    partners.write_text(json.dumps(SENDING))
    return running(folder, "intake", "--partners", str(partners), "--data", str(data), **environment)


def idle(port: int, count: int) -> list[socket.socket]:
    """Open connections that say nothing, or begin a request and stop."""
    found = []
    for number in range(count):
        one = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        with suppress(ConnectionError):
            one.sendall(
                (
                    b"",
                    b"POST /v1/events?source=employer HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ",
                    b"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 1000\r\n\r\n{",
                )[number % 3]
            )
        found.append(one)
    return found


def metric(health: int, pattern: str) -> float:
    """Return the sum of what a process says of itself under a pattern."""
    return sum(map(float, re.findall(pattern, asked(health, "/metrics")[2].decode(), re.MULTILINE)))


def test_idle_connections_block_neither_intake_nor_probes(tmp_path: Path) -> None:
    with an_intake(tmp_path, tmp_path / "data") as (process, port, health), ExitStack() as held:
        for one in (*idle(port, 400), *idle(health, 400)):
            held.callback(one.close)
        for number in range(5):
            assert sent(port, study(number), f"m-{number}")[0] == 202
            assert asked(port, "/livez")[0] == asked(health, "/livez")[0] == asked(health, "/readyz")[0] == 200
        for server, most in (("intake", 128), ("health", 16)):
            # On a busy machine some run out of time before they have to give way.
            ended = rf'^reprieve_http_closed_total{{server="{server}",why="\w+"}} (\S+)$'
            wait(lambda ended=ended, most=most: metric(health, ended) >= 400 - most, "room for others", process)
            assert metric(health, rf'^reprieve_http_connections{{server="{server}"}} (\S+)$') <= most
    assert "http_connections_ended" in process.said()
    # Clients that leave are no failure of the intake.
    assert "intake_failed" not in process.said()
    assert len(process.said()) < 10_000


def test_idle_connections_do_not_block_the_console(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_bytes((Path(__file__).parents[2] / "schemas" / "examples.jsonl").read_bytes())
    made = [sys.executable, "-m", "streams.cli", "publish", str(events), "--data", str(tmp_path / "data")]
    subprocess.run(made, capture_output=True, timeout=120)
    data = str(tmp_path / "data")
    with running(tmp_path, "console", "--data", data) as (process, port, health), ExitStack() as held:
        for one in (*idle(port, 400), *idle(health, 400)):
            held.callback(one.close)
        for _ in range(5):
            assert asked(port, "/api/overview")[0] == asked(health, "/livez")[0] == 200
    assert len(process.said()) < 10_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on a disk of 16 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk of one's own can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def filled(folder: Path, left: int) -> Path:
    """Fill a disk, but for so many bytes."""
    ballast = folder / "ballast"
    file = os.open(ballast, os.O_CREAT | os.O_WRONLY)
    with suppress(OSError):
        while True:
            os.write(file, bytes(4_096))
    os.ftruncate(file, max(0, os.fstat(file).st_size - left))
    os.close(file)
    return ballast


def in_the_log(data: Path, numbers: Iterable[int]) -> list[int]:
    """Return which of the events a data directory holds, as often as it does."""
    with LocalRuntime.open(data, book_named(None)) as runtime:
        found = [e for n in numbers for _, e in runtime.history("planner", f"B{n}")]
    return [int(e.borrower_id[1:]) for e in found if isinstance(e, ev.EducationCompleted)]


def test_on_a_full_disk_the_intake_says_so_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    data = small_disk / "data"
    taken, refused = [], []
    with an_intake(tmp_path, data) as (process, port, health):
        assert sent(port, study(0), "m-0")[0] == 202
        ballast = filled(small_disk, 200_000)
        for number in range(1, 400):
            status, told, body = sent(port, [study(number)], f"m-{number}")
            if status == 202:
                taken.append(number)
                continue
            refused.append(number)
            assert status == 503, body
            assert int(told["Retry-After"]) > 0
            assert json.loads(body)["type"] == "urn:reprieve:problem:away"
            if len(refused) >= 3:
                break
        assert refused, "the disk never filled"
        # It lives, is not ready, and says why.
        wait(lambda: asked(health, "/readyz")[0] == 503, "not ready", process)
        assert asked(port, "/readyz")[0] == 503
        assert asked(port, "/livez")[0] == asked(health, "/livez")[0] == 200
        assert "intake_closed" in process.said()
        # With room again it goes on by itself, with what is sent again.
        ballast.unlink()
        wait(lambda: asked(health, "/readyz")[0] == asked(port, "/readyz")[0] == 200, "ready", process)
        for number in refused:
            assert sent(port, [study(number)], f"m-{number}")[0] == 202
            taken.append(number)
        filled(small_disk, 100_000)
        last = sent(port, [study(n) for n in range(500, 900)], "m-last")
        # As the machine may be switched off now.
        process.kill()
        process.start()
        (small_disk / "ballast").unlink()
        if last[0] == 202:
            taken += range(500, 900)
    assert in_the_log(data, taken) == taken


def test_nothing_is_acknowledged_that_is_not_durable(tmp_path: Path) -> None:
    data = tmp_path / "data"
    partners = tmp_path / "partners.yaml"
    partners.write_text(json.dumps(SENDING))
    log = tmp_path / "log"
    with log.open("wb") as file:
        arguments = ["--partners", str(partners), "--data", str(data), "--port", "0"]
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "intake", *arguments],
            env={**ENVIRONMENT},
            stdout=file,
            stderr=file,
            cwd=Path(__file__).parents[2],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
        )
    taken, refused = [], 0
    try:
        wait(lambda: LISTENS.search(log.read_text()) is not None, "its address")
        found = LISTENS.search(log.read_text())
        assert found is not None
        for number in range(60):
            status, _, body = sent(int(found[1]), [study(number * 100 + n) for n in range(100)], f"m-{number}")
            assert status in (202, 503), body
            if status == 202:
                taken += [number * 100 + n for n in range(100)]
            else:
                refused += 1
    finally:
        process.kill()
        process.wait()
    assert taken
    assert refused
    assert in_the_log(data, taken) == taken
