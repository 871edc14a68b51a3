"""How far a lane has read, as a row of its own changelog.

The group's offsets say it too, but whoever asks for them may be answered by a coordinator that was frozen and does
not know yet that another has taken its place: it tells old offsets, and an old transaction as the last. A row that
lies before a record which Kafka has just taken with all acknowledgements is no such hearsay, so this row is what
counts: each batch writes it in its transaction.
"""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import Struct, json

from streams.kafka.rows import META
from streams.settings import Settings

NAME = "read"
_ROW = META + NAME.encode()
# A row that only marks a place in the changelog.
BEACON = (META + b"beacon", b"")


class Progress(Struct, frozen=True):
    """What a batch had behind it. word: made up for it, to know it again. offsets: by topic without its prefix."""

    word: str
    offsets: dict[str, int]

    def text(self) -> str:
        """Return it as a row's text."""
        return json.encode(self).decode()

    @staticmethod
    def of(text: str | None) -> Progress | None:
        """Return what a row's text says, None where there is no row."""
        return None if text is None else json.decode(text, type=Progress)


async def words_between(settings: Settings, place: TopicPartition, begin: int, end: int) -> list[str]:
    """Return the words of the batches committed between two offsets of a changelog.

    `end` must lie behind a record that was taken. Raises what aiokafka raises while the broker is away.
    """
    consumer = AIOKafkaConsumer(
        **settings.kafka.client_options(),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    found: list[str] = []
    try:
        await consumer.start()
        consumer.assign([place])
        consumer.seek(place, begin)
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                rows = [r.value for r in records if r.key == _ROW and begin <= r.offset < end]
                found += [json.decode(value, type=Progress).word for value in rows]
    finally:
        await consumer.stop()
    return found
