"""The process that takes signed events in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from schemas.errors import Fatal
from streams.endings import told_to_end
from streams.health import health
from streams.intake.doors import Door
from streams.intake.server import Intake
from streams.partners.roster import Partner
from streams.settings import IntakeSettings, Settings


@asynccontextmanager
async def serving(settings: IntakeSettings, partners: Mapping[str, Partner], door: Door) -> AsyncIterator[str]:
    """Serve while the block runs; yields the address. Raises Fatal where it cannot be had."""
    await door.open()
    options: Any = {"auto_decompress": False, "keepalive_timeout": 75, "lingering_time": 1, "access_log": None}
    runner = web.AppRunner(Intake(settings, partners, door).application(), **options)
    try:
        await runner.setup()
        site = web.TCPSite(runner, settings.host, settings.port)
        try:
            await site.start()
        except OSError as error:
            raise Fatal(
                f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}. Set intake.port, or stop "
                "whoever has it."
            ) from error
        host, port = runner.addresses[0][:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        # Requests that are being answered are answered.
        await runner.cleanup()
        await door.close()


async def run_intake(settings: Settings, partners: Mapping[str, Partner], door: Door, told: Any) -> None:
    """Serve until the process is told to end. told: called with the address."""
    async with health(settings.health), serving(settings.intake, partners, door) as address:
        told(address)
        await told_to_end()
