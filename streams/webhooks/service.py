"""The process that delivers: a feed, a dispatcher for each partner, and counts."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import structlog

from schemas.errors import FatalError
from streams.http.health import HealthStatus, health
from streams.partners.partner_registry import Partner
from streams.settings import Settings
from streams.shutdown import cancel_and_wait
from streams.storage_faults import fault_of
from streams.webhooks.consents import Consents
from streams.webhooks.dispatcher import Dispatcher
from streams.webhooks.kafka_feed import KafkaFeed
from streams.webhooks.local_feed import LocalFeed
from streams.webhooks.metrics import CONSENT_AGE, GONE, OLDEST, PARKED, PENDING
from streams.webhooks.outbox import Outbox
from streams.webhooks.router import Router

log: Any = structlog.get_logger(__name__)

_DAY_MS = 86_400_000
# Seconds between two counts, and between two looks for what is over and old.
_COUNT, _CLEAN = 5.0, 3_600.0


class EventFeed(Protocol):
    """Brings events to a router."""

    async def run(self) -> None:
        """Take what is committed, for ever."""


class Webhooks:
    """What a process that delivers is made of. Use as a context manager, within the thread of its loop."""

    def __init__(self, settings: Settings, partners: Mapping[str, Partner]) -> None:
        self._settings = settings.webhooks
        receiving = {p.id: p.receives for p in partners.values() if p.receives is not None}
        self.outbox = Outbox(settings.webhooks.data_dir)
        self.consents = Consents(self.outbox, [name for name, part in receiving.items() if part.consent == "processor"])
        self.router = Router(partners, self.outbox, self.consents)
        self._dispatchers = [Dispatcher(name, self._settings, self.router) for name in sorted(receiving)]

    def __enter__(self) -> Webhooks:
        return self

    def __exit__(self, *_: object) -> None:
        self.outbox.close()

    async def run(self, feed: AbstractAsyncContextManager[EventFeed]) -> None:
        """Read and deliver, for ever; what ends one of the parts ends all."""
        async with feed as opened:
            parts: list[Awaitable[None]] = [opened.run(), self._count(), self._clean()]
            parts += [dispatcher.run() for dispatcher in self._dispatchers]
            tasks = [asyncio.ensure_future(part) for part in parts]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    await cancel_and_wait(task)

    async def _count(self) -> None:
        while True:
            waiting, gone, now = self.outbox.waiting(), self.outbox.all_gone(), time.time() * 1000
            for dispatcher in self._dispatchers:
                name = dispatcher.partner
                count, oldest = waiting.get((name, "pending"), (0, int(now)))
                PENDING.labels(name).set(count)
                OLDEST.labels(name).set(max(0.0, (now - oldest) / 1000))
                PARKED.labels(name).set(waiting.get((name, "parked"), (0, 0))[0])
                GONE.labels(name).set(name in gone)
            CONSENT_AGE.set(self.consents.age())
            await asyncio.sleep(_COUNT)

    async def _clean(self) -> None:
        while True:
            self.outbox.forget_ended(int(time.time() * 1000 - self._settings.keep_days * _DAY_MS))
            await asyncio.sleep(_CLEAN)


async def run_webhooks(
    settings: Settings, partners: Mapping[str, Partner], *, data: Path | None, skip_lost: bool
) -> None:
    """Deliver from Kafka, or from a local runtime's data directory, until it is ended."""
    from streams.registry import codec_for

    with Webhooks(settings, partners) as webhooks:

        def health_status() -> HealthStatus:
            late = webhooks.consents.age() > settings.webhooks.consent_fresh_seconds
            return HealthStatus(
                readiness_error="consents cannot be read; nothing that needs one goes out" if late else None
            )

        feed: AbstractAsyncContextManager[EventFeed] = (
            KafkaFeed(settings, codec_for(settings), webhooks.router, skip_lost=skip_lost)
            if data is None
            else LocalFeed(data, webhooks.router)
        )
        try:
            async with health(settings.health, health_status):
                await webhooks.run(feed)
        except sqlite3.Error as error:
            fault = fault_of(error, webhooks.outbox.path)
            raise FatalError(f"The outbox cannot be written. {fault.message}; it goes on where it was.") from error
