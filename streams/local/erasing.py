"""What erasure means for a data directory: rows of its log are overwritten, in the file and in the write-ahead log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from agents.planner.erasure import emptied, is_withdrawn, scrubbed
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import InvalidEventError
from schemas.topics import PERSONAL_TOPICS
from state.borrower import BorrowerState
from streams.local.store import NO_HEADERS, Row, Store
from streams.security.dead_letters import open_dead_letter
from streams.security.vault import Vault

_TO_FOLD = "to_fold"


class Erased(Struct, frozen=True):
    """How much of a borrower goes: what the state says is erased or withdrawn, and what was said before a position.

    What is reported or offered anew behind an erasure stays, wherever the batch ends.
    """

    state: BorrowerState
    before: int


def note_erased(noted: dict[str, Erased], event: ev.Event, state: BorrowerState, position: int) -> None:
    """Note that an event erased a borrower, or withdrew a consent. position: that of the next record."""
    key = state.borrower_id
    before = noted[key].before if key in noted else 0
    # Without a request, only records go that came in late or under that consent.
    noted[key] = Erased(state, position if isinstance(event, ev.ErasureRequested) else before)


def overwritten(store: Store, codec: Codec, vault: Vault | None, borrowers: Mapping[str, Erased], done: int) -> None:
    """Empty what the log has of borrowers who were erased or withdrew a consent, and what was refused of it.

    done: the position of the last record that was processed; what came in behind it has yet to be read.
    It reads the whole of these topics, which an erasure, being rare, may cost.
    """
    if borrowers:
        keys = {name.encode(): erased for name, erased in borrowers.items()}
        # What is said of an offer tells of its borrower too; what is refused of these topics, nothing.
        for topic in sorted(PERSONAL_TOPICS | {"offers", "decisions"}):
            store.overwrite(list(_emptied(store, codec, topic, keys, done)))
        store.overwrite(list(_letters(store, codec, vault, keys)))
        store.set_meta(_TO_FOLD, "yes")


def folded(store: Store) -> None:
    """Empty the write-ahead log of what was written over; while somebody reads, it is for the next batch to do."""
    if store.meta(_TO_FOLD) and store.fold():
        store.set_meta(_TO_FOLD, "")


def _emptied(store: Store, codec: Codec, topic: str, keys: Mapping[bytes, Erased], done: int) -> Iterator[Row]:
    for position, _, offset, key, value, headers, timestamp, inbound in store.of_topic(topic):
        erased = None if key is None else keys.get(key)
        if erased is None or position >= (done + 1 if inbound else erased.before):
            continue
        try:
            event = codec.decode(value or b"")
        except InvalidEventError:
            if not erased.state.erased:
                continue
            left: bytes | None = None
        else:
            left_event = emptied(event, erased.state) if inbound else scrubbed(event)
            if left_event is event:
                continue
            left = codec.encode(left_event)
        kept = NO_HEADERS if inbound else headers
        if left != value or headers != kept:
            yield (position, topic, offset, key, left, kept, timestamp, inbound)


def _letters(store: Store, codec: Codec, vault: Vault | None, keys: Mapping[bytes, Erased]) -> Iterator[Row]:
    for position, topic, offset, _, value, headers, timestamp, inbound in store.of_topic("dead-letters"):
        letter = codec.decode(value or b"")
        if isinstance(letter, ev.DeadLetter) and letter.topic in PERSONAL_TOPICS:
            whole = open_dead_letter(letter, vault)
            erased = keys.get(whole.key or b"")
            if erased is None or (position >= erased.before and not _reports_withdrawn(whole, codec, erased.state)):
                continue
            # There is nothing left to send in again.
            store.mark_replayed(letter.event_id)
            left = codec.encode(replace(letter, key=None, value=None, headers={}, sealed=None))
            yield (position, topic, offset, None, left, headers, timestamp, inbound)


def _reports_withdrawn(letter: ev.DeadLetter, codec: Codec, state: BorrowerState) -> bool:
    """Say whether what was refused reports means whose consent is withdrawn."""
    try:
        return is_withdrawn(codec.decode(letter.value or b""), state)
    except InvalidEventError:
        return False
