"""Chance that is no chance: numbers that look random and follow from a seed alone, the same on every machine."""

from __future__ import annotations

from hashlib import sha256
from statistics import NormalDist

_WORD = 8


def unit(seed: int, number: int = 0) -> float:
    """Return the `number`th number of a seed (63 bits), uniform in [0, 1)."""
    digest = sha256(seed.to_bytes(_WORD, "big") + number.to_bytes(_WORD, "big")).digest()
    return (int.from_bytes(digest[:_WORD], "big") >> 11) / (1 << 53)


def normals(seed: int, count: int) -> list[float]:
    """Return numbers of a seed that are normal with mean 0 and deviation 1."""
    quantile = NormalDist().inv_cdf
    return [quantile(unit(seed, n) or 0.5) for n in range(count)]
