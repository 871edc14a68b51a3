"""How often one may ask: buckets that fill again with time, one for each who asks."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

# So many are remembered; whoever was quiet for longest is forgotten first.
_REMEMBERED = 10_000


class RateLimiter:
    """So many requests in so many seconds for each key, in one burst or spread out."""

    def __init__(self, count: int, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._count, self._rate, self._now = count, count / seconds, now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, key: str) -> int:
        """Return the seconds after which a request may come, 0 for now. Takes nothing."""
        left = self._filled(key)
        return 0 if left >= 1 else math.ceil((1 - left) / self._rate)

    def take(self, key: str) -> int:
        """Count a request; returns 0, or the seconds to wait where there were too many."""
        wait = self.wait(key)
        if not wait:
            self._left[key] = (self._filled(key) - 1, self._now())
            self._left.move_to_end(key)
            while len(self._left) > _REMEMBERED:
                self._left.popitem(last=False)
        return wait

    def _filled(self, key: str) -> float:
        left, at = self._left.get(key, (float(self._count), self._now()))
        return min(float(self._count), left + (self._now() - at) * self._rate)
