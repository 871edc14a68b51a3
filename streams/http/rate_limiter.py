"""How often one may ask: buckets of tokens that fill again with time, one for each who asks."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

# So many are remembered; whoever was quiet for longest is forgotten first.
_REMEMBERED = 10_000


class RateLimiter:
    """So many requests in so many seconds for each key, spread out or in one burst (`burst`: `count` unless given)."""

    def __init__(
        self, count: float, seconds: float, now: Callable[[], float] = time.monotonic, burst: float | None = None
    ) -> None:
        self._burst, self._rate, self._now = float(count if burst is None else burst), count / seconds, now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, key: str) -> int:
        """Return the seconds after which a request may come, 0 for now. Takes nothing."""
        left = self._filled(key)
        return 0 if left >= 1 else math.ceil((1 - left) / self._rate)

    def take(self, key: str, count: int = 1) -> int:
        """Count requests; returns 0, or the seconds to wait where there were too many.

        count: of requests that come together; they may go into debt, so that any number can come at all.
        """
        wait = self.wait(key)
        if not wait:
            self._left[key] = (self._filled(key) - count, self._now())
            self._left.move_to_end(key)
            while len(self._left) > _REMEMBERED:
                self._left.popitem(last=False)
        return wait

    def _filled(self, key: str) -> float:
        now = self._now()
        left, at = self._left.get(key, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - at) * self._rate)
        if now < at:
            # The clock was set back: nothing is gained by that, and nothing lost.
            self._left[key] = (left, now)
        return left
