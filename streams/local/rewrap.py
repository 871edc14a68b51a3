"""What a new master key means for a data directory: all that is sealed there is wrapped by it at the next start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from schemas import events as ev
from schemas.codec import Codec
from streams.engine.agent_store import AgentStateStore
from streams.engine.quarantine import Quarantine
from streams.local.store import Store
from streams.security.dead_letters import rewrap_dead_letter
from streams.security.key_check import mark_rewrapped, needs_rewrap
from streams.security.sealed_log import MARK, LogRecord
from streams.security.vault import Vault

_PAGE = 5_000


def rewrap(
    store: Store, codec: Codec, vault: Vault | None, stores: Sequence[AgentStateStore[Any]], quarantine: Quarantine
) -> None:
    """Wrap data keys of states, the log, the quarantine and dead letters by the current master key, where one is new.

    It is one transaction, and reads the whole log: a master key is rarely rotated.
    """
    if vault is None or not needs_rewrap(store, vault):
        return
    with store.transaction():
        for agent_store in stores:
            for _ in agent_store.rewrap(_PAGE):
                pass
        quarantine.rewrap()
        store.overwrite([store.seal.rewrapped(row, vault) for row in store.beginning(MARK)])
        store.overwrite(list(_letters(store, codec, vault)))
        mark_rewrapped(store, vault)


def _letters(store: Store, codec: Codec, vault: Vault) -> Iterator[LogRecord]:
    for record in store.of_topic("dead-letters"):
        letter = codec.decode(record.value or b"")
        if isinstance(letter, ev.DeadLetter) and letter.sealed is not None:
            yield record._replace(value=codec.encode(rewrap_dead_letter(letter, vault)))
