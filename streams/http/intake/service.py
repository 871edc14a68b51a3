"""The process that takes signed events in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from schemas.errors import FatalError, ReprieveError
from streams.http.health import HealthStatus, health
from streams.http.intake.event_sink import EventSink
from streams.http.intake.server import Intake
from streams.http.request_origin import Network, networks
from streams.http.server import HttpServer
from streams.http.sockets import listening
from streams.partners.partner_registry import Partner
from streams.settings import HttpSettings, IntakeSettings, Settings
from streams.shutdown import wait_for_signal


@asynccontextmanager
async def serving(
    settings: IntakeSettings,
    partners: Mapping[str, Partner],
    sink: EventSink,
    limits: HttpSettings | None = None,
    proxies: Sequence[Network] = (),
) -> AsyncIterator[str]:
    """Serve while the block runs; yields the address. Raises FatalError where it cannot be had.

    proxies: through which all that is asked comes, so that the address that they saw counts.
    """
    await sink.open()
    server: HttpServer | None = None
    try:
        try:
            sockets = listening(settings.host, settings.port)
        except OSError as error:
            raise FatalError(
                f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}. Set intake.port, or stop "
                "whoever has it."
            ) from error
        app = Intake(settings, partners, sink).application()
        server = HttpServer(
            "intake", app, sockets, limits or HttpSettings(), proxies=proxies, body_seconds=settings.body_seconds
        )
        await server.start()
        host, port = sockets[0].getsockname()[:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        # Requests that are being answered are answered.
        if server is not None:
            await server.stop()
        await sink.close()


def _health_status(sink: EventSink) -> HealthStatus:
    try:
        return HealthStatus(readiness_error=None if sink.is_open() else "events cannot be taken now")
    except ReprieveError as error:
        return HealthStatus(readiness_error=str(error))


async def run_intake(settings: Settings, partners: Mapping[str, Partner], sink: EventSink, told: Any) -> None:
    """Serve until the process is told to end. told: called with the address."""
    access = settings.access
    proxies = networks(access.trusted_proxies) if access.behind_proxy else []
    async with (
        health(settings.health, partial(_health_status, sink)),
        serving(settings.intake, partners, sink, settings.http, proxies) as address,
    ):
        told(address)
        await wait_for_signal()
