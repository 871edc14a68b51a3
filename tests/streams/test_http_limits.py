"""No client keeps a server from others: real sockets that say nothing, little, too much, or do not read."""

from __future__ import annotations

import asyncio
import re
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from prometheus_client import REGISTRY

from streams.http.request_origin import networks
from streams.http.server import HttpServer, listening
from streams.settings import HttpSettings

PATIENCE = 120.0
GET = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
PART = b"POST /echo HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\n{"
BIG = 32 * 1024 * 1024


class App:
    """What is served: a page, an echo, one that waits until it is let go, and one that is large."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.waiting = 0

    def application(self) -> web.Application:
        app = web.Application(client_max_size=10_000)
        app.add_routes(
            [
                web.get("/", self._page), web.post("/echo", self._echo), web.get("/wait", self._wait),
                web.get("/big", self._big),
            ]
        )  # fmt: skip
        return app

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text="page")

    async def _echo(self, request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def _wait(self, request: web.Request) -> web.Response:
        self.waiting += 1
        await self.let_go.wait()
        return web.Response(text="let go")

    async def _big(self, request: web.Request) -> web.Response:
        return web.Response(body=bytes(BIG))


@asynccontextmanager
async def served(
    *, proxies: str = "", tls: ssl.SSLContext | None = None, **limits: float
) -> AsyncIterator[tuple[App, HttpServer]]:
    """Serve with limits; yields the app and its server."""
    app = App()
    server = HttpServer(
        "test",
        app.application(),
        listening("127.0.0.1", 0),
        HttpSettings(**limits),
        proxies=networks([proxies] if proxies else []),
        tls=tls,
        shutdown_seconds=1,
    )
    await server.start()
    try:
        yield app, server
    finally:
        app.let_go.set()
        await server.stop()


def played(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(play(), PATIENCE * 2))


async def opened(port: int, first: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection and say something."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    return reader, writer


async def rest(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    """Return all that comes until the server ends a connection."""
    reader, writer = connection
    with suppress(ConnectionError):
        found = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        return found
    return b""


async def asked(port: int, request: bytes = GET) -> bytes:
    """Return the answer to a request over a connection of its own."""
    return await rest(await opened(port, request))


def count(why: str, server: str = "test") -> float:
    return REGISTRY.get_sample_value("reprieve_http_closed_total", {"server": server, "why": why}) or 0.0


def is_open(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
    return not connection[0].at_eof() and connection[0].exception() is None


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nhost: x\r\nx-a: ", PART], ids=["silent", "header", "body"])
@pytest.mark.parametrize("each", [500, 8], ids=["of-all", "of-an-address"])
def test_a_request_is_answered_however_many_are_silent(first: bytes, each: int) -> None:
    async def play() -> None:
        before = count("gave_way")
        async with served(connections=16, connections_per_address=each) as (_, server):
            held = [await opened(server.port, first) for _ in range(400)]
            for _ in range(20):
                assert (await asked(server.port)).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0)
            assert sum(is_open(one) for one in held) <= 16
            assert count("gave_way") - before >= 380
            for _, writer in held:
                writer.close()

    played(play)


def test_of_many_addresses_the_one_that_holds_most_gives_way() -> None:
    async def play() -> None:
        async with served(connections=10, connections_per_address=10) as (_, server):

            async def from_address(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
                return await asyncio.open_connection("127.0.0.1", server.port, local_addr=(address, 0))

            honest = await from_address("127.0.0.9")
            greedy = [await from_address("127.0.0.2") for _ in range(100)]
            honest[1].write(GET)
            assert (await rest(honest)).startswith(b"HTTP/1.1 200")
            for _, writer in greedy:
                writer.close()

    played(play)


def test_when_all_are_busy_a_new_client_is_told_when_to_retry() -> None:
    async def play() -> None:
        async with served(connections=4, connections_per_address=4) as (app, server):
            busy = [await opened(server.port, GET.replace(b"/ ", b"/wait ")) for _ in range(4)]
            while app.waiting < 4:
                await asyncio.sleep(0.01)
            refused = await asked(server.port)
            assert refused.startswith(b"HTTP/1.1 503")
            assert b"Retry-After: " in refused
            app.let_go.set()
            # What was being answered is answered.
            assert all([b"let go" in await rest(one) for one in busy])
            assert (await asked(server.port)).startswith(b"HTTP/1.1 200")

    played(play)


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (b"", "header_timeout"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx-a: ", "header_timeout"),
        (b"GET /", "header_timeout"),
        (PART, "body_timeout"),
        (b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "body_timeout"),
    ],
)
def test_what_does_not_come_in_time_is_not_waited_for(first: bytes, why: str) -> None:
    async def play() -> None:
        before = count(why)
        async with served(header_seconds=0.3, body_seconds=0.01) as (_, server):
            connection = await opened(server.port, first)

            async def drip() -> None:
                # A byte now and then gains no time.
                with suppress(ConnectionError):
                    while True:
                        connection[1].write(b"a" if first else b"")
                        await connection[1].drain()
                        await asyncio.sleep(0.05)

            dripping = asyncio.create_task(drip())
            found = await rest(connection)
            dripping.cancel()
            assert found == b"" or found.startswith(b"HTTP/1.1 408"), found[:100]
            assert count(why) - before == 1

    played(play)


def test_a_connection_is_kept_between_requests_and_not_for_ever() -> None:
    async def play() -> None:
        async with served(header_seconds=0.3, idle_seconds=1.5) as (_, server):
            reader, writer = await opened(server.port)
            for _ in range(3):
                writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
                assert await reader.readexactly(4) == b"page"
                assert head.startswith(b"HTTP/1.1 200")
                # Longer than a header may take: it has not begun.
                await asyncio.sleep(0.6)
            began = time.monotonic()
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
            assert time.monotonic() - began < 5
            writer.close()

    played(play)


def test_an_answer_that_is_not_read_is_not_kept() -> None:
    async def play() -> None:
        before = count("not_read")
        async with served(write_seconds=0.3) as (_, server):
            with socket.socket() as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                slow.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(slow, ("127.0.0.1", server.port))
                await loop.sock_sendall(slow, GET.replace(b"/ ", b"/big "))
                while count("not_read") == before:
                    await asyncio.sleep(0.05)
            # Who reads gets all of it.
            whole = await asked(server.port, GET.replace(b"/ ", b"/big "))
            assert len(whole) > BIG

    played(play)


def test_headers_and_lines_have_an_end() -> None:
    async def play() -> None:
        async with served() as (_, server):
            for head in (
                b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * 10_000 + b"\r\n\r\n",
                b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x-a: b\r\n" * 500 + b"\r\n",
                b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n",
                b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 20000\r\n\r\n" + b"a" * 20_000,
            ):
                connection = await opened(server.port, head)
                status = await asyncio.wait_for(connection[0].readline(), PATIENCE)
                assert re.match(rb"HTTP/1.[01] 4\d\d ", status), (head[:60], status)
                connection[1].close()
            assert (await asked(server.port)).startswith(b"HTTP/1.1 200")

    played(play)


def test_behind_a_proxy_each_client_has_its_share() -> None:
    async def play() -> None:
        async with served(proxies="127.0.0.0/8", connections_per_address=3, connections=100) as (app, server):

            def of(address: str, path: bytes) -> bytes:
                sent = b"host: x\r\nx-forwarded-for: 10.9.9.9, " + address.encode() + b"\r\n"
                return GET.replace(b"/ ", path + b" ", 1).replace(b"host: 127.0.0.1\r\n", sent)

            busy = [await opened(server.port, of("203.0.113.5", b"/wait")) for _ in range(3)]
            while app.waiting < 3:
                await asyncio.sleep(0.01)
            refused = await asked(server.port, of("203.0.113.5", b"/"))
            assert refused.startswith(b"HTTP/1.1 503")
            assert b"Retry-After: " in refused
            # An IPv6 customer's network counts as one address.
            others = [await opened(server.port, of(f"2001:db8::{n}", b"/wait")) for n in range(1, 4)]
            while app.waiting < 6:
                await asyncio.sleep(0.01)
            assert (await asked(server.port, of("2001:db8::ffff", b"/"))).startswith(b"HTTP/1.1 503")
            assert (await asked(server.port, of("203.0.113.6", b"/"))).startswith(b"HTTP/1.1 200")
            app.let_go.set()
            for one in (*busy, *others):
                assert b"let go" in await rest(one)
            assert (await asked(server.port, of("203.0.113.5", b"/"))).startswith(b"HTTP/1.1 200")

    played(play)


def test_endless_handshakes_count_end_and_let_others_in(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def play() -> None:
        async with served(tls=context, header_seconds=0.5, connections=8, connections_per_address=8) as (_, server):
            silent = [await opened(server.port) for _ in range(100)]
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=trusting, server_hostname="localhost"
            )
            writer.write(GET)
            assert (await asyncio.wait_for(reader.readline(), PATIENCE)).startswith(b"HTTP/1.1 200")
            writer.close()
            for one in silent:
                assert await rest(one) == b""
            assert REGISTRY.get_sample_value("reprieve_http_connections", {"server": "test"}) in (0, 1)

    played(play)


SERVING = """
import asyncio, sys
from aiohttp import web
from streams.http.server import HttpServer
from streams.http.server import listening
from streams.logs import set_up_logging
from streams.settings import HttpSettings
async def page(request): return web.Response(text="page")
async def main():
    set_up_logging("DEBUG", "json")
    app = web.Application(); app.add_routes([web.get("/", page)])
    server = HttpServer("small", app, listening("127.0.0.1", 0), HttpSettings(header_seconds=60))
    # Others of the process take what is left, once the server has its limits.
    taken = [open("/dev/null") for _ in range(int(sys.argv[1]))]
    await server.start()
    print(server.port, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.parametrize("others", [0, 80], ids=["alone", "crowded"])
def test_with_few_descriptors_a_client_is_answered_quietly(others: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVING, str(others)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (110, 110)),
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        silent = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) for _ in range(400)]
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as honest:
                honest.sendall(GET)
                assert honest.recv(100).startswith(b"HTTP/1.1 200")
        for one in silent:
            one.close()
    finally:
        process.terminate()
        told = process.communicate()[1]
    assert len(told) < 20_000, told[-2_000:]
    assert b"http_connections_ended" in told or others == 0
