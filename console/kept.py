"""What the console has counted, kept in its own file of a Kafka deployment, so that a restart reads only what is new.

It is in the same file as the log that it was counted from, and written after it: whatever a crash or a power cut takes
from the end of the file, no count of events is left that the log has not. It counts for one layout and one building of
the file; with another it is made anew from the log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from msgspec import DecodeError, Struct, msgpack

TABLES = "CREATE TABLE IF NOT EXISTS counted (number INTEGER PRIMARY KEY, value BLOB NOT NULL);"
EMPTIED = ("counted",)
# Goes up where what is counted changes, or how; a release makes it anew by itself.
_LAYOUT = "1"
# Seconds that the follower's own transactions are waited for.
_PATIENCE = 10.0


class _Head(Struct, array_like=True):
    """layout, built: for which it counts. position: through which of the log. parts: how many rows follow."""

    layout: str
    built: str
    position: int
    parts: int


def layout() -> str:
    """Return a word for what is counted and how."""
    return f"{version('reprieve')} {_LAYOUT}"


def keep(path: Path, built: str, position: int, parts: Sequence[bytes]) -> bool:
    """Write what was counted through a position in the place of what is there; False where the file is busy or full."""
    head = msgpack.encode(_Head(layout(), built, position, len(parts)))
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=_PATIENCE)) as db:
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute("PRAGMA secure_delete=ON")
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM counted")
            db.executemany("INSERT INTO counted VALUES (?, ?)", enumerate([head, *parts]))
            db.execute("COMMIT")
    except sqlite3.OperationalError:
        # What was kept before stands, and more is read at the next start.
        return False
    return True


def kept(db: sqlite3.Connection, built: str) -> tuple[int, Iterator[bytes]] | None:
    """Return through which position was counted, and its parts; None where nothing is kept that counts."""
    found = db.execute("SELECT value FROM counted WHERE number = 0").fetchone()
    if found is None:
        return None
    try:
        head = msgpack.decode(found[0], type=_Head)
    except DecodeError:
        return None
    if (head.layout, head.built) != (layout(), built):
        return None
    rows = db.execute("SELECT value FROM counted WHERE number > 0 ORDER BY number").fetchall()
    return (head.position, (value for (value,) in rows)) if len(rows) == head.parts else None
