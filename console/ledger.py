"""A data directory of the local runtime, or the console's own file of a Kafka deployment, read beside who writes it.

Only what is committed is seen, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import BadInput
from state.storage import unpack
from streams.at_work import agents_at_work
from streams.desk import read_fact
from streams.local.beside import FILE, ReadTables
from streams.privacy.sealed import SEALED, ReadRows, open_state
from streams.privacy.vault import Vault

KINDS: dict[str, type[Struct]] = {agent.name: kind for agent, kind in agents_at_work()}


class Ledger(ReadTables):
    """What is committed of it. For the thread that opened it."""

    def __init__(self, folder: Path, file: str = FILE, vault: Vault | None = None) -> None:
        super().__init__(folder, file, vault)
        self._codec = Codec()

    def after(self, position: int, limit: int) -> list[tuple[int, ev.Event | None]]:
        """Return what the log has behind a position, in order; None stands for what nobody can read."""
        query = "SELECT * FROM log WHERE position > ? ORDER BY position LIMIT ?"
        rows = (self.seal.opened(row) for row in self.db.execute(query, (position, limit)))
        return [(row[0], self._event(row[4])) for row in rows]

    def state(self, agent: str, key: str) -> Struct | None:
        """Return what an agent keeps of a key, None where it knows nothing of it."""
        found = dict(self.states(agent, [key])).get(key)
        return None if found is None else unpack(open_state(self.vault, agent, key, found), KINDS[agent])

    def history(self, agent: str, key: str) -> list[tuple[str, ev.Event]]:
        """Return the facts of a key: what came in, and what was said of it."""
        rows = ReadRows(self, self.vault) if agent in SEALED else self
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
        return (letter for _, letter in self.letters_before(None, limit))

    def letters_before(self, offset: int | None, limit: int) -> Iterator[tuple[int, ev.DeadLetter]]:
        """Yield dead letters before an offset of their topic, the newest first, with their offsets; None: of all."""
        query = (
            'SELECT "offset", value FROM log WHERE topic = \'dead-letters\' AND "offset" < ? '
            'ORDER BY "offset" DESC LIMIT ?'
        )
        for at, value in self.db.execute(query, (2**62 if offset is None else offset, limit)):
            event = self._event(value)
            if isinstance(event, ev.DeadLetter):
                yield at, event

    def erasures(self) -> Iterator[ev.PersonalDataErased]:
        """Yield the proofs of erasures, in the order in which they were given."""
        query = "SELECT value FROM log WHERE topic = 'audit' ORDER BY \"offset\""
        for (value,) in self.db.execute(query):
            event = self._event(value)
            if isinstance(event, ev.PersonalDataErased):
                yield event

    def waiting(self) -> int:
        """Return how many records came in and are not processed yet."""
        query = "SELECT COUNT(*) FROM log WHERE position > ? AND inbound = 1"
        return int(self.db.execute(query, (int(self.meta("done") or 0),)).fetchone()[0])

    def _event(self, value: bytes | None) -> ev.Event | None:
        try:
            return self._codec.decode(value or b"")
        except BadInput:
            return None
