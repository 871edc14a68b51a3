"""Snapshots of the overview projection in the console's cache file, so that a restart reads only newer events.

A snapshot is in the same file as the log that was counted, and is written after it: a crash or power cut that loses the
end of the file leaves no snapshot of events that the log does not have. It is valid for one release, one layout and one
generation of the file; with another the projection is rebuilt from the log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from msgspec import DecodeError, Struct, msgpack

TABLES = "CREATE TABLE IF NOT EXISTS snapshot (number INTEGER PRIMARY KEY, value BLOB NOT NULL);"
EMPTIED = ("snapshot",)
# Increment when the projection's content or meaning changes; another release invalidates snapshots by itself.
_LAYOUT = "2"
# Seconds to wait for the loader's own transactions.
_LOCK_TIMEOUT = 10.0


class _Header(Struct, array_like=True):
    """layout, generation: for which it is valid. position: the last log row that it counts. parts: rows that follow."""

    layout: str
    generation: str
    position: int
    parts: int


def layout() -> str:
    """Return what identifies the content and meaning of a snapshot."""
    return f"{version('reprieve')} {_LAYOUT}"


def save(path: Path, generation: str, position: int, parts: Sequence[bytes]) -> bool:
    """Replace the snapshot by one through a position of the log; False where the file is locked or full."""
    header = msgpack.encode(_Header(layout(), generation, position, len(parts)))
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=_LOCK_TIMEOUT)) as db:
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute("PRAGMA secure_delete=ON")
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM snapshot")
            db.executemany("INSERT INTO snapshot VALUES (?, ?)", enumerate([header, *parts]))
            db.execute("COMMIT")
    except sqlite3.OperationalError:
        # The previous snapshot stays valid; the next start reads more of the log.
        return False
    return True


def load(db: sqlite3.Connection, generation: str) -> tuple[int, Iterator[bytes]] | None:
    """Return the position and the parts of the snapshot; None where there is no valid one."""
    found = db.execute("SELECT value FROM snapshot WHERE number = 0").fetchone()
    if found is None:
        return None
    try:
        header = msgpack.decode(found[0], type=_Header)
    except DecodeError:
        return None
    if (header.layout, header.generation) != (layout(), generation):
        return None
    rows = db.execute("SELECT value FROM snapshot WHERE number > 0 ORDER BY number").fetchall()
    return (header.position, (value for (value,) in rows)) if len(rows) == header.parts else None
