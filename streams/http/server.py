"""An HTTP server that no client can keep from others: connections, headers, bodies and idling are bounded.

aiohttp parses and answers; what is here accepts. A connection counts from the moment it is accepted, so a TLS handshake
that never ends counts too. Where there are as many as may be, one that still waits for its request, or for its body,
gives way to a new one, the oldest of the address that has most: who sends a request at once is answered however many
say nothing. Where all are being answered, a new one is refused with 503.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import prometheus_client as prometheus
import structlog
from aiohttp import web

from streams.http.request_origin import Network, client_address
from streams.settings import HttpSettings
from streams.shutdown import cancel_and_wait

log: Any = structlog.get_logger(__name__)

CONNECTIONS = prometheus.Gauge("reprieve_http_connections", "Connections that are open, by server.", ["server"])
CLOSED = prometheus.Counter(
    "reprieve_http_closed_total",
    "Connections ended or refused, by server and cause.",
    ["server", "why"],
)
# Seconds between two looks for what is late; between two lines about that; for a pause where no descriptor is left.
_LOOK, _TELL, _PAUSE = 0.25, 10.0, 0.1
# What a late request is answered, and one for which there is no room.
_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
# Descriptors that are left to the rest of the process: of those that it may have, so many in a hundred.
_SHARE = 50
# Connections that may wait to be accepted.
_BACKLOG = 512
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(eq=False, slots=True)
class _Held:
    """A connection. since: when it began to wait for what it waits for, by the loop's clock."""

    address: str
    since: float
    socket: socket.socket
    transport: asyncio.Transport | None = None
    request: web.BaseRequest | None = None
    # Whether anything of a request has come; how many were answered; since when it does not read.
    begun: bool = False
    answered: int = 0
    stuck: float | None = None
    # What tells of it; it goes on while a handshake does.
    task: asyncio.Task[None] | None = field(default=None)

    @property
    def waits(self) -> bool:
        """Whether its request, or its body, has not come yet."""
        return self.request is None or not self.request.content.is_eof()


class HttpServer:
    """Serves one app on sockets that listen. `start` and `stop` run in one loop.

    name: for metrics and the log. proxies: whose connections are others'; of these the address that they saw counts.
    body_seconds: for a request's body. tls: for the server's end of TLS.
    """

    def __init__(
        self,
        name: str,
        app: web.Application,
        sockets: Sequence[socket.socket],
        settings: HttpSettings,
        *,
        proxies: Sequence[Network] = (),
        body_seconds: float | None = None,
        tls: ssl.SSLContext | None = None,
        shutdown_seconds: float = 60.0,
    ) -> None:
        self.name, self._sockets, self._settings, self._proxies, self._tls = name, sockets, settings, proxies, tls
        self._body_seconds = settings.body_seconds if body_seconds is None else body_seconds
        most = min(settings.connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] * _SHARE // 100)
        self._most, self._each = most, min(settings.connections_per_address, most)
        # How many there is room for: fewer for a while where descriptors are missing.
        self._room = most
        self._held: dict[_Held, None] = {}
        self._asking: Counter[str] = Counter()
        self._by_transport: dict[asyncio.BaseTransport, _Held] = {}
        self._tasks: list[asyncio.Task[None]] = []
        # What was done since it was last reported, by cause.
        self._unreported: Counter[str] = Counter()
        self._reported_at = -_TELL
        app.middlewares.insert(0, self._answering)
        # A body that is not read is read away for a moment, so that the answer arrives.
        options: Any = {"access_log": None, "auto_decompress": False, "lingering_time": 1.0, "tcp_keepalive": True}
        self._runner = web.AppRunner(
            app, keepalive_timeout=settings.idle_seconds + 5, shutdown_timeout=shutdown_seconds, **options
        )

    @property
    def port(self) -> int:
        """The port of the first socket."""
        return int(self._sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Accept from now on."""
        await self._runner.setup()
        for one in self._sockets:
            one.setblocking(False)
            self._tasks.append(asyncio.create_task(self._accept(one), name=f"{self.name} accepts"))
        self._tasks.append(asyncio.create_task(self._look(), name=f"{self.name} looks"))

    async def stop(self) -> None:
        """Accept no more; what is being answered is answered, for `shutdown_seconds` at most."""
        for task in self._tasks:
            await cancel_and_wait(task)
        for one in self._sockets:
            one.close()
        for held in list(self._held):
            if held.transport is None and held.task is not None:
                await cancel_and_wait(held.task)
        await self._runner.cleanup()

    # -- accepting

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    await self._leave_room()
                continue
            held = self._let_in(connection, str(peer[0]))
            if held is not None:
                held.task = asyncio.create_task(self._begin(held))

    async def _leave_room(self) -> None:
        """Hold fewer connections: others of this process have the descriptors that are missing."""
        self._count("no_descriptors")
        self._room = max(1, len(self._held) * 3 // 4)
        while len(self._held) > self._room and self._give_way(list(self._held)):
            pass
        await asyncio.sleep(_PAUSE)

    def _let_in(self, connection: socket.socket, peer: str) -> _Held | None:
        """Return a connection that may go on, having made room for it; None where it was refused."""
        address = block_of(peer)
        if not any(ipaddress.ip_address(peer.partition("%")[0]) in proxy for proxy in self._proxies):
            same = [held for held in self._held if held.address == address]
            if len(same) >= self._each and not self._give_way(same):
                self._refuse(connection)
                return None
        if len(self._held) >= self._room:
            counts = Counter(held.address for held in self._held)
            crowded = sorted(self._held, key=lambda held: -counts[held.address])
            if not self._give_way(crowded, counts):
                self._refuse(connection)
                return None
        held = _Held(address, asyncio.get_running_loop().time(), connection)
        self._held[held] = None
        CONNECTIONS.labels(self.name).set(len(self._held))
        return held

    def _give_way(self, among: Sequence[_Held], counts: Mapping[str, int] | None = None) -> bool:
        """End one connection that waits, the oldest of the address that has most; says whether there was one."""
        waiting = [held for held in among if held.waits]
        if not waiting:
            return False
        most = counts or Counter[str]()
        chosen = min(waiting, key=lambda held: (-most.get(held.address, 0), held.since))
        self._end(chosen, "gave_way")
        return True

    def _refuse(self, connection: socket.socket) -> None:
        self._count("refused")
        if self._tls is None:
            with suppress(OSError):
                connection.send(_FULL)
        connection.close()

    async def _begin(self, held: _Held) -> None:
        """Have aiohttp speak to a connection, after its handshake where there is one."""
        loop, tls = asyncio.get_running_loop(), self._tls
        patience: dict[str, Any] = {} if tls is None else {"ssl_handshake_timeout": self._settings.header_seconds}
        server = self._runner.server
        try:
            assert server is not None
            await loop.connect_accepted_socket(
                lambda: _Connection(self, held, server()), held.socket, ssl=tls, **patience
            )
        except (OSError, ssl.SSLError, asyncio.CancelledError) as error:
            if held in self._held:
                self._gone(held)
                self._count("handshake")
            held.socket.close()
            if isinstance(error, asyncio.CancelledError):
                raise

    # -- what becomes of a connection

    def _begun(self, held: _Held, transport: asyncio.Transport) -> None:
        held.transport = transport
        self._by_transport[transport] = held

    def _gone(self, held: _Held) -> None:
        self._held.pop(held, None)
        if held.transport is not None:
            self._by_transport.pop(held.transport, None)
        CONNECTIONS.labels(self.name).set(len(self._held))

    def _end(self, held: _Held, why: str, answer: bytes = b"") -> None:
        """End a connection now, whatever it still has to send."""
        self._count(why)
        self._gone(held)
        if held.transport is None:
            if held.task is not None:
                held.task.cancel()
            return
        if answer and not held.transport.get_write_buffer_size():
            held.transport.write(answer)
            held.transport.close()
            asyncio.get_running_loop().call_later(1.0, held.transport.abort)
        else:
            held.transport.abort()

    @web.middleware
    async def _answering(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        held = None if request.transport is None else self._by_transport.get(request.transport)
        if held is None:
            return await handler(request)
        held.request, held.since = request, asyncio.get_running_loop().time()
        address = (client_address(request, self._proxies) or held.address) if self._proxies else None
        if address is not None:
            address = block_of(address)
            if self._asking[address] >= self._each:
                self._count("refused")
                raise web.HTTPServiceUnavailable(text="Too many requests at once.\n", headers={"Retry-After": "5"})
            self._asking[address] += 1
        try:
            return await handler(request)
        finally:
            held.request, held.since, held.begun = None, asyncio.get_running_loop().time(), False
            held.answered += 1
            if address is not None:
                self._asking[address] -= 1
                if not self._asking[address]:
                    del self._asking[address]

    async def _look(self) -> None:
        """End what is late, and tell of it now and then."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK)
            now, self._room = loop.time(), min(self._most, self._room + 1)
            for held in list(self._held):
                why = self._late(held, now)
                if why is not None:
                    self._end(held, why, _LATE if why == "header_timeout" and held.begun else b"")
            if self._unreported and now - self._reported_at >= _TELL:
                log.warning("http_connections_ended", server=self.name, open=len(self._held), **self._unreported)
                self._reported_at = now
                self._unreported.clear()

    def _late(self, held: _Held, now: float) -> str | None:
        """Return what a connection has not done in time, None where it has."""
        settings, waited = self._settings, now - held.since
        if held.stuck is not None and now - held.stuck > settings.write_seconds:
            return "not_read"
        if held.request is not None:
            # Its handler gives up first, with an answer.
            return "body_timeout" if held.waits and waited > self._body_seconds + 2 else None
        if held.transport is None or held.begun or not held.answered:
            return "header_timeout" if waited > settings.header_seconds else None
        if held.transport.get_write_buffer_size():
            return None
        return "idle" if waited > settings.idle_seconds else None

    def _count(self, why: str) -> None:
        CLOSED.labels(self.name, why).inc()
        # Clients that have nothing more to ask are as they should be.
        if why != "idle":
            self._unreported[why] += 1


class _Connection(asyncio.Protocol):
    """Stands between a transport and aiohttp's protocol, and takes notice."""

    def __init__(self, server: HttpServer, held: _Held, inner: Any) -> None:
        self._server, self._held, self._inner = server, held, inner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._server._begun(self._held, transport)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        held = self._held
        if held.request is None and not held.begun:
            held.begun = True
            if held.answered:
                held.since = asyncio.get_running_loop().time()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        answer: bool | None = self._inner.eof_received()
        return answer

    def pause_writing(self) -> None:
        self._held.stuck = asyncio.get_running_loop().time()
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._held.stuck = None
        self._inner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._server._gone(self._held)
        self._inner.connection_lost(error)


def listening(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen at every address of a host. Raises OSError where one cannot be had."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found: list[socket.socket] = []
    try:
        for family, _, _, _, address in sorted(infos, key=lambda info: info[0] != socket.AF_INET):
            if not found or port:
                found.append(socket.create_server(address, family=family, backlog=_BACKLOG))
    except OSError:
        for one in found:
            one.close()
        raise
    return found


def block_of(address: str) -> str:
    """Return what counts as one address: of IPv6 the network that one customer is given."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), 64), strict=False))


class ClientDisconnectedError(ConnectionResetError):
    """The connection ended before the body was there; nobody waits for an answer."""


async def read_body(request: web.Request, seconds: float) -> bytes:
    """Return a request's body.

    Raises TimeoutError where it does not come within `seconds`, ClientDisconnectedError where the client left.
    """
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except (ConnectionError, RuntimeError) as error:
        # aiohttp raises RuntimeError where a connection ended before its body was asked for.
        if request.transport is not None:
            raise
        raise ClientDisconnectedError("the client left before its body was there") from error
