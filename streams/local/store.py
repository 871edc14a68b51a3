"""One SQLite file holds all that a local runtime knows: the log, states, facts, parked records, its position.

A state's row has the day when it is due by itself, a fact's value the day for which it waits
(`streams.engine.stored_facts`); the table `waiting` has the facts that wait now, by day.

A batch is one transaction, so the file is always as if each batch had happened wholly or not at all.
`synchronous=FULL` makes that true across a power cut, not only across a crash.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import IO, TypeVar

from msgspec import json

from schemas.errors import FatalError
from streams.engine.output import Record
from streams.engine.stored_facts import waiting_day
from streams.folder_lock import lock_folder
from streams.security.key_check import KEY_CHECK
from streams.security.key_file import read_master_keys
from streams.security.sealed_log import LogRecord, LogSeal
from streams.security.vault import Vault
from streams.security.vault_factory import local_keys
from streams.state_rows import AFTER_SEPARATOR, SEPARATOR, fact_id
from streams.storage_faults import faults_of

# Values stand in tables of their own order, and slim indexes lead to them: a key that is not there, as most new
# facts' are not, is found missing without reading past any value.
TABLES = """
CREATE TABLE IF NOT EXISTS log (
    position INTEGER PRIMARY KEY, topic TEXT NOT NULL, "offset" INTEGER NOT NULL,
    key BLOB, value BLOB, headers BLOB NOT NULL, timestamp INTEGER NOT NULL, inbound INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS log_of_topic ON log (topic, "offset");
CREATE TABLE IF NOT EXISTS state (
    agent TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, due INTEGER, UNIQUE (agent, key)
);
CREATE INDEX IF NOT EXISTS state_due ON state (agent, due) WHERE due IS NOT NULL;
CREATE TABLE IF NOT EXISTS fact (
    agent TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL, UNIQUE (agent, id)
);
CREATE TABLE IF NOT EXISTS waiting (
    agent TEXT NOT NULL, day INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY (agent, day, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parked (position INTEGER PRIMARY KEY, key TEXT NOT NULL, deadline INTEGER);
CREATE INDEX IF NOT EXISTS parked_by_key ON parked (key);
CREATE TABLE IF NOT EXISTS quarantine (number INTEGER PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS replayed (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
T = TypeVar("T")
FILE = "reprieve.db"
# SQLite takes 32,766 parameters a statement; a look-up of pairs stays well below.
LOOK_UP = 4_000


@contextmanager
def atomically(db: sqlite3.Connection) -> Iterator[None]:
    """Commit all that is written within, or none of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # After some errors, a full disk among them, SQLite has rolled back by itself.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def faults_of_data(path: Path | None) -> AbstractContextManager[None]:
    """Raise what SQLite raises of a data directory's file with what to do; it is the only copy, and stays."""
    if path is None:
        return nullcontext()
    damaged = ". Restore the directory from a backup, publish its events into another one, or name another with --data."
    return faults_of(path, damaged, ", and go on: what was taken is in the file, and what was not can be sent again.")


class Tables:
    """What the tables hold, for whoever may only read them."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        # Opens rows of the log that are sealed.
        self.seal = LogSeal(None)

    def meta(self, name: str) -> str | None:
        """Return a named value, None where there is none."""
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def replayed(self) -> set[str]:
        """Return the ids of the dead letters that were sent in again."""
        return {name for (name,) in self.db.execute("SELECT id FROM replayed")}

    def states(self, agent: str, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the stored states of keys; those that have none are left out."""
        for part in _parts(keys):
            # Only question marks are put in.
            marks = ",".join("?" * len(part))
            query = f"SELECT key, value FROM state WHERE agent = ? AND key IN ({marks})"  # nosec B608
            yield from self.db.execute(query, (agent, *part))

    def waited(self, agent: str, key: str) -> list[bytes]:
        """Return the facts of a key that wait for a day, or have waited for one."""
        query = "SELECT value FROM fact WHERE agent = ? AND id >= ? AND id < ? AND substr(value, 1, 1) = x'00'"
        return [value for (value,) in self.db.execute(query, (agent, fact_id(key, ""), key + AFTER_SEPARATOR))]

    def facts(self, agent: str, key: str) -> list[tuple[str, bytes]]:
        """Return all facts of a key by fact key, in the order of these."""
        query = "SELECT id, value FROM fact WHERE agent = ? AND id >= ? AND id < ? ORDER BY id"
        rows = self.db.execute(query, (agent, fact_id(key, ""), key + AFTER_SEPARATOR))
        return [(name[len(key) + 1 :], value) for name, value in rows]

    def quarantined(self) -> Iterator[tuple[int, bytes]]:
        """Yield the rows of the quarantine by number, the lowest first."""
        # A file that an earlier release wrote has no such table yet.
        if self.db.execute("SELECT 1 FROM sqlite_master WHERE name = 'quarantine'").fetchone() is not None:
            yield from self.db.execute("SELECT number, value FROM quarantine ORDER BY number")


class Store(Tables):
    """The tables behind a local runtime. `folder` None keeps them in memory."""

    faults: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, folder: Path | None) -> None:
        self._lock: IO[str] | None = None
        if folder is not None:
            self._lock = lock_folder(folder, "name another")
        self.path = None if folder is None else folder / FILE
        try:
            with faults_of_data(self.path):
                self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        super().__init__(sqlite3.connect(self.path or ":memory:", isolation_level=None, cached_statements=256))
        # The write-ahead log may grow to 64 MiB before it is copied back, so that a batch's pages are copied once.
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            # What is written over is overwritten in the file, too.
            "secure_delete=ON",
            "cache_size=-131072",
            "temp_store=MEMORY",
            "wal_autocheckpoint=16000",
        ):
            self.db.execute(f"PRAGMA {pragma}")
        self.db.executescript(TABLES)
        self._read_parked_keys()

    def close(self) -> None:
        """Close the file and let another process have it."""
        if hasattr(self, "db"):
            self.db.close()
        if self._lock is not None:
            self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all that is written within, or none of it."""
        try:
            with atomically(self.db):
                yield
        except BaseException:
            self._read_parked_keys()
            raise

    # -- meta

    def set_meta(self, name: str, value: str) -> None:
        """Store a named value."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def mark_replayed(self, name: str) -> None:
        """Note that a dead letter was sent in again."""
        self.db.execute("INSERT OR IGNORE INTO replayed VALUES (?)", (name,))

    # -- log

    def append(self, rows: Iterable[LogRecord]) -> None:
        """Append records to the log."""
        self.db.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def next_position(self) -> int:
        """Return the position of the next record."""
        return int(self.db.execute("SELECT COALESCE(MAX(position), 0) + 1 FROM log").fetchone()[0])

    def next_offsets(self) -> dict[str, int]:
        """Return the offset of each topic's next record."""
        return dict(self.db.execute('SELECT topic, MAX("offset") + 1 FROM log GROUP BY topic'))

    def inbound_after(self, position: int, limit: int) -> list[LogRecord]:
        """Return records that came in behind a position, in the order of arrival."""
        query = "SELECT * FROM log WHERE position > ? AND inbound = 1 ORDER BY position LIMIT ?"
        return [self.seal.opened(row) for row in self.db.execute(query, (position, limit))]

    def record(self, position: int) -> LogRecord:
        """Return one record of the log."""
        row = self.db.execute("SELECT * FROM log WHERE position = ?", (position,)).fetchone()
        return self.seal.opened(row)

    def of_topic(self, topic: str, offset: int = 0) -> Iterator[LogRecord]:
        """Yield a topic's records from an offset on."""
        query = 'SELECT * FROM log WHERE topic = ? AND "offset" >= ? ORDER BY "offset"'
        for row in self.db.execute(query, (topic, offset)):
            yield self.seal.opened(row)

    def beginning(self, mark: bytes) -> Iterator[LogRecord]:
        """Yield records of the log whose stored value begins with a mark, as they are stored."""
        query = "SELECT * FROM log WHERE substr(value, 1, ?) = ?"
        return (LogRecord(*row) for row in self.db.execute(query, (len(mark), mark)))

    def overwrite(self, rows: Iterable[LogRecord]) -> None:
        """Have rows of the log hold something else: what was personal in them is to go."""
        self.db.executemany(
            "UPDATE log SET key = ?4, value = ?5, headers = ?6 WHERE position = ?1 AND topic = ?2",
            (row[:6] for row in rows),
        )

    def truncate_wal(self) -> bool:
        """Copy the write-ahead log back and empty it, so that nothing written over is left in it; says if it could."""
        return not self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]

    # -- states and facts

    def waiting(self, agent: str, keys: Sequence[str], after: int) -> Iterator[tuple[str, bytes]]:
        """Yield the facts of keys that wait for a day behind `after` (ordinal), by id."""
        day: int | None = after
        while (day := self._next_waiting_day(agent, day or 0)) is not None:
            yield from self.db.execute(
                "SELECT fact.id, fact.value FROM json_each(?1) asked "
                "CROSS JOIN waiting ON waiting.agent = ?2 AND waiting.day = ?3 "
                "AND waiting.id > asked.value || ?4 AND waiting.id < asked.value || ?5 "
                "CROSS JOIN fact ON fact.agent = ?2 AND fact.id = waiting.id",
                (json.encode(keys), agent, day, SEPARATOR, AFTER_SEPARATOR),
            )

    def waiting_keys(self, agent: str) -> Iterator[str]:
        """Yield the key of each fact that waits."""
        for (name,) in self.db.execute("SELECT id FROM waiting WHERE agent = ?", (agent,)):
            yield name.partition(SEPARATOR)[0]

    def _next_waiting_day(self, agent: str, day: int) -> int | None:
        query = "SELECT MIN(day) FROM waiting WHERE agent = ? AND day > ?"
        found: int | None = self.db.execute(query, (agent, day)).fetchone()[0]
        return found

    def due(self, agent: str, through: int) -> list[str]:
        """Return the keys that are due by a day or have a fact that waits for one, sorted.

        It costs what is due, not what is kept.
        """
        states = "SELECT key FROM state INDEXED BY state_due WHERE agent = ? AND due <= ?"
        facts = "SELECT id FROM waiting WHERE agent = ? AND day <= ?"
        found = {key for (key,) in self.db.execute(states, (agent, through))}
        found.update(name.partition(SEPARATOR)[0] for (name,) in self.db.execute(facts, (agent, through)))
        return sorted(found)

    def visited(self, agent: str, keys: Sequence[str]) -> None:
        """Do nothing: the tables have no entries of keys that are due no more."""

    def keys(self, agent: str) -> list[str]:
        """Return all keys that have a state, sorted."""
        return [key for (key,) in self.db.execute("SELECT key FROM state WHERE agent = ? ORDER BY key", (agent,))]

    def put_states(self, rows: Iterable[tuple[str, str, bytes, int | None]]) -> None:
        """Store states; the latest of a key stands."""
        self.db.executemany(
            "INSERT INTO state VALUES (?, ?, ?, ?) "
            "ON CONFLICT (agent, key) DO UPDATE SET value = excluded.value, due = excluded.due",
            rows,
        )

    def known(self, agent: str, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield those facts that are recorded, by id; one query, however many are asked for."""
        yield from self.db.execute(
            "SELECT fact.id, fact.value FROM json_each(?) asked "
            "CROSS JOIN fact ON fact.agent = ? AND fact.id = asked.value",
            (json.encode(ids), agent),
        )

    def put_facts(self, rows: Iterable[tuple[str, str, bytes]]) -> None:
        """Record facts by agent and id; one that exists is replaced."""
        given = list(rows)
        self.db.executemany(
            "INSERT INTO fact VALUES (?, ?, ?) ON CONFLICT (agent, id) DO UPDATE SET value = excluded.value", given
        )
        waiting = ((agent, day, name) for agent, name, value in given if (day := waiting_day(value)))
        self.db.executemany("INSERT OR IGNORE INTO waiting VALUES (?, ?, ?)", waiting)

    def end_waiting(self, agent: str, facts: Iterable[tuple[int, str]]) -> None:
        """Note that facts, by day and id, wait for these days no more."""
        ended = ((agent, day, name) for day, name in facts)
        self.db.executemany("DELETE FROM waiting WHERE agent = ? AND day = ? AND id = ?", ended)

    def erase(self, key: str) -> None:
        """Do nothing more: what is written over is overwritten in the file."""

    # -- parked records

    @property
    def parked_keys(self) -> Collection[str]:
        """The keys for which records are parked."""
        return self._parked_keys

    def _read_parked_keys(self) -> None:
        self._parked_keys = {key for (key,) in self.db.execute("SELECT DISTINCT key FROM parked")}

    def park(self, key: str, record: Record, deadline: int | None) -> None:
        """Let a record of the log wait for its account, through a business date (ordinal)."""
        self.db.execute("INSERT OR REPLACE INTO parked VALUES (?, ?, ?)", (self._position_of(record), key, deadline))
        self._parked_keys.add(key)

    def parked(self, key: str) -> list[tuple[Record, int | None]]:
        """Return the records that wait for an account with their deadlines, by topic and offset."""
        rows = self.db.execute("SELECT position, deadline FROM parked WHERE key = ?", (key,)).fetchall()
        found = [(self.record(position), deadline) for position, deadline in rows]
        return sorted(found, key=lambda pair: (pair[0].topic, pair[0].offset))

    def unpark(self, key: str) -> None:
        """Remove the records that waited for an account."""
        self.db.execute("DELETE FROM parked WHERE key = ?", (key,))
        self._parked_keys.discard(key)

    def _position_of(self, record: Record) -> int:
        if isinstance(record, LogRecord):
            return record.position
        query = 'SELECT position FROM log WHERE topic = ? AND "offset" = ?'
        return int(self.db.execute(query, (record.topic, record.offset)).fetchone()[0])

    # -- quarantine

    def put_quarantined(self, number: int, row: bytes) -> None:
        """Store a row of the quarantine; one that exists is replaced."""
        self.db.execute("INSERT OR REPLACE INTO quarantine VALUES (?, ?)", (number, row))

    def remove_quarantined(self, numbers: Iterable[int]) -> None:
        """Remove rows of the quarantine."""
        self.db.executemany("DELETE FROM quarantine WHERE number = ?", ((number,) for number in numbers))


class ReadTables(Tables):
    """What is committed, read beside the process that writes it, which SQLite's write-ahead log allows.

    For the thread that opened it. `vault` opens what is sealed; `seal`, rows of the log.

    vault: without one the directory's own. Raises FatalError where there is no data, or none of ours.
    """

    def __init__(self, folder: Path, file: str = FILE, vault: Vault | None = None) -> None:
        self.path = path = folder / file
        if not path.exists():
            raise FatalError(
                f"There is no data in {folder}. Publish events into it first, or name another with --data."
            )
        with faults_of_data(path):
            super().__init__(connected_to_read(path))
        try:
            with faults_of_data(path):
                self.meta("book")
        except sqlite3.DatabaseError as error:
            self.db.close()
            raise FatalError(f"{path} is no data of Reprieve: {error}. Name another directory with --data.") from error
        except FatalError:
            self.db.close()
            raise
        # A data directory of an earlier release has no master keys, and nothing in it is sealed.
        own = vault is None and self.meta(KEY_CHECK)
        self.vault = Vault(read_master_keys(local_keys(folder))) if own else vault
        self.seal = LogSeal(self.vault)

    def close(self) -> None:
        """Close the file."""
        self.db.close()


def book_of(folder: Path) -> str | None:
    """Return the name of the policy book under which a data directory was made, None where it is new."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with faults_of_data(path), closing(connected_to_read(path)) as db:
            return Tables(db).meta("book")
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            # A process that was killed before its first transaction left it.
            return None
        raise FatalError(f"{path} is no data of Reprieve: {error}. Name another directory.") from error


def connected_to_read(path: Path) -> sqlite3.Connection:
    """Return a connection that only reads, beside the process that writes."""
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), LOOK_UP):
        yield items[start : start + LOOK_UP]
