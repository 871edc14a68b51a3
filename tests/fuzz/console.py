"""The console's door: any path and query gets an answer, and never one that says that the server failed."""

from __future__ import annotations

import atexit
import http.client
import tempfile
from contextlib import ExitStack
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

from console.server import ConsoleServer
from schemas import events as ev
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.fuzz import seeds
from tests.fuzz.histories import example_history
from tests.fuzz.invariants import Target, ensure


@cache
def _served() -> str:
    """Return the place of a console over a small portfolio."""
    rooms = ExitStack()
    atexit.register(rooms.close)
    folder = Path(rooms.enter_context(tempfile.TemporaryDirectory()))
    with LocalRuntime.open(folder, default_book()) as runtime:
        runtime.feed(example_history())
        day = date(2026, 3, 1)
        at = datetime(2026, 3, 1, tzinfo=UTC)
        runtime.feed([ev.DayClosed(event_id="d", occurred_at=at, source="fuzz", business_date=day, calendar="none")])
        runtime.publish_raw("payments", b"A1", b"\xffnot Avro")
        runtime.run()
    return rooms.enter_context(ConsoleServer(folder)).url.removeprefix("http://")


def request(data: bytes) -> None:
    """Ask the console for a path with a query, as bytes."""
    connection = http.client.HTTPConnection(_served(), timeout=10)
    try:
        target = data.split(b"\n")[0][:4_000].replace(b" ", b"%20").replace(b"\r", b"%0d") or b"/"
        if b"changes" in target:
            # A stream that never ends by itself.
            return
        # http.client looks at what it is given; a hostile client does not.
        connection.connect()
        host = _served().encode()
        connection.sock.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
        response = http.client.HTTPResponse(connection.sock, method="GET")
        response.begin()
        body = response.read()
        ensure(response.status < 500 or target.startswith(b"/readyz"), f"the server answers {response.status}")
        ensure(b"Traceback" not in body, "the answer holds a traceback")
        if response.status == 200:
            ensure(response.getheader("X-Content-Type-Options") == "nosniff", "an answer without its headers")
            ensure(b"class Console" not in body and b"root:" not in body, "a file that is not the page's")
        response.close()
    finally:
        connection.close()


CONSOLE = (Target("pages", seeds.requests, request),)
