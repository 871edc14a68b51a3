"""What is to be delivered, how far Kafka is read, and who consents: one SQLite file, so that none is ahead of another.

A crash loses what was not written yet, of deliveries and of offsets alike; both are made again from Kafka. What went
out without its outcome being written goes out again under the same id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from msgspec import Struct

from schemas.errors import FatalError, UsageError
from streams.folder_lock import lock_folder
from streams.local.store import atomically
from streams.storage_faults import Cause, fault_of

# Times are milliseconds since the epoch. Deliveries of one borrower to one partner go out in the order of `seq`.
TABLES = """
CREATE TABLE IF NOT EXISTS delivery (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, partner TEXT NOT NULL, event_id TEXT NOT NULL, type TEXT NOT NULL,
    borrower_id TEXT NOT NULL, timestamp TEXT NOT NULL, payload BLOB, state TEXT NOT NULL, attempts INTEGER NOT NULL,
    queued INTEGER NOT NULL, next INTEGER NOT NULL, ended INTEGER, why TEXT NOT NULL, UNIQUE (partner, event_id)
);
CREATE INDEX IF NOT EXISTS delivery_next ON delivery (partner, next, seq) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS delivery_order ON delivery (partner, borrower_id, seq) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS delivery_waiting ON delivery (partner, state, queued)
    WHERE state IN ('pending', 'parked');
CREATE INDEX IF NOT EXISTS delivery_ended ON delivery (ended) WHERE ended IS NOT NULL;
CREATE INDEX IF NOT EXISTS delivery_of_borrower ON delivery (borrower_id) WHERE payload IS NOT NULL;
CREATE TABLE IF NOT EXISTS place (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS topic (name TEXT PRIMARY KEY, id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS consent (
    borrower_id TEXT NOT NULL, purpose TEXT NOT NULL, consent_id TEXT NOT NULL, granted INTEGER NOT NULL,
    withdrawn INTEGER NOT NULL, PRIMARY KEY (borrower_id, purpose, consent_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS erased (borrower_id TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS account (account_id TEXT PRIMARY KEY, borrower_id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told (
    borrower_id TEXT NOT NULL, partner TEXT NOT NULL, PRIMARY KEY (borrower_id, partner)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gone (partner TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = "seq, partner, event_id, type, borrower_id, timestamp, payload, state, attempts, queued, next, ended, why"
_TOLD = "INSERT OR IGNORE INTO told VALUES (?, ?)"


class Delivery(Struct, frozen=True):
    """An event on its way to a partner. payload: the fields it gets, as JSON; none once it is over.

    state: pending, delivered, parked (given up until it is sent again by hand), withheld (no consent any more).
    """

    seq: int
    partner: str
    event_id: str
    type: str
    borrower_id: str
    timestamp: str
    payload: bytes | None
    state: str
    attempts: int
    queued: int
    next: int
    ended: int | None
    why: str


class Outbox:
    """The tables. For the thread that opened it; other processes may look at it and send again meanwhile."""

    def __init__(self, folder: Path, *, owned: bool = True) -> None:
        """Open a folder. owned: for the process that delivers, which has it alone; without it, it must be there."""
        self._lock: IO[str] | None = None
        self.path = path = folder / "webhooks.db"
        if owned:
            self._lock = lock_folder(folder, "set webhooks.data_dir to another directory")
        elif not path.exists():
            raise UsageError(
                f"There is no outbox in {folder}. Start `reprieve webhooks run`, or see webhooks.data_dir."
            )
        try:
            self.db = sqlite3.connect(path, isolation_level=None, timeout=30)
            # What a power cut may take from the end is read from Kafka again: no need to wait for the disk.
            self.db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;")
            self.db.executescript(TABLES)
        except sqlite3.Error as error:
            self.close()
            fault = fault_of(error, path)
            damaged = ". Restore it from a backup, or begin with an empty one" if fault.cause is Cause.DAMAGED else ""
            raise FatalError(f"The outbox cannot be opened. {fault.message}{damaged}, and start again.") from error

    def close(self) -> None:
        """Close the file and let the folder go."""
        if hasattr(self, "db"):
            self.db.close()
        if self._lock is not None:
            self._lock.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Write all that is done in it, or nothing."""
        return atomically(self.db)

    # -- how far it is read

    def places(self) -> dict[tuple[str, int], int]:
        """Return the offset behind the last record that was taken, by topic and partition."""
        return {
            (topic, part): at for topic, part, at in self.db.execute('SELECT topic, partition, "offset" FROM place')
        }

    def set_place(self, topic: str, partition: int, offset: int) -> None:
        """Note an offset, within the transaction that takes the record before it."""
        self.db.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?)", (topic, partition, offset))

    def topic_ids(self) -> dict[str, str]:
        """Return the ids of the topics in which these offsets count, by name."""
        return dict(self.db.execute("SELECT name, id FROM topic"))

    def set_topic_id(self, topic: str, topic_id: str) -> None:
        """Note the id of a topic, within the transaction that notes its offsets."""
        self.db.execute("INSERT OR REPLACE INTO topic VALUES (?, ?)", (topic, topic_id))

    # -- deliveries

    def queue(
        self, partner: str, event_id: str, kind: str, borrower_id: str, timestamp: str, payload: bytes, now: int
    ) -> bool:
        """Queue an event for a partner; returns whether it was not queued before."""
        state, ended, why = ("parked", now, "the endpoint is gone") if self.is_gone(partner) else ("pending", None, "")
        done = self.db.execute(
            f"INSERT OR IGNORE INTO delivery ({_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)",
            (partner, event_id, kind, borrower_id, timestamp, payload, state, now, now, ended, why),
        )
        return done.rowcount == 1

    def due(self, partner: str, now: int, most: int) -> list[Delivery]:
        """Return what may go out: of each borrower only the first that is pending."""
        query = f"""
            SELECT {_COLUMNS} FROM delivery d WHERE partner = ? AND state = 'pending' AND next <= ? AND NOT EXISTS (
                SELECT 1 FROM delivery e WHERE e.partner = d.partner AND e.borrower_id = d.borrower_id
                AND e.state = 'pending' AND e.seq < d.seq
            ) ORDER BY next, seq LIMIT ?"""  # nosec B608
        return [Delivery(*row) for row in self.db.execute(query, (partner, now, most))]

    def delivered(self, one: Delivery, now: int) -> None:
        """Note that a partner has it; its payload is no longer kept."""
        with self.transaction():
            self._end(one, "delivered", now, "", keep=False)
            forgets = one.type == "ErasureRequested"
            note = "DELETE FROM told WHERE borrower_id = ? AND partner = ?" if forgets else _TOLD
            self.db.execute(note, (one.borrower_id, one.partner))

    def withhold(self, one: Delivery, now: int, why: str) -> None:
        """Note that it must not go out; its payload is no longer kept."""
        self._end(one, "withheld", now, why, keep=False)

    def park(self, one: Delivery, now: int, why: str) -> None:
        """Give it up until it is sent again by hand."""
        self._end(one, "parked", now, why, keep=True)

    def _end(self, one: Delivery, state: str, now: int, why: str, *, keep: bool) -> None:
        # An erasure that came while it was on its way stands. What did go out counts as delivered all the same.
        was = "'pending', 'withheld', 'parked'" if state == "delivered" else "'pending'"
        payload = "payload" if keep else "NULL"
        self.db.execute(
            f"UPDATE delivery SET state = ?, ended = ?, why = ?, attempts = attempts + 1, payload = {payload} "  # nosec B608
            f"WHERE seq = ? AND state IN ({was})",
            (state, now, why, one.seq),
        )

    def put_off(self, one: Delivery, until: int, why: str) -> None:
        """Note an attempt that came to nothing, and when the next is."""
        self.db.execute(
            "UPDATE delivery SET attempts = attempts + 1, next = ?, why = ? WHERE seq = ? AND state = 'pending'",
            (until, why, one.seq),
        )

    def park_older(self, partner: str, queued: int, now: int, why: str) -> int:
        """Give up what was queued for a partner until an instant, as its endpoint is away; returns how many."""
        done = self.db.execute(
            "UPDATE delivery SET state = 'parked', ended = ?, why = ? "
            "WHERE partner = ? AND state = 'pending' AND queued <= ?",
            (now, why, partner, queued),
        )
        return done.rowcount

    def disable(self, partner: str, now: int) -> int:
        """Note that a partner's endpoint is gone, and park what was for it; returns how many."""
        with self.transaction():
            self.db.execute("INSERT OR IGNORE INTO gone VALUES (?, ?)", (partner, now))
            done = self.db.execute(
                "UPDATE delivery SET state = 'parked', ended = ?, why = 'the endpoint is gone' "
                "WHERE partner = ? AND state = 'pending'",
                (now, partner),
            )
        return done.rowcount

    def is_gone(self, partner: str) -> bool:
        """Say whether a partner's endpoint has said that it is gone."""
        return self.db.execute("SELECT 1 FROM gone WHERE partner = ?", (partner,)).fetchone() is not None

    def resend(self, partner: str | None, event_ids: Iterable[str], now: int) -> int:
        """Make parked deliveries pending again, all of them where no ids are given; returns how many.

        An endpoint that was gone is tried again.
        """
        ids = list(event_ids)
        where, values = "state = 'parked'", []
        if partner is not None:
            where, values = f"{where} AND partner = ?", [partner]
        if ids:
            where, values = f"{where} AND event_id IN ({','.join('?' * len(ids))})", [*values, *ids]
        with self.transaction():
            self.db.execute(f"DELETE FROM gone WHERE partner IN (SELECT partner FROM delivery WHERE {where})", values)  # nosec B608
            if partner is not None and not ids:
                self.db.execute("DELETE FROM gone WHERE partner = ?", (partner,))
            done = self.db.execute(
                f"UPDATE delivery SET state = 'pending', next = ?, queued = ?, ended = NULL, why = '' WHERE {where}",  # nosec B608
                (now, now, *values),
            )
        return done.rowcount

    def forget_ended(self, before: int) -> None:
        """Drop what is over since before an instant; what is parked stays until somebody sees to it."""
        self.db.execute("DELETE FROM delivery WHERE ended < ? AND state IN ('delivered', 'withheld')", (before,))

    # -- what operators see

    def listed(self, partner: str | None, states: Iterable[str], most: int) -> list[Delivery]:
        """Return deliveries, the oldest first."""
        wanted = list(states)
        where, values = f"state IN ({','.join('?' * len(wanted))})", [*wanted]
        if partner is not None:
            where, values = f"{where} AND partner = ?", [*wanted, partner]
        query = f"SELECT {_COLUMNS} FROM delivery WHERE {where} ORDER BY seq LIMIT ?"  # nosec B608
        return [Delivery(*row) for row in self.db.execute(query, (*values, most))]

    def waiting(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return by partner and state how many are pending or parked, and when the oldest was queued."""
        query = """
            SELECT partner, state, count(*), min(queued) FROM delivery WHERE state IN ('pending', 'parked')
            GROUP BY partner, state"""
        return {(partner, state): (count, oldest) for partner, state, count, oldest in self.db.execute(query)}

    def all_gone(self) -> dict[str, int]:
        """Return the partners whose endpoints are gone, and since when."""
        return dict(self.db.execute("SELECT partner, at FROM gone"))
