"""The rows of an agent's partition, as they stand in its changelog and in RocksDB.

A row's key begins with a letter for its kind:

| row | key | value |
|---|---|---|
| state | `s` key | the day when it is due by itself (4 bytes big-endian, proleptic ordinal, 0 for never), the state |
| fact | `f` key 0x1F fact key | the day for which it waits, where it does, the event |
| parked record | `p` key 0x1F topic/partition/offset | the record and its deadline as MessagePack |
| quarantine | `q` number (8 bytes big-endian) | a row of `streams.engine.quarantine` as MessagePack |
| meta | `m` name | text |

`state.storage` has the bytes of a state, which begin with its layout and its terms, and `streams.engine.stored_facts`
those of a fact. The meta row `erased` has a word made up for a batch and the borrowers whom it erased.

RocksDB has rows of five kinds more, which no changelog carries, since they follow from the others:

| row | key | value |
|---|---|---|
| due | `d` day (4 bytes) key | of a state: nothing |
| waiting | `w` day (4 bytes) key 0x1F fact key | of a fact that waits: nothing |
| position | `o` | the offset behind the last row of the changelog that is in (8 bytes), a CRC-32 of that row |
| cleared | `x` | of which erasure the files have been cleared: the value of the meta row `erased` |
| topic | `i` | the id of the topic that it follows |

An entry of either index may be stale. What counts is the state's own day, and of a fact its own day as long as its
state has not folded it. A fact that waits does not change the state's row, so a key is due by both indexes together.
A restore writes an entry for each fact that ever waited; those whose day was folded are swept at its end
(`RocksDBStore.sweep`).

Earlier releases had the facts that wait in the state, up to layout 2 of an account, and no day before any fact. Such
rows are read as they are and take the present form when their key is written next. An earlier release that meets a row
of the present form stops: it does not know layout 3.
"""

from __future__ import annotations

from zlib import crc32

from msgspec import Struct, json

from streams.engine.output import Record, StoredRecord, headers_of
from streams.engine.stored_facts import waiting_day
from streams.settings import Settings
from streams.state_rows import AFTER_SEPARATOR, SEPARATOR, fact_id

STATE, FACT, PARKED, META, DUE, POSITION, CLEARED, TOPIC_ID = b"s", b"f", b"p", b"m", b"d", b"o", b"x", b"i"
QUARANTINE, WAITING = b"q", b"w"
ERASED = META + b"erased"
_STATE, _FACT = STATE[0], FACT[0]
_SEPARATOR = SEPARATOR.encode()
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


def key_ranges(key: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return where the state and facts of a key stand, and what waits in quarantine: first rows, and those behind."""
    state = STATE + key.encode()
    return (
        (state, state + b"\0"),
        (FACT + fact_id(key, "").encode(), FACT + (key + AFTER_SEPARATOR).encode()),
        (QUARANTINE, QUARANTINE + UPPER_BOUND),
    )


def state_row(key: str, value: bytes, due: int | None) -> tuple[bytes, bytes]:
    """Return the row of a key's packed state."""
    return STATE + key.encode(), (due or 0).to_bytes(_DAY, "big") + value


def packed_state(value: bytes) -> bytes:
    """Return the packed state of a state row."""
    return value[_DAY:]


def index_entry(row_key: bytes, value: bytes) -> bytes | None:
    """Return the entry of the due or the waiting index that follows from a row, None where there is none."""
    if row_key[0] == _FACT:
        return waiting_entry(row_key, value[:_DAY]) if waiting_day(value) else None
    if row_key[0] != _STATE or value[:_DAY] == b"\0\0\0\0":
        return None
    return DUE + value[:_DAY] + row_key[1:]


def waiting_entry(row_key: bytes, day: bytes) -> bytes:
    """Return the entry of the waiting index for the row of a fact and a day (4 bytes)."""
    return WAITING + day + row_key[1:]


def day_bytes(day: int) -> bytes:
    """Return a day (ordinal) as it stands in rows."""
    return day.to_bytes(_DAY, "big")


def index_bound(index: bytes, day: int) -> bytes:
    """Return the first key of an index behind a day."""
    return index + day_bytes(day + 1)


def fact_row_of(entry: bytes) -> bytes:
    """Return the row of the fact that an entry of the waiting index names."""
    return FACT + entry[1 + _DAY :]


def key_of_entry(entry: bytes) -> str:
    """Return the key that an entry of either index names."""
    return entry[1 + _DAY :].partition(_SEPARATOR)[0].decode()


def key_of_fact(row_key: bytes) -> str:
    """Return the key whose fact a row has."""
    return row_key[1:].partition(_SEPARATOR)[0].decode()


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
