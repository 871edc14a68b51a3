"""What a new master key means for a data directory: all that is sealed there is wrapped by it at the next start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from schemas import events as ev
from schemas.codec import Codec
from streams.desk import Desk
from streams.local.store import Row, Store
from streams.privacy.check import note_rewrapped, to_rewrap
from streams.privacy.letters import rewrapped_letter
from streams.privacy.log import MARK
from streams.privacy.vault import Vault

_PAGE = 5_000


def rewrap(store: Store, codec: Codec, vault: Vault | None, desks: Sequence[Desk[Any]]) -> None:
    """Wrap data keys of states, of rows of the log and of dead letters by the current master key, where one is new.

    It is one transaction, and reads the whole log: a master key is rarely rotated.
    """
    if vault is None or not to_rewrap(store, vault):
        return
    with store.transaction():
        for desk in desks:
            for _ in desk.rewrap(_PAGE):
                pass
        store.overwrite([store.seal.rewrapped(row, vault) for row in store.beginning(MARK)])
        store.overwrite(list(_letters(store, codec, vault)))
        note_rewrapped(store, vault)


def _letters(store: Store, codec: Codec, vault: Vault) -> Iterator[Row]:
    for position, topic, offset, key, value, headers, timestamp, inbound in store.of_topic("dead-letters"):
        letter = codec.decode(value or b"")
        if isinstance(letter, ev.DeadLetter) and letter.sealed is not None:
            again = codec.encode(rewrapped_letter(letter, vault))
            yield (position, topic, offset, key, again, headers, timestamp, inbound)
