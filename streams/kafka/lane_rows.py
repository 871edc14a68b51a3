"""The rows of one lane in the middle of a batch: what is stored, and what the batch wrote over it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from os import urandom

from msgspec import msgpack

from streams.desk import AFTER_SEPARATOR, SEPARATOR, fact_id
from streams.kafka.rows import (
    DUE,
    ERASED,
    FACT,
    LAST,
    META,
    PARKED,
    STATE,
    ParkedRecord,
    due_bound,
    due_of,
    key_of_entry,
    parked_key,
    state_of,
    state_row,
)
from streams.kafka.store import PartitionStore

# How many states are looked at together for the day when they are due.
_READ = 10_000

_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(ParkedRecord).decode


class LaneRows:
    """Reads rows through to the store, and holds what a batch writes until it is committed."""

    def __init__(self, store: PartitionStore) -> None:
        self.store = store
        self._written: dict[bytes, bytes | None] = {}
        # Entries of the due index: those that go with the batch, and by key those that go when it is next written.
        self._stale: list[bytes] = []
        self._due: dict[str, list[bytes]] = {}
        # The row keys of facts that the batch wrote, and of all parked records, by key.
        self._facts: dict[str, list[bytes]] = {}
        self._parked = self._parked_keys()
        self._erased: set[str] = set()
        # A process that was killed may have written the rows of an erasure, and not cleared its files.
        store.clear_erased()

    def _parked_keys(self) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {}
        for row, _ in self.store.scan(PARKED, PARKED + LAST):
            found.setdefault(row[1:].decode().split(SEPARATOR)[0], []).append(row)
        return found

    # -- the batch

    @property
    def written(self) -> dict[bytes, bytes | None]:
        """The rows that the batch wrote (None deletes), for the changelog."""
        return self._written

    def apply(self, offset: int) -> None:
        """Write the committed batch to the store, with the changelog's offset behind it."""
        self.store.write(self._written.items(), offset, self._stale)
        self._written, self._stale, self._facts = {}, [], {}
        if self._erased:
            # What lay below the new rows must be gone from the files too, not only out of sight.
            self.store.clear_erased()
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

    # -- states and facts, as a desk keeps them

    def states(self, agent: str, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the stored states of keys; those that have none are left out."""
        for key, value in self._get([STATE + key.encode() for key in keys]):
            yield key[1:].decode(), state_of(value)

    def all_states(self) -> Iterator[bytes]:
        """Yield all stored states, as they were before the batch."""
        for _, value in self.store.scan(STATE, STATE + LAST):
            yield state_of(value)

    def due(self, agent: str, through: int) -> list[str]:
        """Return the keys that are due by a day, sorted; it costs what is due, not what is kept."""
        entries: dict[str, list[bytes]] = {key[1:].decode(): [] for key in self._written if key[:1] == STATE}
        for entry, _ in self.store.scan(DUE, due_bound(through)):
            entries.setdefault(key_of_entry(entry), []).append(entry)
        keys = sorted(entries)
        due: list[str] = []
        for start in range(0, len(keys), _READ):
            found = self._get([STATE + key.encode() for key in keys[start : start + _READ]])
            due += sorted(key[1:].decode() for key, value in found if 0 < due_of(value) <= through)
        # An entry stays until its key is written behind it: a close may end before it comes to that key.
        self._due = {key: entries.pop(key) for key in due}
        self._stale += [entry for stale in entries.values() for entry in stale]
        return due

    def keys(self, agent: str) -> list[str]:
        """Return all keys that have a state, sorted."""
        stored = (key for key, _ in self.store.scan(STATE, STATE + LAST))
        written = (key for key in self._written if key[:1] == STATE)
        return sorted({key[1:].decode() for source in (stored, written) for key in source})

    def put_states(self, rows: Iterable[tuple[str, str, bytes, int | None]]) -> None:
        """Store states, with the day when each is due; the latest of a key stands."""
        written, entries = self._written, self._due
        for _, key, value, due in rows:
            row, stored = state_row(key, value, due)
            written[row] = stored
            if entries:
                self._stale += entries.pop(key, ())

    def known(self, agent: str, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield those facts that are recorded, by id."""
        for key, value in self._get([FACT + name.encode() for name in ids]):
            yield key[1:].decode(), value

    def facts(self, agent: str, key: str) -> list[tuple[str, bytes]]:
        """Return all facts of a key by fact key, in the order of these."""
        first = FACT + fact_id(key, "").encode()
        rows = dict(self.store.scan(first, FACT + (key + AFTER_SEPARATOR).encode()))
        for row in self._facts.get(key, ()):
            rows[row] = self._written[row] or b""
        return [(row[len(first) :].decode(), value) for row, value in sorted(rows.items())]

    def put_facts(self, rows: Iterable[tuple[str, str, bytes]]) -> None:
        """Record facts; one that exists is replaced."""
        for _, name, value in rows:
            row = FACT + name.encode()
            self._written[row] = value
            self._facts.setdefault(name.partition(SEPARATOR)[0], []).append(row)

    # -- parked records

    @property
    def waiting(self) -> Collection[str]:
        """The keys for which records wait."""
        return self._parked

    def park(self, key: str, record: ParkedRecord) -> None:
        """Let a record wait for its account."""
        row = parked_key(key, record)
        rows = self._parked.setdefault(key, [])
        if row not in rows:
            rows.append(row)
        self._written[row] = _encode(record)

    def parked(self, key: str) -> list[ParkedRecord]:
        """Return the records that wait for an account, in the order of topic, partition and offset."""
        rows = sorted(self._parked.get(key, ()))
        return [_decode(value) for _, value in sorted(self._get(rows))]

    def unpark(self, key: str) -> None:
        """Forget the records that waited for an account."""
        for row in self._parked.pop(key, ()):
            self._written[row] = None

    # -- meta

    def meta(self, name: str) -> str | None:
        """Return a named value, None where there is none."""
        key = META + name.encode()
        value = self._written[key] if key in self._written else self.store.get(key)
        return None if value is None else value.decode()

    def set_meta(self, name: str, value: str) -> None:
        """Keep a named value."""
        self._written[META + name.encode()] = value.encode()
