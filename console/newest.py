"""The newest of some events, whatever the order in which they come."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from datetime import date
from typing import Generic, TypeVar

from schemas import events as ev
from schemas.days import story_order

E = TypeVar("E", bound=ev.Event)


class Newest(Generic[E]):
    """Keeps so many events with the latest days. What comes of two partitions comes in no certain order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[tuple[tuple[date, bool, str], E]] = []

    def take(self, event: E) -> None:
        """Keep an event where it is among the newest; one that is here already is not kept twice."""
        order = story_order(event)
        if len(self._kept) == self._most and order < self._kept[0][0]:
            return
        if any(order == known for known, _ in self._kept):
            return
        insort(self._kept, (order, event), key=lambda kept: kept[0])
        del self._kept[: -self._most]

    def __iter__(self) -> Iterator[E]:
        """Yield the newest first."""
        return (event for _, event in reversed(self._kept))
