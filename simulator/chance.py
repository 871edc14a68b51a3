"""Chance that depends on nothing but what is asked: a hash of a key and a counter.

No generator has a state, so whatever is drawn for one borrower is the same in whatever order borrowers,
months or offers are looked at. The hash is the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
"""

from __future__ import annotations

from functools import lru_cache

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(x: int) -> int:
    """Return 64 well mixed bits of an integer."""
    x = (x + GOLDEN) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


@lru_cache(maxsize=16_384)
def _salt(purpose: int, count: int) -> int:
    if not 0 <= purpose <= 255:
        raise ValueError(f"the purpose {purpose} would be taken for another one with another count")
    return mix((count << 8) | purpose)


def keyed(key: int, purpose: int, count: int = 0) -> int:
    """Return 64 bits for a purpose (0 to 255) and a counter under a key."""
    # `mix`, written out: populations are made of this function.
    x = ((key ^ _salt(purpose, count)) + GOLDEN) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def unit(key: int, purpose: int, count: int = 0) -> float:
    """Return a number in [0, 1) for a purpose and a counter under a key."""
    return (keyed(key, purpose, count) >> 11) * 2.0**-53


def text_key(key: int, text: str) -> int:
    """Return the key of something named, such as an offer, under a key."""
    for at in range(0, len(text), 8):
        key = mix(key ^ int.from_bytes(text[at : at + 8].encode()[:16], "big") & MASK)
    return key
