"""Reads a local runtime's data directory into the outbox, beside the process that writes it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from schemas.codec import Codec
from schemas.errors import InvalidEventError
from streams.local.store import ReadTables
from streams.webhooks.consents import CONTEXT
from streams.webhooks.kafka_feed import SAID
from streams.webhooks.router import Router

_CONTEXT, _SAID = ("local-context", 0), ("local-said", 0)
_PAGE = 500
_LOOK = 0.1


class LocalFeed:
    """Follows the log of a data directory, which is in one order. Use as a context manager."""

    def __init__(self, folder: Path, router: Router) -> None:
        self._log = ReadTables(folder)
        self._codec = Codec()
        self._router = router

    async def __aenter__(self) -> LocalFeed:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._log.close()

    async def run(self) -> None:
        """Take what is committed, as it comes."""
        while True:
            asked = time.monotonic()
            # As on Kafka: all that there is of consents and accounts, then some of what was said.
            while self._page(_CONTEXT, tuple(CONTEXT)) == _PAGE:
                await asyncio.sleep(0)
            self._router.consents.read_at = asked
            if self._page(_SAID, SAID) < _PAGE:
                await asyncio.sleep(_LOOK)
            await asyncio.sleep(0)

    def _page(self, place: tuple[str, int], topics: tuple[str, ...]) -> int:
        """Take the next records of topics; returns how many there were."""
        outbox = self._router.outbox
        at = outbox.places().get(place, 0)
        marks = ",".join("?" * len(topics))
        query = f"SELECT * FROM log WHERE position >= ? AND topic IN ({marks}) ORDER BY position LIMIT ?"  # nosec B608
        rows = self._log.db.execute(query, (at, *topics, _PAGE)).fetchall()
        if rows:
            with outbox.transaction():
                for row in rows:
                    record = self._log.seal.opened(row)
                    self._take(record.topic, record.value)
                outbox.set_place(*place, rows[-1][0] + 1)
        return len(rows)

    def _take(self, topic: str, value: bytes | None) -> None:
        try:
            event = self._codec.decode(value or b"")
        except InvalidEventError:
            return
        wanted = CONTEXT.get(topic)
        if wanted is None or type(event) in wanted:
            self._router.take(event)
