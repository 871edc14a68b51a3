"""Takes events of the intake into a local runtime's data directory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from schemas import events as ev
from state.policy import PolicyBook
from streams import portfolio_metrics
from streams.local.runtime import LocalRuntime
from streams.local.store import FILE
from streams.storage_faults import StorageError, room_for

# Bytes that a disk that was full must take before it counts as one with room: a few messages and what comes of them.
_ROOM = 4 * 1024 * 1024


class LocalSink:
    """A local runtime, which processes what it takes at once, in a thread of its own."""

    def __init__(self, folder: Path, book: PolicyBook) -> None:
        self._folder = folder
        self._book = book
        self._thread = ThreadPoolExecutor(1, "intake")
        self._runtime: LocalRuntime | None = None
        # Why the directory could not be written when that was last tried.
        self._failed: StorageError | None = None

    async def open(self) -> None:
        """Open the directory. Raises FatalError where another process has it."""
        self._runtime = await self._in_thread(lambda: LocalRuntime.open(self._folder, self._book))

    async def close(self) -> None:
        """Close the directory."""
        if self._runtime is not None:
            await self._in_thread(self._runtime.close)
        self._thread.shutdown()

    def is_open(self) -> bool:
        """Say whether events can be taken. Raises why not, where the directory could not be written."""
        if self._failed is not None and room_for(self._folder / FILE, _ROOM):
            self._failed = None
        if self._failed is not None:
            raise self._failed
        return self._runtime is not None

    def check_size(self, event: ev.Event) -> None:
        """Take events of any size."""

    async def take(self, events: Sequence[ev.Event]) -> None:
        """Write events durably and process them."""
        await self._in_thread(lambda: self._taken(events))

    def _taken(self, events: Sequence[ev.Event]) -> None:
        assert self._runtime is not None
        try:
            published = self._runtime.feed(events)
        except StorageError as error:
            self._failed = error
            raise
        self._failed = None
        # As a worker counts what it has published.
        portfolio_metrics.add_counts(
            Counter(count for event in published for count in portfolio_metrics.counts_of(event))
        )

    async def _in_thread(self, act: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act)
