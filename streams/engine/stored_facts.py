"""Facts as bytes: the event as MessagePack, behind the day for which it waits.

| fact | bytes |
|---|---|
| waits for its day, or waited for it when it was stored | the day (4 bytes big-endian, proleptic ordinal), the event |
| the same, stored as it came | the day, the record's Avro in single-object framing |
| other | the event |

An event is a MessagePack map, single-object framing begins with the byte 0xC3, and a day with a zero byte, so each is
told by its first byte. A sealed fact
(`streams.security.vault`) begins with a zero byte too; as a day it would be one before the year 540, and the days of
events are in the years 1900 to 2199. The day stays when its day is closed: a fact waits no more once its key's state
has folded that day.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from types import GenericAlias, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

import msgspec
from msgspec import Struct, field
from msgspec.structs import asdict, fields

from schemas import events as ev
from schemas import resolution
from schemas.codec import SINGLE_OBJECT, Codec

_DAY = 4
# The second byte of a day; a lower one is of a sealed fact.
_FIRST_DAY = 3
_encode = msgspec.msgpack.Encoder().encode
# Its readers know the schemas of all releases, so no registry is needed.
_codec = Codec()


def encode_fact(event: ev.Event, day: int = 0) -> bytes:
    """Return a fact's bytes. day: for which it waits (ordinal), 0 for none."""
    return day.to_bytes(_DAY, "big") + _encode(event) if day else _encode(event)


def stored_as_it_came(avro: bytes, day: int) -> bytes:
    """Return a fact's bytes where it merely waits for a day (ordinal). avro: its record's value, of a known schema."""
    return day.to_bytes(_DAY, "big") + avro


def waiting_day(value: bytes) -> int:
    """Return the day (ordinal) for which a stored fact waited when it was stored, 0 for none."""
    return 0 if value[0] or value[1] < _FIRST_DAY else int.from_bytes(value[:_DAY], "big")


def read_fact(value: bytes) -> ev.AnyEvent:
    """Return the event of a stored fact. Raises msgspec.ValidationError where it is none."""
    if value[0]:
        return _read(value)
    event = value[_DAY:]
    return cast(ev.AnyEvent, _codec.decode(event)) if event[0] == SINGLE_OBJECT[0] else _read(event)


def _unchecked(kind: Any) -> Any:
    """Return a type without the constraints on its values: lengths, patterns, ranges."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _unchecked(inner[0])
    if origin in (Union, UnionType):
        return reduce(or_, map(_unchecked, inner))
    if origin in (tuple, list, dict):
        return GenericAlias(origin, tuple(x if x is ... else _unchecked(x) for x in inner))
    return kind


def _twin(kind: type[ev.Event]) -> type[Struct]:
    """Return a Struct that reads the bytes of an event and does not check them again."""
    config = kind.__struct_config__
    read = []
    for f in fields(kind):
        default: dict[str, Any] = {"default": f.default, "default_factory": f.default_factory}
        read.append((f.name, _unchecked(f.type), field(name=f.encode_name, **default)))
    return msgspec.defstruct(
        kind.__name__, read, kw_only=True, gc=False, tag_field=config.tag_field, tag=config.tag, module=__name__
    )


def _decoder() -> Callable[[bytes], ev.AnyEvent]:
    """Return a decoder of events for bytes that were checked before they were stored.

    Most of what decoding costs are the checks of ids, which cannot fail here.
    """
    kinds = get_args(ev.AnyEvent)
    made = {_twin(kind): kind for kind in kinds}
    decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(Union[tuple(made)]).decode  # noqa: UP007

    def read(data: bytes) -> ev.AnyEvent:
        found = decode(data)
        event: ev.AnyEvent = made[type(found)](**asdict(found))
        return event

    return read


_read = resolution.aliased_decoder(_decoder(), msgspec.msgpack.decode, _encode)
