"""Which partition a key belongs to, as Kafka's own clients say: murmur2."""

from __future__ import annotations

from functools import lru_cache

from schemas.errors import InvalidEventError

_SEED, _FACTOR = 0x9747B28C, 0x5BD1E995


@lru_cache(maxsize=100_000)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key among so many, by Java's default partitioner."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions if partitions > 1 else 0


def murmur2(data: bytes) -> int:
    """Return the hash of bytes by which Kafka's clients choose a partition (MurmurHash2, 32 bits)."""
    size, most = len(data), 0xFFFFFFFF
    hashed = _SEED ^ size
    for start in range(0, size - 3, 4):
        part = int.from_bytes(data[start : start + 4], "little") * _FACTOR & most
        part = (part ^ part >> 24) * _FACTOR & most
        hashed = hashed * _FACTOR & most ^ part
    rest = data[size & ~3 :]
    if rest:
        hashed = (hashed ^ int.from_bytes(rest, "little")) * _FACTOR & most
    hashed = (hashed ^ hashed >> 13) * _FACTOR & most
    return hashed ^ hashed >> 15


def wrong_partition(topic: str, key: str, found: int, right: int) -> InvalidEventError:
    """Return the refusal of a record that stands on another partition than its key's."""
    return InvalidEventError(
        "wrong_partition",
        f"The key {key} on {topic} belongs to partition {right}, and stands on {found}. Partition by murmur2 "
        "(librdkafka: partitioner=murmur2_random), or set worker.wrong_partition to rekey.",
    )
