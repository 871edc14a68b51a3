"""The rows of an agent's partition, as they stand in its changelog and in RocksDB.

A row's key begins with a letter for its kind:

| row | key | value |
|---|---|---|
| state | `s` key | the day when it is due (4 bytes big-endian, proleptic ordinal, 0 for never), the packed state |
| fact | `f` key 0x1F fact key | the event as MessagePack |
| parked record | `p` key 0x1F topic/partition/offset | the record and its deadline as MessagePack |
| meta | `m` name | text |

RocksDB has three kinds more, which no changelog carries, since they follow from the others: the due index
(`d`, the day in 4 bytes, the key), the place in the changelog up to which all rows are in (`o`: the offset
behind the last row in 8 bytes, a CRC-32 of that row), and of which erasure the files have been cleared (`x`: the
value of the meta row `erased`, which has a word made up for the batch and the borrowers whom it erased). An entry of
the index may be stale; the state's own day is what counts.
"""

from __future__ import annotations

from zlib import crc32

from msgspec import Struct

from streams.desk import AFTER_SEPARATOR, SEPARATOR, fact_id
from streams.kafka.batch import Record

STATE, FACT, PARKED, META, DUE, PLACE, CLEARED = b"s", b"f", b"p", b"m", b"d", b"o", b"x"
ERASED = META + b"erased"
_STATE = STATE[0]
# Days are before the year 11,000,000, so an index entry has a fixed width.
_DAY = 4
# The first key behind every one that begins with such bytes: keys are UTF-8 and never hold 0xFF.
LAST = b"\xff"


class ParkedRecord(Struct, array_like=True, frozen=True):
    """A record that waits for its account, with the last business date that it waits through (ordinal)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int
    deadline: int | None = None


def parked(record: Record | ParkedRecord, deadline: int | None) -> ParkedRecord:
    """Return a record as it waits for its account, through a day."""
    return ParkedRecord(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        tuple((name, value or b"") for name, value in record.headers),
        record.timestamp,
        deadline,
    )


def ranges_of(key: str) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    """Return where the state and the facts of a key stand: from a row on, up to one that is left out."""
    state = STATE + key.encode()
    return (state, state + b"\0"), (FACT + fact_id(key, "").encode(), FACT + (key + AFTER_SEPARATOR).encode())


def state_row(key: str, value: bytes, due: int | None) -> tuple[bytes, bytes]:
    """Return the row of a key's packed state."""
    return STATE + key.encode(), (due or 0).to_bytes(_DAY, "big") + value


def due_of(value: bytes) -> int:
    """Return the day when the state of a state row is due, 0 for never."""
    return int.from_bytes(value[:_DAY], "big")


def state_of(value: bytes) -> bytes:
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


def place_row(offset: int, key: bytes, value: bytes | None) -> bytes:
    """Return the place behind a row that was the last."""
    return offset.to_bytes(8, "big") + digest(key, value)


def digest(key: bytes, value: bytes | None) -> bytes:
    """Return what tells one row of a changelog from another at the same place."""
    return crc32(value or b"", crc32(key)).to_bytes(4, "big")
