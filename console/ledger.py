"""A data directory of the local runtime, read beside the process that writes it.

Only what is committed is seen. Nothing is written: SQLite's write-ahead log lets one process write while others read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, msgpack

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import BadInput, Fatal
from state.account import AccountState
from state.borrower import BorrowerState
from state.learner import LearnerState
from state.storage import unpack
from streams.desk import AFTER_SEPARATOR, fact_id

KINDS: dict[str, type[Struct]] = {"account": AccountState, "planner": BorrowerState, "learner": LearnerState}
_decode = msgpack.Decoder(ev.AnyEvent).decode


class Ledger:
    """What a local runtime has committed. For the thread that opened it."""

    def __init__(self, folder: Path) -> None:
        path = folder / "reprieve.db"
        if not path.exists():
            raise Fatal(f"There is no data in {folder}. Publish events into it first, or name another with --data.")
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        self._codec = Codec()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def after(self, position: int, limit: int) -> list[tuple[int, ev.Event | None]]:
        """Return what the log has behind a position, in order; None stands for what nobody can read."""
        query = "SELECT position, value FROM log WHERE position > ? ORDER BY position LIMIT ?"
        return [(at, self._event(value)) for at, value in self._db.execute(query, (position, limit))]

    def state(self, agent: str, key: str) -> Struct | None:
        """Return what an agent keeps of a key, None where it knows nothing of it."""
        query = "SELECT value FROM state WHERE agent = ? AND key = ?"
        row = self._db.execute(query, (agent, key)).fetchone()
        return None if row is None else unpack(row[0], KINDS[agent])

    def history(self, agent: str, key: str) -> list[tuple[str, ev.Event]]:
        """Return the facts of a key: what came in, and what was said of it."""
        first = fact_id(key, "")
        query = "SELECT id, value FROM fact WHERE agent = ? AND id >= ? AND id < ? ORDER BY id"
        rows = self._db.execute(query, (agent, first, key + AFTER_SEPARATOR))
        return [(name[len(first) :], _decode(value)) for name, value in rows]

    def keys(self, agent: str, begins: str, limit: int) -> list[str]:
        """Return keys that begin with a text, in order."""
        query = "SELECT key FROM state WHERE agent = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"
        return [k for (k,) in self._db.execute(query, (agent, begins, begins + "\U0010ffff", limit))]

    def meta(self, name: str) -> str | None:
        """Return a named value of the runtime."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def replayed(self) -> set[str]:
        """Return the ids of the dead letters that were sent in again."""
        return {name for (name,) in self._db.execute("SELECT id FROM replayed")}

    def letters(self, limit: int) -> Iterator[ev.DeadLetter]:
        """Yield the newest dead letters."""
        query = "SELECT value FROM log WHERE topic = 'dead-letters' ORDER BY \"offset\" DESC LIMIT ?"
        for (value,) in self._db.execute(query, (limit,)):
            event = self._event(value)
            if isinstance(event, ev.DeadLetter):
                yield event

    def _event(self, value: bytes | None) -> ev.Event | None:
        try:
            return self._codec.decode(value or b"")
        except BadInput:
            return None
