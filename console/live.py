"""Keeps the console's counts up with what is committed, and says when they have changed."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from console.ledger import Ledger
from console.pulse import Pulse
from console.source import Source, sentence
from schemas.errors import BadInput, ReprieveError

log: Any = structlog.get_logger(__name__)

# Events that are read at once.
PAGE = 5_000
# Seconds between looks at the log, between looks at the health, and over how many a rate is taken.
LOOK, CHECK, RATE = 0.1, 1.0, 10.0
# Seconds at least between two writings of what was counted, and how many times as long as the last one took.
KEEP, SELDOM = 30.0, 50


class Live:
    """What the overview shows. version: goes up with each change. `failed` is told what ended its reading."""

    def __init__(self, source: Source, failed: Callable[[BaseException], None]) -> None:
        self.pulse = Pulse()
        self.version = 0
        self.changed = asyncio.Condition()
        self.caught_up = False
        self.failure: BaseException | None = None
        self._source = source
        self._failed = failed
        self._position = 0
        self._built = ""
        # How far what is kept goes, when it was written, and how long that took.
        self._kept, self._kept_at, self._keeping = 0, time.monotonic(), 0.0
        self._rates: deque[tuple[float, int]] = deque()
        self._checked = 0.0
        self._health: dict[str, Any] = {}
        # The snapshot of a version is encoded once for all pages.
        self._encoded = (-1, b"")

    def unready(self) -> str | None:
        """Return why the page is not to be gone by yet, None where it is."""
        if self.failure is not None:
            return sentence(self.failure)
        return None if self.caught_up else "reading the log"

    async def keep_up(self, ledger: Ledger) -> None:
        """Follow what is committed; what ends it is said by /readyz, on the page, and to whoever serves."""
        try:
            await self._follow(ledger)
        except Exception as error:
            self.failure = error
            if not isinstance(error, ReprieveError):
                log.error("console_failed", exc_info=error)
            await self._tell()
            self._failed(error)

    async def _follow(self, ledger: Ledger) -> None:
        try:
            await self._read(ledger)
        except asyncio.CancelledError:
            # It ends in good order: the next start reads nothing twice.
            if self._source.keeps and self._position != self._kept:
                self._source.keep(self._built, self._position, self.pulse.kept())
            raise

    async def _read(self, ledger: Ledger) -> None:
        while True:
            if self._source.failure is not None:
                raise self._source.failure
            built = self._source.built(ledger)
            if built != self._built:
                await self._begin(ledger, built)
            whole = self._source.caught_up()
            rows = ledger.after(self._position, PAGE)
            for position, event in rows:
                self._position = position
                if event is not None:
                    self.pulse.take(event)
            self._check(ledger)
            if rows:
                await self._tell()
            if len(rows) < PAGE:
                first = whole and not self.caught_up
                self.caught_up = self.caught_up or whole
                await self._keep_counted(at_once=first)
                await asyncio.sleep(LOOK)
            else:
                await self._keep_counted(at_once=False)
                await asyncio.sleep(0)

    async def _begin(self, ledger: Ledger, built: str) -> None:
        """Go on from what is kept of a ledger, or begin it anew."""
        position, pulse = 0, Pulse()
        found = self._source.kept(ledger)
        if found is not None:
            try:
                for part in found[1]:
                    pulse.recall(part)
                    await asyncio.sleep(0)
                position = found[0]
                log.info("console_counts_resumed", position=position, accounts=pulse.count)
            except (msgspec.DecodeError, BadInput, LookupError, ValueError) as error:
                log.warning("console_counts_rebuilt", cause="damaged", detail=str(error))
                pulse = Pulse()
        self._built, self._position, self.pulse, self._kept = built, position, pulse, position

    async def _keep_counted(self, *, at_once: bool) -> None:
        """Write what was counted where it is due, so that a console that is killed reads little twice."""
        since = time.monotonic() - self._kept_at
        due = at_once or since > max(KEEP, SELDOM * self._keeping)
        if not (self._source.keeps and due and self._position != self._kept):
            return
        began, position = time.monotonic(), self._position
        if await asyncio.to_thread(self._source.keep, self._built, position, self.pulse.kept()):
            self._kept = position
        self._kept_at = time.monotonic()
        self._keeping = self._kept_at - began

    def _check(self, ledger: Ledger) -> None:
        """Look now and then at how whoever processes events is doing."""
        now = time.monotonic()
        if now - self._checked < CHECK:
            return
        self._checked = now
        if not self.caught_up:
            # Reading what was there before is no throughput.
            self._rates.clear()
        self._rates.append((now, self.pulse.came))
        while now - self._rates[0][0] > RATE:
            self._rates.popleft()
        began, before = self._rates[0]
        rate = round((self.pulse.came - before) / (now - began)) if now > began else 0
        health = {"rate": rate, "console_lag": 0, **self._source.health(ledger)}
        if health != self._health:
            self._health = health
            self.version += 1

    async def _tell(self) -> None:
        self.version += 1
        async with self.changed:
            self.changed.notify_all()

    def snapshot(self) -> bytes:
        """Return all that the overview shows, encoded once a change."""
        version, encoded = self._encoded
        if version != self.version:
            shown = self.pulse.snapshot()
            if "processed" in self._health:
                shown["events"]["in"] = self._health["processed"]
            shown["health"] = {
                **self._health,
                "now_ms": int(time.time() * 1000),
                "ready": self.caught_up,
                "failure": None if self.failure is None else sentence(self.failure),
            }
            encoded = msgspec.json.encode(shown)
            self._encoded = self.version, encoded
        return encoded
