"""Damages what a broker of the tests has on its disk, and makes it whole again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import KafkaTestCluster


def log_of(kafka: KafkaTestCluster, topic: str, partition: int) -> Path:
    """Return the first segment of a partition, with the topic's prefix."""
    return kafka.folder / "0" / "data" / f"{topic}-{partition}" / "00000000000000000000.log"


@contextmanager
def damaged(kafka: KafkaTestCluster, topic: str, partition: int) -> Iterator[None]:
    """Have one byte of a partition's last batch be another while the block runs; its checksum tells."""
    log = log_of(kafka, topic, partition)
    at = log.stat().st_size - 40

    def flip() -> None:
        with open(log, "r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 0xFF]))

    flip()
    try:
        yield
    finally:
        flip()
