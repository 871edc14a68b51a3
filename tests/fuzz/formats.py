"""The doors through which bytes come in: the codec, schemas, lines, container files, packs, states and settings."""

from __future__ import annotations

import io
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from msgspec import Struct

from schemas import contracts
from schemas import events as ev
from schemas.binary_encoding import REFUSALS
from schemas.codec import CONFLUENT, SINGLE_OBJECT, Codec
from schemas.containers import Ahead
from schemas.containers import read as read_container
from schemas.errors import FatalError, InvalidEventError, Rejected, UsageError
from schemas.jsonlines import from_line, to_line
from schemas.resolution import SchemaReader, reading_of
from schemas.topics import TOPICS, key_of
from schemas.validation import check
from state.account import AccountState
from state.borrower import BorrowerState
from state.learning import LearnerState
from state.policy_packs.book import parse_book
from state.policy_packs.loader import load_pack, pack_names
from state.policy_packs.merge import resolve
from state.policy_packs.pack import parse_pack
from state.policy_packs.problems import PackError
from state.storage import pack, unpack
from streams.engine.deserializer import read_event
from streams.settings import Settings
from tests.fuzz import seeds
from tests.fuzz.invariants import Target, ensure
from tests.support.file_registry import FileRegistry

CODEC = Codec()
STORED: tuple[type[Struct], ...] = (AccountState, BorrowerState, LearnerState)


def same_again(event: ev.Event) -> None:
    """Hold that an event keeps its contract, and comes back from bytes and from a line as it is."""
    check(event)
    ensure(CODEC.decode(CODEC.encode(event)) == event, "what is encoded is not what is decoded")
    ensure(from_line(to_line(event)) == event, "what is written as a line is not what is read")


# -- the codec, in both framings


@cache
def _registered() -> Codec:
    registry = FileRegistry()
    codec = Codec(registry)
    codec.prepare((kind, None) for kind in ev.EVENT_TYPES.values())
    return codec


@cache
def _frames() -> tuple[bytes, ...]:
    names = sorted(ev.EVENT_TYPES)
    single = [SINGLE_OBJECT + contracts.fingerprint(contracts.schema_of(name)) for name in names]
    return (*single, *(CONFLUENT + number.to_bytes(4, "big") for number in range(1, len(names) + 1)))


def decoded(data: bytes) -> None:
    """Decode bytes as they are, and behind the frame that their first byte chooses."""
    _decoded(CODEC, data)
    if data:
        frames = _frames()
        frame = frames[data[0] % len(frames)]
        _decoded(_registered() if frame[:1] == CONFLUENT else CODEC, frame + data[1:])


def _decoded(codec: Codec, data: bytes) -> None:
    try:
        event = codec.decode(data)
    except InvalidEventError as bad:
        ensure(bool(bad.code) and bad.message.endswith("."), "a refusal without a code or a sentence")
        return
    same_again(event)
    for topic, known in TOPICS.items():
        if type(event) in known.records:
            key = key_of(event)
            ensure(
                read_event(topic, None if key is None else key.encode(), codec.encode(event), codec) == event, "read"
            )
            return


def _codec_seeds() -> list[bytes]:
    names, frames = sorted(ev.EVENT_TYPES), _frames()
    out = seeds.framed()
    for event in seeds.examples():
        place = names.index(type(event).__name__)
        out += [bytes([place]) + CODEC.encode(event)[10:], bytes([place + len(names)]) + CODEC.encode(event)[10:]]
    assert 2 * len(names) == len(frames) <= 256
    return out


# -- schemas of other writers


def resolved(data: bytes) -> None:
    """Read Avro with a foreign schema; the quick reader and the plain one must agree."""
    head, _, body = data.partition(b"\0")
    schema = head.decode("utf-8", "replace")
    registry = FileRegistry()
    registry.id_of("fuzz", schema)
    codec = Codec(registry)
    frame = CONFLUENT + (1).to_bytes(4, "big")
    try:
        event: ev.Event | None = codec.decode(frame + body)
    except InvalidEventError:
        event = None
    if event is not None:
        same_again(event)
    try:
        reading = reading_of(*contracts.parsed(json.loads(schema)))
    except (InvalidEventError, ValueError, RecursionError):
        ensure(event is None, "an event of a schema that cannot be used")
        return
    ensure(_plainly(reading, body) == event, "the quick reader and the plain one differ")


def _plainly(reading: SchemaReader, body: bytes) -> ev.Event | None:
    try:
        event, end = reading._typed(body, 0)
    except (InvalidEventError, *REFUSALS):
        return None
    return event if end == len(body) else None


# -- lines and container files


def lined(data: bytes) -> None:
    """Read a JSON line."""
    try:
        event = from_line(data)
    except InvalidEventError as bad:
        ensure(bad.message.endswith(".") or bad.message.endswith("?"), "a refusal without a sentence")
        return
    same_again(event)


def contained(data: bytes) -> None:
    """Read a container file."""
    for found in read_container(Ahead(cast(BinaryIO, io.BytesIO(data))), "fuzz"):
        ensure(isinstance(found, ev.Event | Rejected), "neither an event nor a refusal")
        if isinstance(found, ev.Event):
            same_again(found)


# -- rules


def packed(data: bytes) -> None:
    """Read a policy pack, and what it makes of the house's."""
    text = data.decode("utf-8", "replace")
    try:
        made = parse_pack(text, "fuzz.yaml")
        resolve([load_pack("house"), made], made.name)
    except PackError as error:
        ensure(all(p.line >= 1 and p.reason and p.remedy for p in error.problems), "a problem without place or remedy")
        ensure(bool(error.problems), "an error without a problem")


def booked(data: bytes) -> None:
    """Read a book."""
    try:
        book = parse_book(data.decode("utf-8", "replace"), "fuzz.yaml", frozenset(pack_names()))
    except PackError as error:
        ensure(bool(error.problems), "an error without a problem")
        return
    ensure(bool(book.packs_for("CN", "credit_card")), "a book without packs for an account")
    book.place_of("US-CA")


# -- what is stored


def unpacked(data: bytes) -> None:
    """Read stored states of every kind; a state that is read is written and read back the same."""
    kind = STORED[data[0] % len(STORED)] if data else AccountState
    try:
        state = unpack(data[1:], kind)
    except FatalError:
        return
    again = pack(state)
    ensure(unpack(again, kind) == state, "a state that was read is not what is read back")
    ensure(pack(unpack(again, kind)) == again, "a state has two forms of bytes")


@cache
def _stored_seeds() -> tuple[bytes, ...]:
    from tests.fuzz.histories import states_of_histories

    return tuple(bytes([STORED.index(type(state))]) + pack(state) for state in states_of_histories())


# -- settings


def set_up(data: bytes) -> None:
    """Load a settings file."""
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        try:
            made: Any = Settings.load(Path(file.name))
        except UsageError:
            return
    ensure(made.topics.partitions >= 1, "no partition")


FORMATS = (
    Target("codec", _codec_seeds, decoded),
    Target("schemas", seeds.with_their_schemas, resolved),
    Target("lines", seeds.lines, lined),
    Target("containers", seeds.containers, contained),
    Target("packs", seeds.packs, packed),
    Target("books", seeds.books, booked),
    Target("states", lambda: list(_stored_seeds()), unpacked),
    Target("settings", seeds.settings, set_up),
)
