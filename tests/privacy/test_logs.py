"""No log, at no level, holds what came in: whatever fails, wherever it is raised, and whoever logs it."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from streams.logs import Seldom
from tests.support.canaries import COMMENT, INCOME, NAME, PHONE, seen, shapes
from tests.support.webhook_processes import Process, config, wait
from tests.support.webhook_senders import ENVIRONMENT, SENDING, education, headers

FORMS = shapes()
LISTENS = re.compile(r"http://127\.0\.0\.1:(\d+)")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
# As a name, a telephone number, an income and a text stand in what people send.
MARKED = f"{NAME} {PHONE} {INCOME} {COMMENT}"


def as_percent(text: str) -> str:
    """Return a text as it stands in an address."""
    return "".join(f"%{byte:02x}" for byte in text.encode())


@pytest.mark.parametrize("level", [*LEVELS, "CRITICAL"])
@pytest.mark.parametrize("form", ["json", "console"])
def test_of_an_error_its_kind_and_place_are_logged_and_no_value(level: str, form: str) -> None:
    got = subprocess.run(
        [sys.executable, "-m", "tests.support.programs.every_fault", level, form, MARKED],
        capture_output=True,
        cwd=Path(__file__).parents[2],
        timeout=240,
    )
    told = got.stdout + got.stderr
    assert not seen(told, FORMS)
    assert got.returncode == 1
    assert b"all done" in told
    text = told.decode()
    for kind in ("unexpected_fault", "RuntimeError", "every_fault.py"):
        assert kind in text, kind
    if form == "json":
        lines = [json.loads(line) for line in text.splitlines() if line != "all done"]
        last = lines[-1]
        assert last["event"] == "unexpected_fault"
        assert (last["error"], last["at"][0].split(":")[0]) == ("RuntimeError", "tests/support/programs/every_fault.py")
        assert [cause.split()[0] for cause in last["because"]] == ["ValueError", "KeyError"]
        events = {line["event"] for line in lines}
        if level != "CRITICAL":
            assert {"thread_failed", "fault_ignored"} <= events
        if level in LEVELS[:3]:
            assert "python_warning" in events


def test_a_librarys_line_keeps_its_text_and_loses_its_values() -> None:
    script = (
        "import logging; from streams.logs import set_up_logging; set_up_logging('INFO', 'json')\n"
        "log = logging.getLogger('aiokafka.x')\n"
        f"log.error('Topic %s is gone, %d times: %s', 'reprieve.payments', 3, {MARKED!r})\n"
        f"logging.getLogger('redis').error('key %s', {PHONE!r})\n"
    )
    got = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=Path(__file__).parents[2])
    first, second = [json.loads(line) for line in got.stderr.splitlines()]
    assert first["event"] == "Topic reprieve.payments is gone, 3 times: <str>"
    assert second["event"] == "key <str>"


def test_a_flood_of_lines_is_told_seldom_and_counted() -> None:
    now = [0.0]
    seldom = Seldom(lambda: now[0])

    def told(name: str, text: str, level: int = logging.WARNING) -> logging.LogRecord | None:
        record = logging.LogRecord(name, level, "x.py", 1, {"event": text}, None, None)
        return record if seldom.filter(record) else None

    assert sum(told("ours", "one") is not None for _ in range(10_000)) == 100
    assert told("ours", "another") is not None
    assert sum(told("ours", "one", logging.INFO) is not None for _ in range(500)) == 500
    now[0] += 1
    again = [record for record in (told("ours", "one") for _ in range(10)) if record]
    assert len(again) == 2
    assert again[0].msg["alike_left_out"] == 9_900
    # Those who try again many times a second are told once in ten seconds.
    assert sum(told("asyncio", "one") is not None for _ in range(100)) == 1
    now[0] += 9.9
    assert told("asyncio", "one") is None
    now[0] += 0.2
    assert told("asyncio", "one") is not None


@contextmanager
def server(folder: Path, command: str, level: str, form: str, *arguments: str) -> Iterator[tuple[Process, int]]:
    """Run a real process that serves HTTP; yields it and its port."""
    settings = config(folder / "settings.toml", worker={"log_level": level, "log_format": form})
    process = Process(folder / "log", [command, "--config", str(settings), "--port", "0", *arguments], ENVIRONMENT)
    process.start()
    try:
        port: list[str] = []
        wait(lambda: bool(port.extend(LISTENS.findall(process.said())) or port), "its address", process)
        yield process, int(port[0])
    finally:
        process.end()


def raw(port: int, *parts: bytes, wait_seconds: float = 1.0) -> bytes:
    """Send bytes as they are, each part in a packet of its own; returns what is answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = b""
        with suppress(OSError):
            for part in parts:
                connection.sendall(part)
                connection.settimeout(0.05)
                with suppress(TimeoutError):
                    answer += connection.recv(65_536)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(wait_seconds)
            while got := connection.recv(65_536):
                answer += got
        return answer


def hostile_requests(path: str) -> list[tuple[bytes, ...]]:
    """Return requests that no parser takes, each with what is personal at the place of the fault."""
    text, percent = MARKED.encode(), as_percent(MARKED).encode()
    start = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n".encode()
    as_json = start + b"content-type: application/json\r\n"
    body = json.dumps({"type": "OfferAnswered", "comment": MARKED}, ensure_ascii=False).encode()
    short = f"content-length: {len(body.decode())}\r\n\r\n".encode()
    return [
        # As a partner counts who counts characters.
        (as_json + short, body),
        (as_json + short, body[:30], body[30:]),
        (as_json + b"content-length: 99999\r\n\r\n", body),
        (as_json + b"content-length: -5\r\n\r\n" + body,),
        (as_json + b"content-length: " + text + b"\r\n\r\n" + body,),
        (as_json + b"content-length: 3\r\ncontent-length: 400\r\n\r\n" + body,),
        (as_json + b"transfer-encoding: chunked\r\n\r\n", text + b"\r\n" + body),
        (as_json + b"transfer-encoding: chunked\r\n\r\n", b"5;" + text + b"\r\nabcde" + text),
        (as_json + b"transfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n" + text + b": " + text + b"\r\n\r\n",),
        (as_json + b"transfer-encoding: " + text + b"\r\n\r\n" + body,),
        (as_json + b"content-encoding: gzip\r\n" + short, body),
        (as_json + b"x-" + text + b": 1\r\n\r\n",),
        (as_json + b"x-name: " + text + b"\0\r\n\r\n",),
        (as_json + b"x-name: " + text * 400 + b"\r\n\r\n",),
        (as_json + b" " + text + b"\r\n\r\n",),
        (as_json + b"cookie: reprieve=" + text + b"\r\n\r\n",),
        (as_json + b"authorization: Bearer " + text + b"\r\n\r\n",),
        (as_json + b"traceparent: " + text + b"\r\nwebhook-id: " + text + b"\r\ncontent-length: 2\r\n\r\n{}",),
        (start + b"content-type: " + text + b"; charset=" + text + b"\r\n" + short, body),
        (start + b"content-type: multipart/form-data; boundary=x\r\n" + short, body),
        (start + b"content-type: application/x-www-form-urlencoded\r\n" + short, b"token=" + percent),
        (start + b"upgrade: websocket\r\nconnection: upgrade\r\n\r\n" + text,),
        (start + b"expect: " + text + b"\r\n" + short, body),
        (b"POST /" + text + b" HTTP/1.1\r\n\r\n",),
        (b"GET /" + percent + b"?" + percent + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",),
        (b"GET " + path.encode() + b"?source=" + percent + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",),
        (b"GET http://" + percent + b":" + percent + b"/ HTTP/1.1\r\nhost: " + percent + b"\r\n\r\n",),
        (b"GET / HTTP/1.1\r\nhost: " + text + b"\r\n\r\n",),
        (text + b" / HTTP/1.1\r\n\r\n",),
        (b"GET / " + text + b"\r\n\r\n",),
        (text,),
        (text * 1_000,),
        (b"\x16\x03\x01" + text,),
        (body,),
    ]


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_that_comes_by_http_is_in_the_intakes_log(level: str, tmp_path: Path) -> None:
    partners = tmp_path / "partners.yaml"
    partners.write_text(json.dumps(SENDING))
    form = "json" if level in ("DEBUG", "WARNING") else "console"
    arguments = ("--partners", str(partners), "--data", str(tmp_path / "data"))
    with server(tmp_path, "intake", level, form, *arguments) as (process, port):
        for parts in hostile_requests("/v1/events?source=employer"):
            raw(port, *parts)
        secret = ENVIRONMENT["EMPLOYER_SECRET"]
        signed = [
            education(item_id=MARKED, event_id=MARKED),
            education(borrower_id=PHONE, occurred_at=MARKED),
            education(**{MARKED: 1}),
            {"type": MARKED},
            {"type": "ProfileReported", "kind": MARKED, "monthly_income": str(INCOME)},
            MARKED,
        ]
        for number, said in enumerate([msgspec.json.encode(one) for one in (*signed, signed)]):
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers(secret, said, f"m-{number}").items())
            head = f"POST /v1/events?source=employer HTTP/1.1\r\nhost: x\r\n{lines}content-length: {len(said)}\r\n\r\n"
            answer = raw(port, head.encode() + said)
            assert answer.startswith((b"HTTP/1.1 422", b"HTTP/1.1 207")), answer[:200]
        process.assert_at_work()
        # It was told of what went wrong, in its own words.
        if level in ("DEBUG", "WARNING"):
            assert "intake_unsigned" in process.said()
    assert not seen((tmp_path / "log").read_bytes(), FORMS)
    assert as_percent(NAME) not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("level", ["DEBUG", "ERROR"])
def test_nothing_that_comes_by_http_is_in_the_consoles_log(level: str, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_bytes((Path("schemas") / "examples.jsonl").read_bytes())
    made = [sys.executable, "-m", "streams.cli", "publish", str(events), "--data", str(tmp_path / "data")]
    subprocess.run(made, capture_output=True, timeout=120)
    form = "json" if level == "DEBUG" else "console"
    with server(tmp_path, "console", level, form, "--data", str(tmp_path / "data")) as (process, port):
        for path in ("/api/letters/again", "/login", "/logout"):
            for parts in hostile_requests(path):
                raw(port, *parts, wait_seconds=0.3)
        percent = as_percent(MARKED)
        for path in (
            f"/api/accounts/{percent}",
            f"/api/borrowers/{percent}?purpose={percent}",
            f"/api/accounts/{percent}/agreements/{percent}?locale={percent}",
            f"/api/search?q={percent}",
            f"/api/rules?on={percent}",
            f"/api/letters?before={percent}",
            f"/api/audit?who={percent}",
            f"/login/back?state={percent}&code={percent}",
            f"/static/{percent}",
        ):
            raw(port, f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n".encode())
        process.assert_at_work()
    assert not seen((tmp_path / "log").read_bytes(), FORMS)
    assert as_percent(NAME) not in (tmp_path / "log").read_text()


def test_no_password_of_a_setting_that_is_wrong_is_repeated(tmp_path: Path) -> None:
    secret = f"{NAME}-{PHONE}"
    address = f"nonsense://:{secret}@host:x"
    for group, name, value in (
        ("redis", "password", secret), ("redis", "url", address), ("kafka", "sasl_password", secret),
        ("registry", "url", address), ("privacy", "kms_token", secret), ("privacy", "kms_url", address),
    ):  # fmt: skip
        got = subprocess.run(
            [sys.executable, "-m", "streams.cli", "worker"],
            env={**os.environ, f"REPRIEVE_{group.upper()}__{name.upper()}": value},
            capture_output=True,
            timeout=240,
        )
        assert got.returncode == 1
        assert got.stderr.startswith(b"reprieve: ")
        assert secret.encode() not in got.stdout + got.stderr, (group, name)
