"""One SQLite file holds all that a local runtime knows: the log, states, facts, parked records, its position.

A batch is one transaction, so the file is always as if each batch had happened wholly or not at all.
`synchronous=FULL` makes that true across a power cut, not only across a crash.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, TypeVar

from msgspec import json

from schemas.errors import Fatal
from streams.desk import AFTER_SEPARATOR, fact_id
from streams.folders import taken
from streams.privacy.log import LogSeal

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
CREATE TABLE IF NOT EXISTS parked (position INTEGER PRIMARY KEY, key TEXT NOT NULL, deadline INTEGER);
CREATE INDEX IF NOT EXISTS parked_by_key ON parked (key);
CREATE TABLE IF NOT EXISTS replayed (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
T = TypeVar("T")
# SQLite takes 32,766 parameters a statement; a look-up of pairs stays well below.
LOOK_UP = 4_000

# position, topic, offset, key, value, headers, timestamp, inbound
Row = tuple[int, str, int, bytes | None, bytes | None, bytes, int, int]


@contextmanager
def atomically(db: sqlite3.Connection) -> Iterator[None]:
    """Commit all that is written within, or none of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


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

    def facts(self, agent: str, key: str) -> list[tuple[str, bytes]]:
        """Return all facts of a key by fact key, in the order of these."""
        query = "SELECT id, value FROM fact WHERE agent = ? AND id >= ? AND id < ? ORDER BY id"
        rows = self.db.execute(query, (agent, fact_id(key, ""), key + AFTER_SEPARATOR))
        return [(name[len(key) + 1 :], value) for name, value in rows]


class Store(Tables):
    """The tables behind a local runtime. `folder` None keeps them in memory."""

    def __init__(self, folder: Path | None) -> None:
        self._lock: IO[str] | None = None
        if folder is not None:
            self._lock = taken(folder, "name another")
        path = ":memory:" if folder is None else str(folder / "reprieve.db")
        super().__init__(sqlite3.connect(path, isolation_level=None, cached_statements=256))
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

    def close(self) -> None:
        """Close the file and let another process have it."""
        self.db.close()
        if self._lock is not None:
            self._lock.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Commit all that is written within, or none of it."""
        return atomically(self.db)

    # -- meta

    def set_meta(self, name: str, value: str) -> None:
        """Keep a named value."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def mark_replayed(self, name: str) -> None:
        """Note that a dead letter was sent in again."""
        self.db.execute("INSERT OR IGNORE INTO replayed VALUES (?)", (name,))

    # -- log

    def append(self, rows: Iterable[Row]) -> None:
        """Append records to the log."""
        self.db.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def next_position(self) -> int:
        """Return the position of the next record."""
        return int(self.db.execute("SELECT COALESCE(MAX(position), 0) + 1 FROM log").fetchone()[0])

    def next_offsets(self) -> dict[str, int]:
        """Return the offset of each topic's next record."""
        return dict(self.db.execute('SELECT topic, MAX("offset") + 1 FROM log GROUP BY topic'))

    def inbound_after(self, position: int, limit: int) -> list[Row]:
        """Return records that came in behind a position, in the order of arrival."""
        query = "SELECT * FROM log WHERE position > ? AND inbound = 1 ORDER BY position LIMIT ?"
        return [self.seal.opened(row) for row in self.db.execute(query, (position, limit))]

    def record(self, position: int) -> Row:
        """Return one record of the log."""
        return self.seal.opened(self.db.execute("SELECT * FROM log WHERE position = ?", (position,)).fetchone())

    def of_topic(self, topic: str, offset: int = 0) -> Iterator[Row]:
        """Yield a topic's records from an offset on."""
        query = 'SELECT * FROM log WHERE topic = ? AND "offset" >= ? ORDER BY "offset"'
        for row in self.db.execute(query, (topic, offset)):
            yield self.seal.opened(row)

    def beginning(self, mark: bytes) -> Iterator[Row]:
        """Yield records of the log whose stored value begins with a mark, as they are stored."""
        yield from self.db.execute("SELECT * FROM log WHERE substr(value, 1, ?) = ?", (len(mark), mark))

    def overwrite(self, rows: Iterable[Row]) -> None:
        """Have rows of the log hold something else: what was personal in them is to go."""
        self.db.executemany(
            "UPDATE log SET key = ?4, value = ?5, headers = ?6 WHERE position = ?1 AND topic = ?2",
            (row[:6] for row in rows),
        )

    def fold(self) -> bool:
        """Copy the write-ahead log back and empty it, so that nothing written over is left in it; says if it could."""
        return not self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]

    # -- states and facts

    def due(self, agent: str, through: int) -> list[str]:
        """Return the keys that are due by a day, sorted; it costs what is due, not what is kept."""
        query = "SELECT key FROM state INDEXED BY state_due WHERE agent = ? AND due <= ?"
        return sorted(key for (key,) in self.db.execute(query, (agent, through)))

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
        self.db.executemany(
            "INSERT INTO fact VALUES (?, ?, ?) ON CONFLICT (agent, id) DO UPDATE SET value = excluded.value", rows
        )

    # -- parked records

    def park(self, position: int, key: str, deadline: int | None) -> None:
        """Let a record wait for its account until the close of a day."""
        self.db.execute("INSERT OR REPLACE INTO parked VALUES (?, ?, ?)", (position, key, deadline))

    def parked(self, key: str) -> list[int]:
        """Return the positions of the records that wait for an account."""
        return [p for (p,) in self.db.execute("SELECT position FROM parked WHERE key = ? ORDER BY position", (key,))]

    def parked_keys(self) -> set[str]:
        """Return the keys for which records wait."""
        return {key for (key,) in self.db.execute("SELECT DISTINCT key FROM parked")}

    def overdue(self, day: int, wait: int) -> list[int]:
        """Return the positions of records that have waited long enough; sets the deadline of those that had none."""
        self.db.execute("UPDATE parked SET deadline = ? WHERE deadline IS NULL", (day + wait,))
        return [
            p for (p,) in self.db.execute("SELECT position FROM parked WHERE deadline < ? ORDER BY position", (day,))
        ]

    def unpark(self, positions: Iterable[int]) -> None:
        """Forget parked records that no longer wait."""
        self.db.executemany("DELETE FROM parked WHERE position = ?", ((p,) for p in positions))


def book_of(folder: Path) -> str | None:
    """Return the name of the policy book under which a data directory was made, None where it is new."""
    path = folder / "reprieve.db"
    if not path.exists():
        return None
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        row = db.execute("SELECT value FROM meta WHERE name = 'book'").fetchone()
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            # A process that was killed before its first transaction left it.
            return None
        raise Fatal(f"{path} is no data of Reprieve: {error}. Name another directory.") from error
    finally:
        db.close()
    return None if row is None else str(row[0])


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), LOOK_UP):
        yield items[start : start + LOOK_UP]
