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
from streams.local.store import Store
from streams.security.dead_letters import open_dead_letter
from streams.security.sealed_log import NO_HEADERS, LogRecord
from streams.security.vault import Vault

_TRUNCATE = "to_fold"


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


def overwrite_erased(
    store: Store, codec: Codec, vault: Vault | None, borrowers: Mapping[str, Erased], done: int
) -> None:
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
        store.set_meta(_TRUNCATE, "yes")


def truncate_wal(store: Store) -> None:
    """Empty the write-ahead log of what was written over; while somebody reads, it is for the next batch to do."""
    if store.meta(_TRUNCATE) and store.truncate_wal():
        store.set_meta(_TRUNCATE, "")


def _emptied(store: Store, codec: Codec, topic: str, keys: Mapping[bytes, Erased], done: int) -> Iterator[LogRecord]:
    for record in store.of_topic(topic):
        erased = None if record.key is None else keys.get(record.key)
        if erased is None or record.position >= (done + 1 if record.inbound else erased.before):
            continue
        try:
            event = codec.decode(record.value or b"")
        except InvalidEventError:
            if not erased.state.erased:
                continue
            left: bytes | None = None
        else:
            left_event = emptied(event, erased.state) if record.inbound else scrubbed(event)
            if left_event is event:
                continue
            left = codec.encode(left_event)
        kept = record._replace(value=left, packed_headers=NO_HEADERS if record.inbound else record.packed_headers)
        if kept != record:
            yield kept


def _letters(store: Store, codec: Codec, vault: Vault | None, keys: Mapping[bytes, Erased]) -> Iterator[LogRecord]:
    for record in store.of_topic("dead-letters"):
        letter = codec.decode(record.value or b"")
        if isinstance(letter, ev.DeadLetter) and letter.topic in PERSONAL_TOPICS:
            whole = open_dead_letter(letter, vault)
            erased = keys.get(whole.key or b"")
            if erased is None or (
                record.position >= erased.before and not _reports_withdrawn(whole, codec, erased.state)
            ):
                continue
            # There is nothing left to send in again.
            store.mark_replayed(letter.event_id)
            left = codec.encode(replace(letter, key=None, value=None, headers={}, sealed=None))
            yield record._replace(key=None, value=left)


def _reports_withdrawn(letter: ev.DeadLetter, codec: Codec, state: BorrowerState) -> bool:
    """Say whether what was refused reports means whose consent is withdrawn."""
    try:
        return is_withdrawn(codec.decode(letter.value or b""), state)
    except InvalidEventError:
        return False
