"""How much a source may send, and what it has sent lately."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct


class TokenBucket:
    """Lets so many events a second through, and a burst beyond that; whoever comes too soon is told when to come."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._at = burst, clock()

    def wait(self) -> float:
        """Return the seconds until one more may come, 0 for now."""
        # Where the clock was set back, nothing is gained and nothing lost.
        now = self._clock()
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
        return 0.0 if self._left >= 1 else (1 - self._left) / self._rate

    def take(self, count: int) -> None:
        """Count events; a batch may go into debt, so that any batch can come at all."""
        self._left -= count


class Answered(Struct):
    """A message that was answered: the digest of its body, when, and the answer."""

    digest: bytes
    at: float
    status: int
    body: bytes


class AnswerCache:
    """Messages that were answered within a window, bounded; older ones are refused by their timestamps.

    What a restart forgets does no harm: a message that is taken again has the same ids.
    """

    def __init__(self, seconds: float, most: int, clock: Callable[[], float]) -> None:
        self._seconds, self._most, self._clock = seconds, most, clock
        self._held: OrderedDict[tuple[str, str], Answered] = OrderedDict()

    def get(self, source: str, message_id: str) -> Answered | None:
        """Return what was answered to a message, None where it is new."""
        return self._held.get((source, message_id))

    def put(self, source: str, message_id: str, digest: bytes, status: int, body: bytes) -> None:
        """Keep an answer, and forget old ones."""
        now = self._clock()
        self._held[source, message_id] = Answered(digest, now, status, body)
        self._held.move_to_end((source, message_id))
        while self._held:
            oldest = next(iter(self._held))
            if len(self._held) <= self._most and self._held[oldest].at > now - self._seconds:
                return
            del self._held[oldest]
