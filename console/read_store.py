"""The read side of a data directory of the local runtime, or of the console's cache of a Kafka deployment.

It reads what is committed, beside the process that writes, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec import Struct

from console import cache
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import InvalidEventError
from state.storage import unpack
from streams.engine.agent_store import join
from streams.engine.agents import all_agents
from streams.engine.quarantine import HeldKey, held_in
from streams.engine.stored_facts import read_fact
from streams.local.store import FILE, ReadTables, faults_of_data
from streams.security.sealed_rows import SEALED, ReadRows, open_state
from streams.security.vault import Vault

KINDS: dict[str, type[Struct]] = {agent.name: kind for agent, kind in all_agents()}
# How states hold the facts that wait for their day, of agents that have such facts.
WAITING = {agent.name: agent.waiting for agent, _ in all_agents() if agent.waiting is not None}


class ReadStore(ReadTables):
    """States, histories and the log, for the thread that opened the store."""

    def __init__(self, folder: Path, file: str = FILE, vault: Vault | None = None) -> None:
        super().__init__(folder, file, vault)
        self._codec = Codec()

    def faults(self) -> AbstractContextManager[None]:
        """Raise SQLite's errors as StorageError, with the remedy."""
        return cache.cache_faults(self.path) if self.path.name == cache.FILE else faults_of_data(self.path)

    def after(self, position: int, limit: int) -> list[tuple[int, ev.Event | None]]:
        """Return the log's rows after a position, in order; None for an unreadable value."""
        query = "SELECT * FROM log WHERE position > ? ORDER BY position LIMIT ?"
        rows = (self.seal.opened(row) for row in self.db.execute(query, (position, limit)))
        return [(row[0], self._event(row[4])) for row in rows]

    def state(self, agent: str, key: str) -> Struct | None:
        """Return an agent's state of a key, None where there is none."""
        # State and facts as of one moment: together they are the state.
        self.db.execute("BEGIN")
        try:
            found = dict(self.states(agent, [key])).get(key)
            waited = self.waited(agent, key) if agent in WAITING else []
        finally:
            self.db.execute("COMMIT")
        if found is None:
            return None
        state = unpack(open_state(self.vault, agent, key, found), KINDS[agent])
        return join(WAITING[agent], state, waited) if waited else state

    def history(self, agent: str, key: str) -> list[tuple[str, ev.Event]]:
        """Return the facts of a key by name: inbound events, and those that the agent emitted."""
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

    def held(self) -> dict[tuple[str, str], HeldKey]:
        """Return the keys in quarantine, by agent and key."""
        return {names: held.row for names, held in held_in(self.quarantined()).items()}

    def dead_letters(self, limit: int, before: int | None = None) -> Iterator[tuple[int, ev.DeadLetter]]:
        """Yield dead letters with their offsets, the latest first; before: only those before an offset."""
        query = (
            'SELECT "offset", value FROM log WHERE topic = \'dead-letters\' AND "offset" < ? '
            'ORDER BY "offset" DESC LIMIT ?'
        )
        for at, value in self.db.execute(query, (2**62 if before is None else before, limit)):
            event = self._event(value)
            if isinstance(event, ev.DeadLetter):
                yield at, event

    def erasures(self) -> Iterator[ev.PersonalDataErased]:
        """Yield the records of erasures in the order of the log."""
        query = "SELECT value FROM log WHERE topic = 'audit' ORDER BY \"offset\""
        for (value,) in self.db.execute(query):
            event = self._event(value)
            if isinstance(event, ev.PersonalDataErased):
                yield event

    def waiting(self) -> int:
        """Return how many inbound records are not processed yet."""
        query = "SELECT COUNT(*) FROM log WHERE position > ? AND inbound = 1"
        return int(self.db.execute(query, (int(self.meta("done") or 0),)).fetchone()[0])

    def _event(self, value: bytes | None) -> ev.Event | None:
        try:
            return self._codec.decode(value or b"")
        except InvalidEventError:
            return None
