"""Which partition a key belongs to, as Kafka's own clients say: murmur2."""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2

from schemas.errors import BadInput


@lru_cache(maxsize=100_000)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key among so many, by Java's default partitioner."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def wrong_partition(topic: str, key: str, found: int, right: int) -> BadInput:
    """Return the refusal of a record that stands on another partition than its key's."""
    return BadInput(
        "wrong_partition",
        f"The key {key} on {topic} belongs to partition {right}, and stands on {found}. Partition by murmur2 "
        "(librdkafka: partitioner=murmur2_random), or set worker.wrong_partition to rekey.",
    )
