"""What the benchmarks share: repeated timings, and how they are told."""

from __future__ import annotations

import platform
import resource
import statistics
from collections.abc import Callable, Sequence


def spread(values: Sequence[float]) -> str:
    """Return median and range of repeated measurements."""
    return f"median {statistics.median(values):,.1f} (min {min(values):,.1f}, max {max(values):,.1f}, n={len(values)})"


def repeated(runs: int, measure: Callable[[], float]) -> list[float]:
    """Return the measurements of so many runs."""
    return [measure() for _ in range(runs)]


def peak_mib() -> float:
    """Return the peak resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine() -> str:
    """Return on what it was measured."""
    return f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}"
