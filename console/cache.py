"""The console's cache file of a Kafka deployment, in the tables of a local runtime, so that all pages work over both.

All of it follows from Kafka. It is rebuilt where it is missing or damaged, was made for another deployment or by
another layout, or diverged from Kafka. Rows and the offsets behind them are one transaction, so a crash leaves the file
exactly as far as its offsets say. Personal data that no page shows is not stored: profiles are not read, of dead
letters only the reason is stored, and states and facts stay encrypted as in their changelog. Offers, decisions and
answers of borrowers who were erased are emptied, also where they are read after `PersonalDataErased`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import structlog
from msgspec.structs import replace

from agents.planner.erasure import scrubbed
from console import audit_page, snapshot
from console.recommendation_stats import ARREARS
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import FatalError, InvalidEventError
from schemas.topics import TOPIC_OF
from state.profile import millis
from streams.engine.output import Record
from streams.engine.policies import is_of_rules
from streams.engine.quarantine import HeldKey, decode_row
from streams.engine.stored_facts import read_fact
from streams.folder_lock import lock_folder
from streams.kafka.changelog_format import COMMIT_MARKER as READ
from streams.kafka.changelog_format import FACT, META, QUARANTINE, STATE, packed_state, row_checksum
from streams.local.store import TABLES, atomically
from streams.redaction import describe_error
from streams.security.sealed_log import NO_HEADERS
from streams.security.sealed_rows import SEALED, require_vault, scope_of
from streams.security.vault import Vault, is_sealed, open_part
from streams.state_rows import SEPARATOR
from streams.storage_faults import Cause, StorageError, fault_of, faults_of, is_marked, mark_damaged

FILE = "console.db"
# Increment when the tables or their content change: an older file is then rebuilt.
_LAYOUT = "8"
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
CREATE TABLE IF NOT EXISTS erased (borrower_id TEXT PRIMARY KEY, through INTEGER NOT NULL) WITHOUT ROWID;
"""
_EMPTIED = (
    "log",
    "state",
    "fact",
    "quarantine",
    "replayed",
    "meta",
    "place",
    "lane",
    "uncounted",
    "erased",
    *audit_page.EMPTIED,
    *snapshot.EMPTIED,
)
# Inbound events that the overview counts, when their fact is first recorded.
_COUNTED_INBOUND = (ev.AccountOpened, ev.OpeningPosition, ev.OfferAnswered)
# Topics whose records are emptied when their borrower is erased.
_ABOUT_BORROWERS = ("feedback", "offers", "decisions")

log = structlog.get_logger(__name__)

Place = tuple[str, int]


class Cache:
    """Writes the cache file.

    deployment: the id of what it is a cache of. partitions: of each inbound topic. vault: decrypts sealed facts.
    """

    def __init__(
        self, folder: Path, deployment: str, partitions: int, codec: Codec, vault: Vault | None = None
    ) -> None:
        self._lock = lock_folder(folder, "name another with --data")
        self._partitions = partitions
        self._codec = codec
        self._vault = vault
        self._deployment = deployment
        self.path = folder / FILE
        self._offsets: dict[str, int] = {}
        # Whether the write-ahead log may contain erased data; true at the start, since a crash may have left some.
        self._checkpoint_due = True
        try:
            with cache_faults(self.path):
                self.db = self._opened()
                self._position = int(self._one("SELECT COALESCE(MAX(position), 0) FROM log"))
                self._offsets |= self.db.execute('SELECT topic, MAX("offset") + 1 FROM log GROUP BY topic')
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        """Close the file, and release its folder."""
        self.db.close()
        self._lock.close()

    def _opened(self) -> sqlite3.Connection:
        try:
            if is_marked(self.path):
                raise StorageError(Cause.DAMAGED, "damage was found while it was in use")
            with cache_faults(self.path):
                db = self._connected()
        except StorageError as error:
            # Only a damaged file is removed; a full disk, for example, is not damage.
            if error.cause is not Cause.DAMAGED:
                raise
            log.warning("console_cache_rebuilt", cause="damaged", detail=describe_error(error))
            remove(self.path)
            with cache_faults(self.path):
                db = self._connected()
        self.db = db
        known = dict(db.execute("SELECT name, value FROM meta"))
        if known and (known.get("layout"), known.get("deployment")) != (_LAYOUT, self._deployment):
            log.warning("console_cache_rebuilt", cause="made for another deployment or by another release")
        if (known.get("layout"), known.get("deployment")) != (_LAYOUT, self._deployment):
            self._emptied()
        return db

    def _connected(self) -> sqlite3.Connection:
        # Written by the loader's thread; the thread that made it only opens it.
        db = sqlite3.connect(self.path, isolation_level=None, cached_statements=256, check_same_thread=False)
        # After a power cut the file may be at an earlier transaction, with its offsets: later records are read again.
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "cache_size=-65536",
            "wal_autocheckpoint=4000",
            "secure_delete=ON",
        ):
            db.execute(f"PRAGMA {pragma}")
        db.executescript(TABLES + _MORE + audit_page.TABLES + snapshot.TABLES)
        return db

    def _one(self, query: str) -> int | str:
        found: int | str = self.db.execute(query).fetchone()[0]
        return found

    def empty(self, why: str) -> None:
        """Delete all rows, since they diverged from Kafka."""
        log.warning("console_cache_rebuilt", cause=why)
        self._emptied()
        self._position, self._offsets = 0, {}

    def _emptied(self) -> None:
        # Readers compare `generation` to know whether what they counted is of this file.
        rows = {"layout": _LAYOUT, "deployment": self._deployment, "generation": uuid4().hex}
        with atomically(self.db):
            for table in _EMPTIED:
                self.db.execute(f"DELETE FROM {table}")  # nosec B608
            self.db.executemany("INSERT INTO meta VALUES (?, ?)", rows.items())

    # -- offsets

    def places(self) -> dict[Place, tuple[int, bytes]]:
        """Return by topic and partition the offset after the last stored record, and that record's digest."""
        rows = self.db.execute('SELECT topic, partition, "offset", digest FROM place')
        return {(topic, part): (offset, mark) for topic, part, offset, mark in rows}

    def read_at(self) -> float | None:
        """Return when Kafka was last read, in seconds since 1970, None where it never was."""
        found = self.db.execute("SELECT value FROM meta WHERE name = 'read_at'").fetchone()
        return None if found is None else float(found[0])

    def set_meta(self, name: str, value: str) -> None:
        """Store a named value."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    # -- records

    def write(self, changelogs: dict[Place, tuple[str, list[Record]]], published: dict[Place, list[Record]]) -> int:
        """Write records by place: rows of an agent's changelog, and published events; returns how many.

        Records and the offsets after them are one transaction.
        """
        before = self._position, dict(self._offsets)
        try:
            with atomically(self.db):
                self._write(changelogs, published)
        except BaseException:
            self._position, self._offsets = before
            raise
        if self._checkpoint_due:
            # The write-ahead log contains what was overwritten. With an active reader the next round empties it.
            busy, *_ = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._checkpoint_due = bool(busy)
        return sum(len(records) for _, records in changelogs.values()) + sum(map(len, published.values()))

    def _write(self, changelogs: dict[Place, tuple[str, list[Record]]], published: dict[Place, list[Record]]) -> None:
        for (_, partition), (agent, records) in changelogs.items():
            self._rows(agent, partition, records)
        for (topic, _), records in published.items():
            self._append_published(topic, records)
        every = {place: records for place, (_, records) in changelogs.items()} | published
        self.db.executemany(
            "INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?)",
            (
                (*place, records[-1].offset + 1, row_checksum(records[-1].key or b"", records[-1].value))
                for place, records in every.items()
            ),
        )
        if changelogs:
            self._close_day()

    def _rows(self, agent: str, partition: int, records: Iterable[Record]) -> None:
        # The last row of a key is valid; of one batch only it is written.
        last = {record.key: record for record in records if record.key}
        states: list[tuple[str, bytes | None]] = []
        facts: list[tuple[str, bytes | None]] = []
        new: list[tuple[str, int]] = []
        for key, record in last.items():
            kind, value = key[:1], record.value
            if kind == STATE:
                states.append((key[1:].decode(), None if value is None else packed_state(value)))
            elif kind == FACT:
                name = key[1:].decode()
                facts.append((name, value))
                if value is not None and not self._has_fact(agent, name):
                    new.append((name, record.timestamp))
            elif kind == QUARANTINE:
                self._quarantine(partition, int.from_bytes(key[1:], "big"), value)
            elif kind == META and value is not None and _is_shown_value(name := key[1:].decode()):
                self.db.execute(
                    "INSERT OR REPLACE INTO lane VALUES (?, ?, ?, ?, ?)",
                    (agent, partition, name, value.decode(), record.timestamp),
                )
        self._put("state", "key", agent, states)
        self._put("fact", "id", agent, facts)
        self._count(agent, new, [key for key, value in states if value is not None])

    def _quarantine(self, partition: int, number: int, value: bytes | None) -> None:
        """Store which keys are in quarantine, and nothing of what waits for them."""
        # Each partition counts its rows.
        number += partition << 40
        if value is None:
            self.db.execute("DELETE FROM quarantine WHERE number = ?", (number,))
        elif isinstance(decode_row(value), HeldKey):
            self.db.execute("INSERT OR REPLACE INTO quarantine VALUES (?, ?)", (number, value))

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
        """Append inbound events to the log from their facts: the topics themselves contain more than pages show.

        A sealed fact waits for the state of its key, which has the data key: a compacted changelog may have it later.
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
                self._count_fact(agent, name, at, None if state is None else state[0])

    def _count_fact(self, agent: str, name: str, at: int, state: bytes | None) -> None:
        found = self.db.execute("SELECT value FROM fact WHERE agent = ? AND id = ?", (agent, name)).fetchone()
        if found is not None:
            value = found[0]
            # A fact of an account that waits for its day begins as a sealed one does.
            if agent in SEALED and is_sealed(value):
                if state is None:
                    return
                key = require_vault(self._vault, agent, name).key_of(state, scope_of(agent, name.split(SEPARATOR)[0]))
                try:
                    value = open_part(value, scope_of(agent, name), key)
                except FatalError:
                    # Its key was rotated, and the fact's row with the new key is not read yet.
                    return
            event = read_fact(value)
            if isinstance(event, _COUNTED_INBOUND):
                self._append(redacted(event), at)
        self.db.execute(
            "DELETE FROM uncounted WHERE agent = ? AND key = ? AND id = ?", (agent, name.split(SEPARATOR)[0], name)
        )

    def _append_published(self, topic: str, records: Iterable[Record]) -> None:
        for record in records:
            if topic == "replayed":
                name = (record.key or b"").decode()
                self.db.execute("INSERT OR IGNORE INTO replayed VALUES (?)", (name,))
                continue
            try:
                event = self._codec.decode(record.value or b"")
            except InvalidEventError as bad:
                log.warning(
                    "record_skipped", topic=topic, partition=record.partition, offset=record.offset, code=bad.code
                )
                continue
            if topic == "audit":
                audit_page.add(self.db, [event])
                if isinstance(event, ev.PersonalDataErased):
                    self._erase(event)
            else:
                self._append(redacted(event), record.timestamp)

    def _erase(self, event: ev.PersonalDataErased) -> None:
        """Empty the stored records of a borrower, and those that are read later."""
        self._checkpoint_due = True
        self.db.execute(
            "INSERT INTO erased VALUES (?, ?) ON CONFLICT DO UPDATE SET through = max(through, excluded.through)",
            (event.borrower_id, millis(event.through)),
        )
        marks = ",".join("?" * len(_ABOUT_BORROWERS))
        rows = self.db.execute(
            f"SELECT position, value FROM log WHERE topic IN ({marks}) AND instr(value, ?) > 0",  # nosec B608
            (*_ABOUT_BORROWERS, event.borrower_id.encode()),
        ).fetchall()
        for position, value in rows:
            left = _codec.encode(self._without_erased(_codec.decode(value)))
            if left != value:
                self.db.execute("UPDATE log SET value = ? WHERE position = ?", (left, position))

    def _without_erased(self, event: ev.Event) -> ev.Event:
        """Return what may be stored of an event: nothing personal if its borrower was erased later."""
        if TOPIC_OF[type(event)].name not in _ABOUT_BORROWERS:
            return event
        who = getattr(event, "borrower_id", None)
        found = self.db.execute("SELECT through FROM erased WHERE borrower_id = ?", (who,)).fetchone()
        return event if found is None or millis(event.occurred_at) > found[0] else scrubbed(event)

    def _append(self, event: ev.Event, timestamp: int) -> None:
        event = self._without_erased(event)
        topic = TOPIC_OF[type(event)]
        self._position += 1
        offset = self._offsets.get(topic.name, 0)
        self._offsets[topic.name] = offset + 1
        value = _codec.encode(event)
        row = (self._position, topic.name, offset, None, value, NO_HEADERS, timestamp, int(topic.inbound))
        self.db.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _close_day(self) -> None:
        """Store and append the day that the last agent has closed on all partitions."""
        query = "SELECT value, at FROM lane WHERE agent = 'learner' AND name = 'closed_through' ORDER BY value"
        closed = self.db.execute(query).fetchall()
        if len(closed) < self._partitions:
            return
        day, at = closed[0]
        before = self.db.execute("SELECT value FROM meta WHERE name = 'closed_through'").fetchone()
        if before is None or before[0] < day:
            self.set_meta("closed_through", day)
            self._append(_closed(day, at), at)


# The cache's own log is in the framing that needs no registry.
_codec = Codec()


def redacted(event: ev.Event) -> ev.Event:
    """Return an event without the personal data that the console does not show."""
    if isinstance(event, ev.DeadLetter):
        # Its bytes may contain personal data; a redrive reads them from Kafka.
        return replace(event, key=None, value=None, headers={})
    if isinstance(event, ev.OfferAnswered):
        # The borrower's own words are not shown; the answer is counted.
        return replace(event, comment=None, recording_ref=None)
    if isinstance(event, ev.DecisionLogged):
        # Features of the borrower's means are not shown; days past due are, for the statistics of recommendations.
        shown = tuple(
            replace(row, x=tuple(x if n == ARREARS else 0 for n, x in enumerate(row.x))) for row in event.shown
        )
        return replace(event, candidates=(), feasible=(), shown=shown)
    return event


def _is_shown_value(name: str) -> bool:
    """Return whether a partition's named value is its progress, or belongs to the policies."""
    return name in (READ, "closed_through") or is_of_rules(name)


def _closed(day: str, at: int) -> ev.DayClosed:
    """Return the event of a day that is closed on all partitions."""
    return ev.DayClosed(
        event_id=f"console/{day}",
        occurred_at=datetime.fromtimestamp(at / 1000, UTC),
        source="reprieve.console",
        business_date=date.fromisoformat(day),
        calendar="none",
    )


@contextmanager
def cache_faults(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as StorageError; damage is marked, so that the next start rebuilds the file."""
    damaged = ". It is rebuilt from Kafka when the console starts again; nothing is lost."
    try:
        with faults_of(path, damaged, ", or name another folder with --data; nothing is lost."):
            yield
    except StorageError as error:
        if error.cause is Cause.DAMAGED:
            mark_damaged(path)
        raise


def remove(path: Path) -> None:
    """Remove the file and all that belongs to it. Raises FatalError where that is impossible."""
    try:
        # The mark of damage goes last, so that an interrupted removal is finished by the next start.
        for end in ("-wal", "-shm", "", "-damaged"):
            path.with_name(path.name + end).unlink(missing_ok=True)
    except OSError as error:
        raise FatalError(
            f"{fault_of(error, path).message}: this file has to be rebuilt, and cannot be removed. Remove it, or name "
            "another folder with --data; nothing is lost."
        ) from error
