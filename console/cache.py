"""The console's own file of a Kafka deployment, in the tables of a local runtime, so that all views work over both.

It is a cache: all of it follows from Kafka, and it is made anew where it is missing, was made for another deployment or
by another release, or is not of the same past as Kafka. Rows and the places behind them are one transaction, so a crash
at any point leaves it exactly as far as it says. What is personal and not shown is not kept: profiles are not read, of
dead letters only the reason is kept, and states and facts stay in the bytes in which their changelog has them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import structlog
from msgspec.structs import replace

from console import kept, trail
from console.leads import ARREARS
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import BadInput, Fatal
from schemas.topics import TOPIC_OF
from streams.desk import SEPARATOR, read_fact
from streams.folders import taken
from streams.kafka.batch import Record
from streams.kafka.progress import NAME as READ
from streams.kafka.rows import FACT, META, STATE, digest, state_of
from streams.local.record import NO_HEADERS
from streams.local.store import TABLES
from streams.policies import is_of_rules
from streams.privacy.sealed import asked, scope_of
from streams.privacy.vault import Vault, is_sealed, open_part

FILE = "console.db"
# Goes up where the tables or what is put in them changes: an older file is then made anew.
_LAYOUT = "5"
_MORE = """
CREATE TABLE IF NOT EXISTS place (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lane (
    agent TEXT NOT NULL, partition INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (agent, partition, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uncounted (
    agent TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (agent, key, id)
) WITHOUT ROWID;
"""
_EMPTIED = ("log", "state", "fact", "replayed", "meta", "place", "lane", "uncounted", *trail.EMPTIED, *kept.EMPTIED)
# What was taken in and is counted: facts of these kinds count when they are first recorded.
_TAKEN_IN = (ev.AccountOpened, ev.OfferAnswered)

log = structlog.get_logger(__name__)

Place = tuple[str, int]


class Cache:
    """Writes the file.

    deployment: names what it is a cache of. partitions: how many lanes there are. vault: opens what is sealed.
    """

    def __init__(
        self, folder: Path, deployment: str, partitions: int, codec: Codec, vault: Vault | None = None
    ) -> None:
        self._lock = taken(folder, "name another with --data")
        self._partitions = partitions
        self._codec = codec
        self._vault = vault
        self._deployment = deployment
        self.path = folder / FILE
        try:
            self.db = self._opened()
        except BaseException:
            self._lock.close()
            raise
        self._position = int(self._one("SELECT COALESCE(MAX(position), 0) FROM log"))
        self._offsets: dict[str, int] = dict(self.db.execute('SELECT topic, MAX("offset") + 1 FROM log GROUP BY topic'))

    def close(self) -> None:
        """Close the file, and let another process have it."""
        self.db.close()
        self._lock.close()

    def _opened(self) -> sqlite3.Connection:
        try:
            db = self._connected()
        except sqlite3.DatabaseError as error:
            log.warning("console_cache_rebuilt", cause="damaged", detail=str(error))
            for end in ("", "-wal", "-shm"):
                self.path.with_name(FILE + end).unlink(missing_ok=True)
            db = self._connected()
        self.db = db
        known = dict(db.execute("SELECT name, value FROM meta"))
        if known and (known.get("layout"), known.get("deployment")) != (_LAYOUT, self._deployment):
            log.warning("console_cache_rebuilt", cause="made for another deployment or by another release")
        if (known.get("layout"), known.get("deployment")) != (_LAYOUT, self._deployment):
            self._emptied()
        return db

    def _connected(self) -> sqlite3.Connection:
        # Written by the thread that follows; the thread that made it only opens it.
        db = sqlite3.connect(self.path, isolation_level=None, cached_statements=256, check_same_thread=False)
        # After a power cut the file may stand at an earlier place, which it knows: what comes behind is read again.
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "cache_size=-65536",
            "wal_autocheckpoint=4000",
            "secure_delete=ON",
        ):
            db.execute(f"PRAGMA {pragma}")
        db.executescript(TABLES + _MORE + trail.TABLES + kept.TABLES)
        return db

    def _one(self, query: str) -> int | str:
        found: int | str = self.db.execute(query).fetchone()[0]
        return found

    def empty(self, why: str) -> None:
        """Throw all rows away, since they are not of the same past as Kafka."""
        log.warning("console_cache_rebuilt", cause=why)
        self._emptied()
        self._position, self._offsets = 0, {}

    def _emptied(self) -> None:
        self.db.execute("BEGIN IMMEDIATE")
        for table in _EMPTIED:
            self.db.execute(f"DELETE FROM {table}")  # nosec B608
        # Readers know by `built` that what they have counted is of another file.
        rows = {"layout": _LAYOUT, "deployment": self._deployment, "built": uuid4().hex}
        self.db.executemany("INSERT INTO meta VALUES (?, ?)", rows.items())
        self.db.execute("COMMIT")

    # -- where it is

    def places(self) -> dict[Place, tuple[int, bytes]]:
        """Return by topic and partition the offset behind the last record that is in, and that record's digest."""
        rows = self.db.execute('SELECT topic, partition, "offset", digest FROM place')
        return {(topic, part): (offset, mark) for topic, part, offset, mark in rows}

    def read_at(self) -> float | None:
        """Return when Kafka was last followed, in seconds since 1970, None where it never was."""
        found = self.db.execute("SELECT value FROM meta WHERE name = 'read_at'").fetchone()
        return None if found is None else float(found[0])

    def note(self, name: str, value: str) -> None:
        """Keep a named value."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    # -- what comes in

    def take(self, changelogs: dict[Place, tuple[str, list[Record]]], said: dict[Place, list[Record]]) -> int:
        """Write records, by place: rows of an agent's changelog, and what was said; returns how many.

        All of it and the places behind it are one transaction.
        """
        before = self._position, dict(self._offsets)
        self.db.execute("BEGIN IMMEDIATE")
        try:
            for (_, partition), (agent, records) in changelogs.items():
                self._rows(agent, partition, records)
            for (topic, _), records in said.items():
                self._said(topic, records)
            every = {place: records for place, (_, records) in changelogs.items()} | said
            self.db.executemany(
                "INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?)",
                (
                    (*place, records[-1].offset + 1, digest(records[-1].key or b"", records[-1].value))
                    for place, records in every.items()
                ),
            )
            if changelogs:
                self._close_day()
        except BaseException as error:
            self.db.execute("ROLLBACK")
            self._position, self._offsets = before
            if isinstance(error, sqlite3.OperationalError):
                raise Fatal(
                    f"The console cannot write {self.path}: {error}. Make room, or name another folder with --data; "
                    "nothing is lost, it is read from Kafka again."
                ) from error
            raise
        self.db.execute("COMMIT")
        return sum(map(len, every.values()))

    def _rows(self, agent: str, partition: int, records: Iterable[Record]) -> None:
        # The last row of a key stands; in one batch it is the only one to be written.
        last = {record.key: record for record in records if record.key}
        states: list[tuple[str, bytes | None]] = []
        facts: list[tuple[str, bytes | None]] = []
        new: list[tuple[str, int]] = []
        for key, record in last.items():
            kind, value = key[:1], record.value
            if kind == STATE:
                states.append((key[1:].decode(), None if value is None else state_of(value)))
            elif kind == FACT:
                name = key[1:].decode()
                facts.append((name, value))
                if value is not None and not self._has_fact(agent, name):
                    new.append((name, record.timestamp))
            elif kind == META and value is not None and _is_told(name := key[1:].decode()):
                self.db.execute(
                    "INSERT OR REPLACE INTO lane VALUES (?, ?, ?, ?, ?)",
                    (agent, partition, name, value.decode(), record.timestamp),
                )
        self._put("state", "key", agent, states)
        self._put("fact", "id", agent, facts)
        self._count(agent, new, [key for key, value in states if value is not None])

    def _put(self, table: str, column: str, agent: str, rows: list[tuple[str, bytes | None]]) -> None:
        self.db.executemany(
            f"DELETE FROM {table} WHERE agent = ? AND {column} = ?",  # nosec B608
            [(agent, name) for name, v in rows if v is None],
        )
        self.db.executemany(
            f"INSERT INTO {table} (agent, {column}, value) VALUES (?, ?, ?) "  # nosec B608
            f"ON CONFLICT (agent, {column}) DO UPDATE SET value = excluded.value",
            [(agent, name, value) for name, value in rows if value is not None],
        )

    def _has_fact(self, agent: str, name: str) -> bool:
        return self.db.execute("SELECT 1 FROM fact WHERE agent = ? AND id = ?", (agent, name)).fetchone() is not None

    def _count(self, agent: str, new: Iterable[tuple[str, int]], keys: Iterable[str]) -> None:
        """Count what came in where it was taken: the topics themselves hold more than is shown.

        A sealed fact waits for the state of its key, which has the data key: a compacted changelog may bring it later.
        """
        self.db.executemany(
            "INSERT OR IGNORE INTO uncounted VALUES (?, ?, ?, ?)",
            [(agent, name.split(SEPARATOR)[0], name, at) for name, at in new],
        )
        keys = {*keys, *(name.split(SEPARATOR)[0] for name, _ in new)}
        for key in sorted(keys):
            waiting = self.db.execute(
                "SELECT id, at FROM uncounted WHERE agent = ? AND key = ?", (agent, key)
            ).fetchall()
            if not waiting:
                continue
            state = self.db.execute("SELECT value FROM state WHERE agent = ? AND key = ?", (agent, key)).fetchone()
            for name, at in waiting:
                self._taken_in(agent, name, at, None if state is None else state[0])

    def _taken_in(self, agent: str, name: str, at: int, state: bytes | None) -> None:
        found = self.db.execute("SELECT value FROM fact WHERE agent = ? AND id = ?", (agent, name)).fetchone()
        if found is not None:
            value = found[0]
            if is_sealed(value):
                if state is None:
                    return
                key = asked(self._vault, agent, name).key_of(state, scope_of(agent, name.split(SEPARATOR)[0]))
                try:
                    value = open_part(value, scope_of(agent, name), key)
                except Fatal:
                    # Its key was renewed, and the row that goes with the new one is still to come.
                    return
            event = read_fact(value)
            if isinstance(event, _TAKEN_IN):
                self._append(_shown(event), at)
        self.db.execute(
            "DELETE FROM uncounted WHERE agent = ? AND key = ? AND id = ?", (agent, name.split(SEPARATOR)[0], name)
        )

    def _said(self, topic: str, records: Iterable[Record]) -> None:
        for record in records:
            if topic == "replayed":
                name = (record.key or b"").decode()
                self.db.execute("INSERT OR IGNORE INTO replayed VALUES (?)", (name,))
                continue
            try:
                event = self._codec.decode(record.value or b"")
            except BadInput:
                continue
            if topic == "audit":
                trail.take(self.db, [event])
            else:
                self._append(_shown(event), record.timestamp)

    def _append(self, event: ev.Event, timestamp: int) -> None:
        topic = TOPIC_OF[type(event)]
        self._position += 1
        offset = self._offsets.get(topic.name, 0)
        self._offsets[topic.name] = offset + 1
        value = _codec.encode(event)
        row = (self._position, topic.name, offset, None, value, NO_HEADERS, timestamp, int(topic.inbound))
        self.db.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _close_day(self) -> None:
        """Note the day that the last agent has closed on all partitions, once all have."""
        query = "SELECT value, at FROM lane WHERE agent = 'learner' AND name = 'closed_through' ORDER BY value"
        closed = self.db.execute(query).fetchall()
        if len(closed) < self._partitions:
            return
        day, at = closed[0]
        before = self.db.execute("SELECT value FROM meta WHERE name = 'closed_through'").fetchone()
        if before is None or before[0] < day:
            self.note("closed_through", day)
            self._append(_closed(day, at), at)


# The cache's own log is always in the framing that needs no registry.
_codec = Codec()


def _shown(event: ev.Event) -> ev.Event:
    """Return an event with what the console shows of it."""
    if isinstance(event, ev.DeadLetter):
        # What was refused may be personal, and is sent in again from Kafka.
        return replace(event, key=None, value=None, headers={})
    if isinstance(event, ev.OfferAnswered):
        # What a borrower said in words is his; how he answered is counted.
        return replace(event, comment=None, recording_ref=None)
    if isinstance(event, ev.DecisionLogged):
        # What a figure says of somebody's means is not shown; how late he was tells for whom an option led.
        shown = tuple(
            replace(row, x=tuple(x if n == ARREARS else 0 for n, x in enumerate(row.x))) for row in event.shown
        )
        return replace(event, candidates=(), feasible=(), shown=shown)
    return event


def _is_told(name: str) -> bool:
    """Say whether a lane's named value tells how far it has come, or by which policies."""
    return name in (READ, "closed_through") or is_of_rules(name)


def _closed(day: str, at: int) -> ev.DayClosed:
    """Return the event of a day that is closed everywhere."""
    return ev.DayClosed(
        event_id=f"console/{day}",
        occurred_at=datetime.fromtimestamp(at / 1000, UTC),
        source="reprieve.console",
        business_date=date.fromisoformat(day),
        calendar="none",
    )
