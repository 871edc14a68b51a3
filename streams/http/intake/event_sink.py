"""Where the intake puts events: a sink that has taken an event stores it durably."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from schemas import events as ev


class EventSink(Protocol):
    """Takes events durably."""

    async def open(self) -> None:
        """Begin; does not wait for what is away."""
        ...

    async def close(self) -> None:
        """End."""
        ...

    def is_open(self) -> bool:
        """Say whether events can be taken now."""
        ...

    def check_size(self, event: ev.Event) -> None:
        """Raise InvalidEventError where an event could never be taken."""
        ...

    async def take(self, events: Sequence[ev.Event]) -> None:
        """Take events in their order.

        Raises RetryableError where they may not be durable; then they may be sent again.
        """
        ...
