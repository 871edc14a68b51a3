"""Reads a local runtime's data directory into the outbox, beside the process that writes it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from schemas.codec import Codec
from schemas.errors import BadInput
from streams.local.beside import ReadTables
from streams.webhooks.following import SAID, Taking
from streams.webhooks.known import CONTEXT

_PLACE = ("local-log", 0)
_PAGE = 500
_LOOK = 0.1


class LocalFeed:
    """Follows the log of a data directory, which is in one order. Use as a context manager."""

    def __init__(self, folder: Path, taking: Taking) -> None:
        self._log = ReadTables(folder)
        self._codec = Codec()
        self._taking = taking

    async def __aenter__(self) -> LocalFeed:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._log.close()

    async def run(self) -> None:
        """Take what is committed, as it comes."""
        while True:
            asked = time.monotonic()
            if self._page() < _PAGE:
                self._taking.known.read_at = asked
                await asyncio.sleep(_LOOK)
            await asyncio.sleep(0)

    def _page(self) -> int:
        outbox = self._taking.outbox
        at = outbox.places().get(_PLACE, 0)
        query = "SELECT * FROM log WHERE position >= ? ORDER BY position LIMIT ?"
        rows = self._log.db.execute(query, (at, _PAGE)).fetchall()
        if rows:
            with outbox.transaction():
                for row in rows:
                    if row[1] in SAID or row[1] in CONTEXT:
                        self._take(row[1], self._log.seal.opened(row)[4])
                outbox.set_place(*_PLACE, rows[-1][0] + 1)
        return len(rows)

    def _take(self, topic: str, value: bytes | None) -> None:
        try:
            event = self._codec.decode(value or b"")
        except BadInput:
            return
        wanted = CONTEXT.get(topic)
        if wanted is None or type(event) in wanted:
            self._taking.take(event)
