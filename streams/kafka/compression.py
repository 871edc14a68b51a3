"""Which compressed records can be read here: aiokafka reads lz4, snappy and zstd by the package cramjam."""

from __future__ import annotations

from collections.abc import Callable

from aiokafka.codec import has_gzip, has_lz4, has_snappy, has_zstd

_CODECS: dict[str, Callable[[], bool]] = {"gzip": has_gzip, "lz4": has_lz4, "snappy": has_snappy, "zstd": has_zstd}
# What a topic's compression.type may say besides: that records stay as they come, or are not compressed.
_NONE = ("producer", "uncompressed", "none")


def can_read(codec: str) -> bool:
    """Say whether records of a compression type, as Kafka names it, can be read here."""
    return codec in _NONE or (codec in _CODECS and _CODECS[codec]())


def remedy(codec: str | None = None) -> str:
    """Return what to do where records of a compression type cannot be read. codec: None where nobody says which."""
    if codec in _CODECS or (codec is None and not all(has() for has in _CODECS.values())):
        return "the package cramjam is missing. Install what requirements.lock names, and start this again"
    return (
        f"this release reads {', '.join(_CODECS)} and what is not compressed. Set another compression.type on the "
        "topic and in its producers, or install a release that reads this one"
    )
