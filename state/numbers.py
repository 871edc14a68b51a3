"""Sets of instalment numbers as ranges: a schedule of 360 is one, and so are the statements of a card."""

from __future__ import annotations

from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]


def covering(numbers: Iterable[int], ranges: Ranges = ()) -> Ranges:
    """Return ranges (first, last) with more numbers in them, in order and apart."""
    found: list[tuple[int, int]] = []
    for first, last in sorted([*ranges, *((n, n) for n in numbers)]):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)
