"""The rows of an agent's partition, as they stand in its changelog and in RocksDB.

A row's key begins with a letter for its kind:

| row | key | value |
|---|---|---|
| state | `s` key | the day when it is due (4 bytes big-endian, proleptic ordinal, 0 for never), the packed state |
| fact | `f` key 0x1F fact key | the event as MessagePack |
| parked record | `p` key 0x1F topic/partition/offset | the record and its deadline as MessagePack |
| quarantine | `q` number (8 bytes big-endian) | a row of `streams.engine.quarantine` as MessagePack |
| meta | `m` name | text |

RocksDB has four kinds more, which no changelog carries, since they follow from the others: the due index
(`d`, the day in 4 bytes, the key), the place in the changelog up to which all rows are in (`o`: the offset
behind the last row in 8 bytes, a CRC-32 of that row), and of which erasure the files have been cleared (`x`: the
value of the meta row `erased`, which has a word made up for the batch and the borrowers whom it erased), and the id of
the topic that it follows (`i`). An entry of the index may be stale; the state's own day is what counts.
"""

from __future__ import annotations

from zlib import crc32

from msgspec import Struct, json

from streams.engine.output import Record, StoredRecord, headers_of
from streams.engine.state_store import AFTER_SEPARATOR, SEPARATOR, fact_id
from streams.settings import Settings

STATE, FACT, PARKED, META, DUE, POSITION, CLEARED, TOPIC_ID = b"s", b"f", b"p", b"m", b"d", b"o", b"x", b"i"
QUARANTINE = b"q"
ERASED = META + b"erased"
_STATE = STATE[0]
# Days are before the year 11,000,000, so an index entry has a fixed width.
_DAY = 4
# The first key behind every one that begins with such bytes: keys are UTF-8 and never hold 0xFF.
UPPER_BOUND = b"\xff"

# The meta row that tells how far the task has read, and the row that ends each batch in each changelog.
COMMIT_MARKER = "read"
COMMIT_MARKER_ROW = META + COMMIT_MARKER.encode()
# BATCH_END and FENCE_RECORD, by which whoever takes a task marks a place, have values made up for each, so that none of
# another past can be taken for them. Earlier releases marked a place with the same row each time.
BATCH_END, FENCE_RECORD = META + b"batch", META + b"beacon"
LEGACY_FENCE = (FENCE_RECORD, b"")


class ParkedRecord(StoredRecord, array_like=True, frozen=True):
    """A record that waits for its account, with the last business date that it waits through (ordinal)."""

    deadline: int | None = None


def parked_record(record: Record, deadline: int | None) -> ParkedRecord:
    """Return a record as it waits for its account, through a day."""
    return ParkedRecord(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        headers_of(record),
        record.timestamp,
        deadline,
    )


def key_ranges(key: str) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    """Return where the state and the facts of a key stand: from a row on, up to one that is left out."""
    state = STATE + key.encode()
    return (state, state + b"\0"), (FACT + fact_id(key, "").encode(), FACT + (key + AFTER_SEPARATOR).encode())


def state_row(key: str, value: bytes, due: int | None) -> tuple[bytes, bytes]:
    """Return the row of a key's packed state."""
    return STATE + key.encode(), (due or 0).to_bytes(_DAY, "big") + value


def due_day(value: bytes) -> int:
    """Return the day when the state of a state row is due, 0 for never."""
    return int.from_bytes(value[:_DAY], "big")


def packed_state(value: bytes) -> bytes:
    """Return the packed state of a state row."""
    return value[_DAY:]


def due_entry(row_key: bytes, value: bytes) -> bytes | None:
    """Return the entry of the due index that follows from a row, None where there is none."""
    if row_key[0] != _STATE or value[:_DAY] == b"\0\0\0\0":
        return None
    return DUE + value[:_DAY] + row_key[1:]


def due_bound(day: int) -> bytes:
    """Return the first key of the due index behind a day."""
    return DUE + (day + 1).to_bytes(_DAY, "big")


def key_of_entry(entry: bytes) -> str:
    """Return the key that an entry of the due index names."""
    return entry[1 + _DAY :].decode()


def parked_key(key: str, record: ParkedRecord) -> bytes:
    """Return the row key of a parked record; those of one key stand together."""
    # Offsets are padded so that records of one partition stand in their order.
    return PARKED + f"{key}{SEPARATOR}{record.topic}/{record.partition}/{record.offset:019d}".encode()


def quarantine_key(number: int) -> bytes:
    """Return the row key of a row of the quarantine."""
    return QUARANTINE + number.to_bytes(8, "big")


def position_row(offset: int, key: bytes, value: bytes | None) -> bytes:
    """Return the place behind a row that was the last."""
    return offset.to_bytes(8, "big") + row_checksum(key, value)


def row_checksum(key: bytes, value: bytes | None) -> bytes:
    """Return what tells one row of a changelog from another at the same place."""
    return crc32(value or b"", crc32(key)).to_bytes(4, "big")


def changelog_topic(settings: Settings, agent: str) -> str:
    """Return the changelog topic of an agent's states."""
    return f"{settings.topics.prefix}{agent}-changelog"


class CommitMarker(Struct, frozen=True, rename={"transaction_token": "word"}):
    """How far a task has read, which each batch writes in its transaction.

    The group's offsets say it too, but a coordinator that was frozen may not know yet that another has taken its place:
    it answers with old offsets, and an old transaction as the last. A row that lies before a record
    which Kafka has just taken with all acknowledgements cannot be outdated, so this row is what counts.

    transaction_token: made up for the transaction, to recognise it. offsets: by topic without its prefix.
    """

    transaction_token: str
    offsets: dict[str, int]

    def text(self) -> str:
        """Return it as a row's text."""
        return json.encode(self).decode()

    @staticmethod
    def parse(text: str | None) -> CommitMarker | None:
        """Return what a row's text says, None where there is no row."""
        return None if text is None else json.decode(text, type=CommitMarker)
