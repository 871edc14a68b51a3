"""A data directory of the local runtime, read beside the process that writes it.

Only what is committed is seen. Nothing is written: SQLite's write-ahead log lets one process write while others read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import BadInput, Fatal
from state.storage import unpack
from streams.at_work import agents_at_work
from streams.desk import read_fact
from streams.local.store import Tables
from streams.privacy.check import NAME
from streams.privacy.key_file import FileKeys
from streams.privacy.log import LogSeal
from streams.privacy.opening import local_keys
from streams.privacy.sealed import SEALED, ReadRows, open_state
from streams.privacy.vault import Vault

KINDS: dict[str, type[Struct]] = {agent.name: kind for agent, kind in agents_at_work()}


class Ledger(Tables):
    """What a local runtime has committed. For the thread that opened it."""

    def __init__(self, folder: Path) -> None:
        path = folder / "reprieve.db"
        if not path.exists():
            raise Fatal(f"There is no data in {folder}. Publish events into it first, or name another with --data.")
        super().__init__(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None))
        self._codec = Codec()
        # A data directory of an earlier release has no master keys, and nothing in it is sealed.
        self._vault = Vault(FileKeys(local_keys(folder)).ring()) if self.meta(NAME) else None
        self.seal = LogSeal(self._vault)

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def after(self, position: int, limit: int) -> list[tuple[int, ev.Event | None]]:
        """Return what the log has behind a position, in order; None stands for what nobody can read."""
        query = "SELECT * FROM log WHERE position > ? ORDER BY position LIMIT ?"
        rows = (self.seal.opened(row) for row in self.db.execute(query, (position, limit)))
        return [(row[0], self._event(row[4])) for row in rows]

    def state(self, agent: str, key: str) -> Struct | None:
        """Return what an agent keeps of a key, None where it knows nothing of it."""
        found = dict(self.states(agent, [key])).get(key)
        return None if found is None else unpack(open_state(self._vault, agent, key, found), KINDS[agent])

    def history(self, agent: str, key: str) -> list[tuple[str, ev.Event]]:
        """Return the facts of a key: what came in, and what was said of it."""
        rows = ReadRows(self, self._vault) if agent in SEALED else self
        # Facts and the state that has their data key as of one moment: an erasure changes both.
        self.db.execute("BEGIN")
        try:
            return [(name, read_fact(value)) for name, value in rows.facts(agent, key)]
        finally:
            self.db.execute("COMMIT")

    def keys(self, agent: str, begins: str, limit: int) -> list[str]:
        """Return keys that begin with a text, in order."""
        query = "SELECT key FROM state WHERE agent = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"
        return [k for (k,) in self.db.execute(query, (agent, begins, begins + "\U0010ffff", limit))]

    def letters(self, limit: int) -> Iterator[ev.DeadLetter]:
        """Yield the newest dead letters."""
        query = "SELECT value FROM log WHERE topic = 'dead-letters' ORDER BY \"offset\" DESC LIMIT ?"
        for (value,) in self.db.execute(query, (limit,)):
            event = self._event(value)
            if isinstance(event, ev.DeadLetter):
                yield event

    def _event(self, value: bytes | None) -> ev.Event | None:
        try:
            return self._codec.decode(value or b"")
        except BadInput:
            return None
