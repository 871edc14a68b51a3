"""Follows the log, updates the overview projection, saves its snapshots, and notifies pages of changes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from console.overview_projection import OverviewProjection
from console.read_store import ReadStore
from console.source import Source, sentence
from schemas.errors import InvalidEventError, ReprieveError
from streams.redaction import describe_error

log: Any = structlog.get_logger(__name__)

# Events a read.
BATCH = 5_000
# Seconds between reads of the log, between checks of the health, and over which a rate is measured.
POLL_INTERVAL, CHECK_INTERVAL, RATE_WINDOW = 0.1, 1.0, 10.0
# Seconds at least between two snapshots, and at least so many times as long as the last one took.
SNAPSHOT_INTERVAL, SNAPSHOT_COST_FACTOR = 30.0, 50


class OverviewFeed:
    """The overview of a source. version: increases with each change. failed: called with what ended reading."""

    def __init__(self, source: Source, failed: Callable[[BaseException], None]) -> None:
        self.projection = OverviewProjection()
        self.version = 0
        self.changed = asyncio.Condition()
        self.caught_up = False
        self.failure: BaseException | None = None
        self._source = source
        self._failed = failed
        self._position = 0
        self._generation = ""
        # Of the last snapshot: its position, when it was saved, and how many seconds that took.
        self._saved_position, self._saved_at, self._save_seconds = 0, time.monotonic(), 0.0
        self._rates: deque[tuple[float, int]] = deque()
        self._checked = 0.0
        self._health: dict[str, Any] = {}
        # The overview of a version is encoded once for all pages.
        self._encoded = (-1, b"")

    def unready(self) -> str | None:
        """Return why the overview is incomplete, None where it is complete."""
        if self.failure is not None:
            return sentence(self.failure)
        return None if self.caught_up else "reading the log"

    async def run(self, store: ReadStore) -> None:
        """Follow the log until cancelled; an error is reported by /readyz, on the page, and to `failed`."""
        try:
            with store.faults():
                await self._follow(store)
        except Exception as error:
            await self.fail(error)

    async def fail(self, error: Exception) -> None:
        """Report the error that ended reading."""
        self.failure = error
        if not isinstance(error, ReprieveError):
            log.error("console_failed", exc_info=error)
        await self._notify()
        self._failed(error)

    async def _follow(self, store: ReadStore) -> None:
        try:
            await self._read(store)
        except asyncio.CancelledError:
            # An orderly end: the next start reads no event twice.
            if self._source.has_snapshots and self._position != self._saved_position:
                self._source.save_snapshot(self._generation, self._position, self.projection.snapshot())
            raise

    async def _read(self, store: ReadStore) -> None:
        while True:
            if self._source.failure is not None:
                raise self._source.failure
            generation = self._source.store_generation(store)
            if generation != self._generation:
                await self._begin(store, generation)
            source_caught_up = self._source.caught_up()
            rows = store.after(self._position, BATCH)
            for position, event in rows:
                self._position = position
                if event is not None:
                    self.projection.apply(event)
            self._check(store)
            if rows:
                await self._notify()
            if len(rows) < BATCH:
                first = source_caught_up and not self.caught_up
                self.caught_up = self.caught_up or source_caught_up
                await self._save_snapshot(at_once=first)
                await asyncio.sleep(POLL_INTERVAL)
            else:
                await self._save_snapshot(at_once=False)
                await asyncio.sleep(0)

    async def _begin(self, store: ReadStore, generation: str) -> None:
        """Restore the snapshot of a store's generation, or begin with an empty projection."""
        position, projection = 0, OverviewProjection()
        found = self._source.load_snapshot(store)
        if found is not None:
            try:
                for part in found[1]:
                    projection.restore(part)
                    await asyncio.sleep(0)
                position = found[0]
                log.info("console_counts_resumed", position=position, accounts=projection.account_count)
            except (msgspec.DecodeError, InvalidEventError, LookupError, ValueError) as error:
                log.warning("console_counts_rebuilt", cause="damaged", detail=describe_error(error))
                projection = OverviewProjection()
        self._generation, self._position, self.projection = generation, position, projection
        self._saved_position = position

    async def _save_snapshot(self, *, at_once: bool) -> None:
        """Save a snapshot where it is due, so that a console that is killed reads few events twice."""
        since = time.monotonic() - self._saved_at
        due = at_once or since > max(SNAPSHOT_INTERVAL, SNAPSHOT_COST_FACTOR * self._save_seconds)
        if not (self._source.has_snapshots and due and self._position != self._saved_position):
            return
        began, position = time.monotonic(), self._position
        if await asyncio.to_thread(self._source.save_snapshot, self._generation, position, self.projection.snapshot()):
            self._saved_position = position
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - began

    def _check(self, store: ReadStore) -> None:
        """Check at intervals how the workers are doing."""
        now = time.monotonic()
        if now - self._checked < CHECK_INTERVAL:
            return
        self._checked = now
        if not self.caught_up:
            # Reading old events is not throughput.
            self._rates.clear()
        self._rates.append((now, self.projection.events_in))
        while now - self._rates[0][0] > RATE_WINDOW:
            self._rates.popleft()
        began, before = self._rates[0]
        rate = round((self.projection.events_in - before) / (now - began)) if now > began else 0
        health = {"rate": rate, "console_lag": 0, **self._source.health(store)}
        if health != self._health:
            self._health = health
            self.version += 1

    async def _notify(self) -> None:
        self.version += 1
        async with self.changed:
            self.changed.notify_all()

    def encoded(self) -> bytes:
        """Return the overview as JSON, encoded once per version."""
        version, encoded = self._encoded
        if version != self.version:
            shown = self.projection.overview()
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
