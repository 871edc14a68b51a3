"""What erasure means for a data directory: rows of its log are overwritten, in the file and in the write-ahead log."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec.structs import replace

from agents.erasure import scrubbed
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import BadInput
from streams.local.record import NO_HEADERS
from streams.local.store import Row, Store
from streams.privacy.letters import opened_letter
from streams.privacy.log import PERSONAL_TOPICS
from streams.privacy.vault import Vault

_TO_FOLD = "to_fold"


def overwritten(store: Store, codec: Codec, vault: Vault | None, borrowers: Collection[str]) -> None:
    """Empty what the log has of borrowers who were erased: what they said, and what was refused of it.

    It reads the whole of these topics, which an erasure, being rare, may cost.
    """
    if borrowers:
        keys = {name.encode() for name in borrowers}
        # What is said of an offer tells of its borrower too; what is refused of these topics, nothing.
        for topic in sorted(PERSONAL_TOPICS | {"offers", "decisions"}):
            store.overwrite(list(_emptied(store, codec, topic, keys)))
        store.overwrite(list(_letters(store, codec, vault, keys)))
        store.set_meta(_TO_FOLD, "yes")


def folded(store: Store) -> None:
    """Empty the write-ahead log of what was written over; while somebody reads, it is for the next batch to do."""
    if store.meta(_TO_FOLD) and store.fold():
        store.set_meta(_TO_FOLD, "")


def _emptied(store: Store, codec: Codec, topic: str, keys: Collection[bytes]) -> Iterator[Row]:
    for position, _, offset, key, value, headers, timestamp, inbound in store.of_topic(topic):
        if key not in keys:
            continue
        try:
            event = codec.decode(value or b"")
        except BadInput:
            left: bytes | None = None
        else:
            left = codec.encode(scrubbed(event))
        kept = NO_HEADERS if inbound else headers
        if left != value or headers != kept:
            yield (position, topic, offset, key, left, kept, timestamp, inbound)


def _letters(store: Store, codec: Codec, vault: Vault | None, keys: Collection[bytes]) -> Iterator[Row]:
    for position, topic, offset, key, value, headers, timestamp, inbound in store.of_topic("dead-letters"):
        letter = codec.decode(value or b"")
        if isinstance(letter, ev.DeadLetter) and letter.topic in PERSONAL_TOPICS and _is_of(letter, vault, keys):
            # There is nothing left to send in again.
            store.mark_replayed(letter.event_id)
            left = codec.encode(replace(letter, key=None, value=None, headers={}, sealed=None))
            yield (position, topic, offset, key, left, headers, timestamp, inbound)


def _is_of(letter: ev.DeadLetter, vault: Vault | None, keys: Collection[bytes]) -> bool:
    return opened_letter(letter, vault).key in keys
