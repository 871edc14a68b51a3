"""Answers `/metrics`, `/livez` and `/readyz` of a long-running process, and nothing else.

A process is looked at from within its own loop, once a second, and the server in a thread of its own tells what was
seen last. So it answers while the loop is busy, and a loop that does not turn any more is found out: nobody has
looked for too long.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from schemas.errors import FatalError
from streams.http.server import HttpServer
from streams.settings import HealthSettings, HttpSettings
from streams.shutdown import cancel_and_wait

log: Any = structlog.get_logger(__name__)

# Seconds between two looks, at most.
_PULSE = 1.0
# Seconds that the server may take to begin and to end.
_PATIENCE = 5.0


# Those who ask are few, and ask briefly: machines that look, and a scraper.
_LIMITS = HttpSettings(header_seconds=5, body_seconds=5, connections=32, connections_per_address=16)


@dataclass(frozen=True, slots=True)
class HealthStatus:
    """The health of a process.

    liveness_error: why to restart it; readiness_error: what it is not ready for; None: healthy.
    """

    liveness_error: str | None = None
    readiness_error: str | None = None


class Stalls:
    """Finds out what is under way and does not move."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        # By name: the number that was seen last, and since when.
        self._seen: dict[str, tuple[int, float]] = {}

    def stalled(self, under_way: Mapping[str, int], *, excused: bool = False) -> str | None:
        """Return what has not moved for too long, None where all does.

        under_way: by name a number that changes when it moves; what is not under way is not named. excused: nothing
        can move, and it is known why, as while the broker is away.
        """
        now = self._clock()
        before = {} if excused else self._seen
        self._seen = {
            name: before[name] if before.get(name, (None, 0))[0] == number else (number, now)
            for name, number in under_way.items()
        }
        for name, (_, since) in self._seen.items():
            if now - since > self._seconds:
                return f"{name} has not moved for {now - since:.0f} s"
        return None


HEALTHY = HealthStatus()
Look = Callable[[], HealthStatus]


@asynccontextmanager
async def health(settings: HealthSettings, look: Look = lambda: HEALTHY) -> AsyncIterator[int | None]:
    """Answer while the block runs; yields the port, None where settings ask for no server.

    look: called in this loop once a second, must be cheap. Raises FatalError where the port cannot be had.
    """
    if settings.port is None:
        yield None
        return
    pulse = _Pulse(look, settings.stall_seconds)
    server = _Server(settings, pulse)
    beating = asyncio.create_task(pulse.beat(), name="health")
    log.info("health_served", host=settings.host, port=server.port)
    try:
        yield server.port
    finally:
        await cancel_and_wait(beating)
        await asyncio.to_thread(server.stop)


class _Pulse:
    """What was seen of a process last, and when."""

    def __init__(self, look: Look, stall: float) -> None:
        self._look = look
        self._stall = stall
        self._seen = time.monotonic(), HealthStatus(readiness_error="it starts")

    async def beat(self) -> None:
        while True:
            self._seen = time.monotonic(), self._look()
            # Often enough that a late look is not taken for a loop that stands.
            await asyncio.sleep(min(_PULSE, self._stall / 4))

    def liveness_error(self) -> str | None:
        """Return why the process should be started anew, None where it lives."""
        at, status = self._seen
        silent = time.monotonic() - at
        return f"the loop has not turned for {silent:.0f} s" if silent > self._stall else status.liveness_error

    def readiness_error(self) -> str | None:
        """Return what the process is not ready for, None where it is."""
        return self.liveness_error() or self._seen[1].readiness_error


class _Server:
    """An HTTP server in a thread and a loop of its own."""

    def __init__(self, settings: HealthSettings, pulse: _Pulse) -> None:
        host, port = settings.host, settings.port or 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise FatalError(
                f"health.port {port} on {host} cannot be had: {os.strerror(error.errno or 0)}. Set health.port to "
                "another, and health.host to an address of this machine."
            ) from error
        self.port: int = self._socket.getsockname()[1]
        self._pulse = pulse
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = HttpServer("health", self._app(), [self._socket], _LIMITS, shutdown_seconds=1.0)
        try:
            self._loop.run_until_complete(server.start())
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(server.stop())
            self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)

    def _app(self) -> web.Application:
        async def metrics(request: web.Request) -> web.Response:
            encode, kind = choose_encoder(request.headers.get("Accept", ""))
            return web.Response(body=encode(REGISTRY), headers={"Content-Type": kind})

        async def livez(_: web.Request) -> web.Response:
            return _response(self._pulse.liveness_error())

        async def readyz(_: web.Request) -> web.Response:
            return _response(self._pulse.readiness_error())

        app = web.Application()
        app.add_routes([web.get("/metrics", metrics), web.get("/livez", livez), web.get("/readyz", readyz)])
        return app


def _response(reason: str | None) -> web.Response:
    return web.Response(status=200 if reason is None else 503, text=f"{reason or 'ok'}\n")
