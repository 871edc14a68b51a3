"""An agent's rows, sealed on their way into the store and opened on their way out.

A key's state carries the wrapped data key, and its facts are sealed under the same one. So the key is in the same
transaction as the data, moves with the partition, and is destroyed with the state that it stands in: who renews it
(`renew`) writes state and facts anew, and what is left of the old rows anywhere opens no more.

Rows that an earlier release stored in the clear are read as they are, and are sealed when they are next written.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from schemas.errors import FatalError
from streams.security.vault import DataKey, Vault, is_sealed, open_part, seal_part, wrapper_of_sealed
from streams.state_rows import SEPARATOR, ReadableRows, StateRows

# The agents whose rows are about persons. An account's rows are its ledger, under opaque ids.
SEALED = frozenset({"planner"})
_CACHED = 50_000


class ReadRows:
    """Rows of sealed agents, opened."""

    def __init__(self, rows: ReadableRows, vault: Vault | None) -> None:
        self._readable = rows
        self._vault = vault
        # Data keys by agent and key, the least recently used first; all of them follow from stored states.
        self._keys: OrderedDict[tuple[str, str], DataKey] = OrderedDict()

    def states(self, agent: str, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the stored states of keys; those that have none are left out."""
        while len(self._keys) > _CACHED:
            self._keys.popitem(last=False)
        for key, value in self._readable.states(agent, keys):
            yield key, self._opened(agent, key, value)

    def facts(self, agent: str, key: str) -> list[tuple[str, bytes]]:
        """Return all facts of a key by fact key, in the order of these."""
        found = self._readable.facts(agent, key)
        if any(is_sealed(value) for _, value in found):
            self._fetch(agent, [key])
        return [(name, self._opened_fact(agent, key + SEPARATOR + name, value)) for name, value in found]

    def _fetch(self, agent: str, keys: Iterable[str]) -> None:
        """Take up the data keys of stored states."""
        missing = sorted({key for key in keys if (agent, key) not in self._keys})
        for key, value in self._readable.states(agent, missing) if missing else ():
            if is_sealed(value):
                found = require_vault(self._vault, agent, key).key_of(value, scope_of(agent, key))
                self._keys[agent, key] = found

    def _held(self, agent: str, key: str) -> DataKey:
        held = self._keys.get((agent, key))
        if held is None:
            raise FatalError(
                f"Facts of {agent} {key} are sealed, and its state, which has their data key, is missing. Restore it "
                "from its changelog or a backup."
            )
        return held

    def _opened(self, agent: str, key: str, value: bytes) -> bytes:
        if not is_sealed(value):
            return value
        vault, scope = require_vault(self._vault, agent, key), scope_of(agent, key)
        held = self._keys.get((agent, key))
        if held is None:
            held = self._keys[agent, key] = vault.key_of(value, scope)
        else:
            self._keys.move_to_end((agent, key))
        return vault.open(value, scope, held)

    def _opened_fact(self, agent: str, name: str, value: bytes) -> bytes:
        if not is_sealed(value):
            return value
        key = name.split(SEPARATOR)[0]
        require_vault(self._vault, agent, key)
        return open_part(value, scope_of(agent, name), self._held(agent, key))


class SealedRows(ReadRows):
    """Rows of sealed agents, sealed and opened. Without a vault (`privacy.mode = "off"`) new rows stay in the clear."""

    def __init__(self, rows: StateRows, vault: Vault | None) -> None:
        super().__init__(rows, vault)
        self._rows = rows

    def waiting(self, agent: str, keys: Sequence[str], after: int) -> Iterator[tuple[str, bytes]]:
        """Yield the facts of keys that wait for a day behind another, by id; no sealed agent has any."""
        return self._rows.waiting(agent, keys, after)

    def waiting_keys(self, agent: str) -> Iterable[str]:
        """Return the key of each fact that waits; no sealed agent has any."""
        return self._rows.waiting_keys(agent)

    def due(self, agent: str, through: int) -> list[str]:
        """Return the keys that may be due by a day."""
        return self._rows.due(agent, through)

    def visited(self, agent: str, keys: Sequence[str]) -> None:
        """Note that of keys which `due` has returned none is due any more."""
        self._rows.visited(agent, keys)

    def end_waiting(self, agent: str, facts: Iterable[tuple[int, str]]) -> None:
        """Note that facts, by day and id, wait no more."""
        self._rows.end_waiting(agent, facts)

    def keys(self, agent: str) -> list[str]:
        """Return all keys that have a state."""
        return self._rows.keys(agent)

    def known(self, agent: str, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield those facts that are recorded, by id."""
        found = list(self._rows.known(agent, ids))
        self._fetch(agent, [name.split(SEPARATOR)[0] for name, value in found if is_sealed(value)])
        for name, value in found:
            yield name, self._opened_fact(agent, name, value)

    def put_states(self, rows: Iterable[tuple[str, str, bytes, int | None]]) -> None:
        """Store states by agent and key, with the day when each is due; the latest of a key stands."""
        vault = self._vault
        if vault is None:
            self._rows.put_states(rows)
            return
        given = list(rows)
        for agent in {row[0] for row in given}:
            self._fetch(agent, [row[1] for row in given])
        self._rows.put_states(
            (agent, key, vault.seal(value, scope_of(agent, key), self._key(agent, key, vault)), due)
            for agent, key, value, due in given
        )

    def put_facts(self, rows: Iterable[tuple[str, str, bytes]]) -> None:
        """Record facts by agent and id; one that exists is replaced. Their keys have states, which are stored first."""
        vault = self._vault
        if vault is None:
            self._rows.put_facts(rows)
            return
        given = list(rows)
        for agent in {row[0] for row in given}:
            self._fetch(agent, [row[1].split(SEPARATOR)[0] for row in given])
        self._rows.put_facts(
            (agent, name, seal_part(value, scope_of(agent, name), self._held(agent, name.split(SEPARATOR)[0])))
            for agent, name, value in given
        )

    def outdated(self, agent: str, keys: Sequence[str]) -> list[str]:
        """Return those of keys whose data key is wrapped by an older master key, in their order."""
        if self._vault is None:
            return []
        current, found = self._vault.masters.current, []
        for key, value in self._rows.states(agent, keys):
            if is_sealed(value) and wrapper_of_sealed(value, scope_of(agent, key)) != current:
                found.append(key)
        return sorted(found)

    def renew(self, agent: str, key: str) -> None:
        """Give a key another data key: its state and all of its facts must be stored next, in this batch."""
        if self._vault is not None:
            self._keys[agent, key] = self._vault.new_key(scope_of(agent, key))

    def forget(self) -> None:
        """Drop the data keys of a batch that did not happen."""
        self._keys.clear()

    def _key(self, agent: str, key: str, vault: Vault) -> DataKey:
        """Return a key's data key, a new one where its stored state has none."""
        held = self._keys.get((agent, key))
        if held is None:
            held = self._keys[agent, key] = vault.new_key(scope_of(agent, key))
        return held


def open_state(vault: Vault | None, agent: str, key: str, value: bytes) -> bytes:
    """Return a stored state's bytes, for whoever reads rows that another process wrote; in the clear as they are."""
    if not is_sealed(value):
        return value
    return require_vault(vault, agent, key).open(value, scope_of(agent, key))


def require_vault(vault: Vault | None, agent: str, key: str) -> Vault:
    """Return the vault that a sealed row asks for. Raises FatalError where there is none."""
    if vault is None:
        raise FatalError(
            f"The row of {agent} {key} is sealed, and no master keys are set. Set privacy.master_keys_file (and "
            "privacy.kms_url where a KMS has wrapped them); privacy.mode must not be off."
        )
    return vault


def scope_of(agent: str, name: str) -> bytes:
    """Return what a row is for: its agent, and its key or its fact's id."""
    return f"{agent}{SEPARATOR}{name}".encode()
