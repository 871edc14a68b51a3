"""The rows of one task in the middle of a batch: what is stored, and what the batch wrote over it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from os import urandom

from msgspec import msgpack

from streams.engine.output import Record
from streams.engine.stored_facts import waiting_day
from streams.kafka.changelog_format import (
    DUE,
    ERASED,
    FACT,
    META,
    PARKED,
    QUARANTINE,
    STATE,
    UPPER_BOUND,
    WAITING,
    ParkedRecord,
    day_bytes,
    fact_row_of,
    index_bound,
    index_entry,
    key_of_entry,
    key_of_fact,
    packed_state,
    parked_key,
    parked_record,
    quarantine_key,
    state_row,
    waiting_entry,
)
from streams.kafka.rocksdb_store import RocksDBStore
from streams.state_rows import AFTER_SEPARATOR, SEPARATOR, fact_id

# What a transaction held at a place to which it may go back.
Savepoint = tuple[dict[bytes, bytes | None], list[bytes], list[bytes], set[str]]

_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(ParkedRecord).decode


class StoreTransaction:
    """Reads rows through to the store, and holds what a batch writes until it is committed."""

    # The store raises FatalError.
    faults: tuple[type[Exception], ...] = ()

    def __init__(self, store: RocksDBStore) -> None:
        self.store = store
        self._written: dict[bytes, bytes | None] = {}
        # Entries of indexes: those that go with the batch, and by key those that go when it was visited.
        self._stale: list[bytes] = []
        self._due: dict[str, list[bytes]] = {}
        # The row keys of facts that the batch wrote, in the order in which it did; `_facts_of` has them by key, as many
        # as were counted. The row keys of all parked records, by key.
        self._fact_rows: list[bytes] = []
        self._facts: dict[str, list[bytes]] = {}
        self._facts_counted = 0
        self._parked = self._read_parked_keys()
        self._erased: set[str] = set()
        # A process that was killed may have written the rows of an erasure, and not cleared its files.
        store.compact_erased()

    def _read_parked_keys(self) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {}
        for row, _ in self.store.scan(PARKED, PARKED + UPPER_BOUND):
            found.setdefault(row[1:].decode().split(SEPARATOR)[0], []).append(row)
        return found

    # -- the batch

    def savepoint(self) -> Savepoint:
        """Return what it holds now, for `rollback`."""
        return dict(self._written), list(self._stale), list(self._fact_rows), set(self._erased)

    def rollback(self, savepoint: Savepoint) -> None:
        """Drop what was written since a savepoint."""
        self._written, self._stale, self._fact_rows, self._erased = savepoint
        self._facts, self._facts_counted = {}, 0
        # Entries of the due index that were read since stand in the store, where they are found again.
        self._due = {}
        self._parked = self._read_parked_keys()
        for row, value in self._written.items():
            if row[:1] == PARKED:
                rows = self._parked.setdefault(row[1:].decode().split(SEPARATOR)[0], [])
                if value is None:
                    rows.remove(row)
                elif row not in rows:
                    rows.append(row)
        self._parked = {key: rows for key, rows in self._parked.items() if rows}

    @property
    def written(self) -> dict[bytes, bytes | None]:
        """The rows that the batch wrote (None deletes), for the changelog."""
        return self._written

    def apply(self, offset: int) -> None:
        """Write the committed batch to the store, with the changelog's offset behind it."""
        self.store.write(self._written.items(), offset, self._stale)
        self._written, self._stale, self._fact_rows = {}, [], []
        self._facts, self._facts_counted = {}, 0
        if self._erased:
            # What lay below the new rows must be gone from the files too, not only out of sight.
            self.store.compact_erased()
            self._erased = set()

    def erase(self, key: str) -> None:
        """Note that the batch erased what was personal of a key; whoever follows the changelog clears his files too."""
        self._erased.add(key)
        self._written[ERASED] = SEPARATOR.join([urandom(8).hex(), *sorted(self._erased)]).encode()

    def _get(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        written = self._written
        asked = [key for key in keys if key not in written] if written else keys
        for key, value in zip(asked, self.store.get_many(asked) if asked else (), strict=True):
            if value is not None:
                yield key, value
        if written:
            for key in keys:
                value = written.get(key)
                if value is not None:
                    yield key, value

    # -- states and facts, as a store keeps them

    def states(self, agent: str, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the stored states of keys; those that have none are left out."""
        for key, value in self._get([STATE + key.encode() for key in keys]):
            yield key[1:].decode(), packed_state(value)

    def waiting(self, agent: str, keys: Sequence[str], after: int) -> Iterator[tuple[str, bytes]]:
        """Yield the facts of keys that wait for a day behind `after` (ordinal), by id; some may be folded."""
        rows = {fact_row_of(entry) for entry in self.store.waiting(keys, after)}
        rows.update(row for key in keys for row in self._facts_of(key))
        for row, value in self._get(sorted(rows)):
            if waiting_day(value):
                yield row[1:].decode(), value

    def waiting_keys(self, agent: str) -> Iterator[str]:
        """Yield the key of each fact that waits; some may be folded."""
        yield from map(key_of_entry, self.store.scan_keys(WAITING, WAITING + UPPER_BOUND))
        for row in dict.fromkeys(self._fact_rows):
            if waiting_day(self._written[row] or b"\xff"):
                yield key_of_fact(row)

    def due(self, agent: str, through: int) -> list[str]:
        """Return the keys that are due by a day or have a fact that waits for one, sorted; some may be due no more.

        It costs what is due, not what is kept.
        """
        bounds = tuple((index, index_bound(index, through)) for index in (DUE, WAITING))
        entries: dict[str, list[bytes]] = {}
        for index, bound in bounds:
            for entry in self.store.scan_keys(index, bound):
                entries.setdefault(key_of_entry(entry), []).append(entry)
        # An entry stays until its key was visited: a close may end before it comes to that key.
        self._due = entries
        written = (index_entry(row, value) for row, value in self._written.items() if value)
        return sorted({*entries, *(key_of_entry(x) for x in written if x and any(i <= x < b for i, b in bounds))})

    def visited(self, agent: str, keys: Sequence[str]) -> None:
        """Note that of keys which `due` has returned none is due any more."""
        for key in keys:
            self._stale += self._due.pop(key, ())

    def keys(self, agent: str) -> list[str]:
        """Return all keys that have a state, sorted."""
        stored = self.store.scan_keys(STATE, STATE + UPPER_BOUND)
        written = (key for key in self._written if key[:1] == STATE)
        return sorted({key[1:].decode() for source in (stored, written) for key in source})

    def first_keys(self, most: int) -> Iterator[str]:
        """Yield some keys that have a stored state, in the order of keys."""
        return (key[1:].decode() for key in islice(self.store.scan_keys(STATE, STATE + UPPER_BOUND), most))

    def put_states(self, rows: Iterable[tuple[str, str, bytes, int | None]]) -> None:
        """Store states, with the day when each is due; the latest of a key stands."""
        for _, key, value, due in rows:
            row, stored = state_row(key, value, due)
            self._written[row] = stored

    def known(self, agent: str, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield those facts that are recorded, by id."""
        for key, value in self._get([FACT + name.encode() for name in ids]):
            yield key[1:].decode(), value

    def facts(self, agent: str, key: str) -> list[tuple[str, bytes]]:
        """Return all facts of a key by fact key, in the order of these."""
        first = FACT + fact_id(key, "").encode()
        rows = dict(self.store.scan(first, FACT + (key + AFTER_SEPARATOR).encode()))
        for row in self._facts_of(key):
            rows[row] = self._written[row] or b""
        return [(row[len(first) :].decode(), value) for row, value in sorted(rows.items())]

    def put_facts(self, rows: Iterable[tuple[str, str, bytes]]) -> None:
        """Record facts; one that exists is replaced."""
        for _, name, value in rows:
            row = FACT + name.encode()
            self._written[row] = value
            self._fact_rows.append(row)

    def _facts_of(self, key: str) -> Sequence[bytes]:
        """Return the row keys of the facts of a key that the batch wrote. Most batches are never asked."""
        if self._facts_counted < len(self._fact_rows):
            for row in self._fact_rows[self._facts_counted :]:
                self._facts.setdefault(key_of_fact(row), []).append(row)
            self._facts_counted = len(self._fact_rows)
        return self._facts.get(key, ())

    def end_waiting(self, agent: str, facts: Iterable[tuple[int, str]]) -> None:
        """Note that facts, by day and id, wait for these days no more."""
        self._stale += [waiting_entry(FACT + name.encode(), day_bytes(day)) for day, name in facts]

    # -- parked records

    @property
    def parked_keys(self) -> Collection[str]:
        """The keys for which records are parked."""
        return self._parked

    def park(self, key: str, record: Record, deadline: int | None) -> None:
        """Let a record wait for its account, through a business date (ordinal)."""
        waiting = parked_record(record, deadline)
        row = parked_key(key, waiting)
        rows = self._parked.setdefault(key, [])
        if row not in rows:
            rows.append(row)
        self._written[row] = _encode(waiting)

    def parked(self, key: str) -> list[tuple[Record, int | None]]:
        """Return the records that wait for an account with their deadlines, by topic, partition and offset."""
        rows = sorted(self._parked.get(key, ()))
        found = [_decode(value) for _, value in sorted(self._get(rows))]
        return [(record, record.deadline) for record in found]

    def unpark(self, key: str) -> None:
        """Remove the records that waited for an account."""
        for row in self._parked.pop(key, ()):
            self._written[row] = None

    # -- quarantine

    def quarantined(self) -> Iterator[tuple[int, bytes]]:
        """Yield the rows of the quarantine by number, the lowest first."""
        rows: dict[bytes, bytes | None] = dict(self.store.scan(QUARANTINE, QUARANTINE + UPPER_BOUND))
        rows.update((row, value) for row, value in self._written.items() if row[:1] == QUARANTINE)
        for row, value in sorted(rows.items()):
            if value is not None:
                yield int.from_bytes(row[1:], "big"), value

    def put_quarantined(self, number: int, row: bytes) -> None:
        """Store a row of the quarantine; one that exists is replaced."""
        self._written[quarantine_key(number)] = row

    def remove_quarantined(self, numbers: Iterable[int]) -> None:
        """Remove rows of the quarantine."""
        for number in numbers:
            self._written[quarantine_key(number)] = None

    # -- meta

    def meta(self, name: str) -> str | None:
        """Return a named value, None where there is none."""
        key = META + name.encode()
        value = self._written[key] if key in self._written else self.store.get(key)
        return None if value is None else value.decode()

    def set_meta(self, name: str, value: str) -> None:
        """Keep a named value."""
        self._written[META + name.encode()] = value.encode()


class TaskStores:
    """The rows of a task's agents, in the middle of a batch.

    task: what belongs to no agent alone. It has no changelog of its own: its rows stand in that of the first agent, as
    they always have, and nobody else reads or writes them there.
    """

    def __init__(self, agents: Mapping[str, StoreTransaction]) -> None:
        self.agents = agents
        self.task = next(iter(agents.values()))

    @property
    def written(self) -> dict[str, dict[bytes, bytes | None]]:
        """The rows that the batch wrote, by agent; agents of which none were written are left out."""
        return {agent: rows.written for agent, rows in self.agents.items() if rows.written}

    def savepoint(self) -> dict[str, Savepoint]:
        """Return what they hold now, for `rollback`."""
        return {agent: rows.savepoint() for agent, rows in self.agents.items()}

    def rollback(self, savepoint: Mapping[str, Savepoint]) -> None:
        """Drop what was written since a savepoint."""
        for agent, rows in self.agents.items():
            rows.rollback(savepoint[agent])

    def append(self, key: bytes, value: bytes) -> None:
        """Write a row behind those of the batch, for each agent that has any."""
        for rows in self.written.values():
            rows[key] = value

    def apply(self, offsets: Mapping[str, int]) -> None:
        """Write the committed batch to the stores, with each changelog's offset behind it."""
        for agent in self.written:
            self.agents[agent].apply(offsets[agent])
