"""Publishes a record whose header is named by bytes that are no UTF-8, as librdkafka's own interface lets anybody do.

`AIOKAFKA_NO_EXTENSIONS=1 python odd_headers.py SERVER TOPIC PARTITION KEY VALUE`, the last two in hexadecimal.
"""

from __future__ import annotations

import asyncio
import sys

from aiokafka import AIOKafkaProducer

from streams.kafka.compat import connected


class Name(str):
    """A name whose bytes are others."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return the bytes."""
        return b"odd \xff\xfe"


async def main(server: str, topic: str, partition: str, key: str, value: str) -> None:
    """Publish it, with another header before it."""
    headers = [("plain", b"1"), (Name("odd"), b"2")]
    async with connected(AIOKafkaProducer(bootstrap_servers=server)) as producer:
        await producer.send_and_wait(topic, bytes.fromhex(value), bytes.fromhex(key), int(partition), headers=headers)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
