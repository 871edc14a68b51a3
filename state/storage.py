"""State as bytes: MessagePack after one byte that says in which layout.

A Struct that is stored names its layout in one line:

    @stored(version=1)
    class LearnerState(Struct, array_like=True): ...

When its shape changes, its version goes up and what reads the version before is added; old states
are read through all steps in between, and written back in the new layout when they next change:

    @stored(version=3, upgrades={1: appended, 2: with_shares_in_bps})

A state may have terms: a few bytes that follow from it and stand before the MessagePack, so that something is known of
it without reading it. The first four are the day (ordinal, big-endian) through which facts are in the state:

| bytes | of a layout without terms | with terms |
|---|---|---|
| 1 | version | version |
| 1 | | how many bytes the terms have |
| n | | the terms |
| the rest | MessagePack | MessagePack |

With `array_like=True` a field has no name in the bytes, so fields may only be appended, with defaults
(`appended`); any other change needs a function from the plain value of the old layout, a list in the
order of the fields, to that of the next. `state.layout` keeps each layout in a file, and a test holds
them against the Structs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from schemas.errors import FatalError
from schemas.resolution import with_present_events

S = TypeVar("S", bound=Struct)
Upgrade = Callable[[Any], Any]

_encode = msgspec.msgpack.Encoder().encode
_plain = msgspec.msgpack.Decoder().decode


@dataclass(frozen=True, slots=True)
class Layout:
    """The version that a Struct is written in, 1..255, and for each version before it the step to the next.

    terms: makes the terms of a state, of at most 255 bytes; None for none. terms_since: the first version with terms.
    head: a Struct of the first fields, which are the same in every version; None for none.
    """

    version: int = 1
    upgrades: Mapping[int, Upgrade] = field(default_factory=dict)
    terms: Callable[[Any], bytes] | None = None
    terms_since: int = 256
    head: type[Struct] | None = None


LAYOUTS: dict[type[Struct], Layout] = {}
# A Struct that never changed needs no word.
_FIRST = Layout()


def appended(value: Any) -> Any:
    """Return an old value as it is: the newer layout only appended fields that have defaults."""
    return value


def stored(
    version: int,
    upgrades: Mapping[int, Upgrade] | None = None,
    *,
    terms: Callable[[Any], bytes] | None = None,
    terms_since: int = 256,
    head: type[Struct] | None = None,
) -> Callable[[type[S]], type[S]]:
    """Name the layout of a Struct that is stored; used as a decorator.

    Raises FatalError where the version is not in 1..255, or a version before it has no upgrade.
    """
    steps = dict(upgrades or {})

    def register(kind: type[S]) -> type[S]:
        if not 1 <= version <= 255:
            raise FatalError(f"The layout version of {kind.__name__} is {version}; it must be in 1..255.")
        if set(steps) != set(range(1, version)):
            raise FatalError(
                f"{kind.__name__} is in layout {version} and needs an upgrade from each of 1..{version - 1}."
            )
        LAYOUTS[kind] = Layout(version, steps, terms, terms_since, head)
        return kind

    return register


def pack(state: Struct) -> bytes:
    """Return the bytes of a state. Equal states made in the same order give equal bytes."""
    version, terms_of = _writer(type(state))
    if terms_of is None:
        return version + _encode(state)
    terms = terms_of(state)
    return version + len(terms).to_bytes(1, "big") + terms + _encode(state)


def is_present(data: bytes, kind: type[Struct]) -> bool:
    """Return whether bytes hold a state in the present layout of its kind."""
    return data[:1] == _writer(kind)[0]


def terms_in(data: bytes) -> bytes:
    """Return the terms of a state whose layout has terms."""
    return data[2 : 2 + data[1]]


def day_in(data: bytes) -> int:
    """Return the day (ordinal) through which facts are in a state whose layout has terms."""
    return int.from_bytes(data[2:6], "big")


def head_in(data: bytes, kind: type[Struct]) -> Any:
    """Return the head of the state that bytes hold, without reading the rest; the state where its layout has none.

    Raises FatalError as `unpack` does.
    """
    layout = LAYOUTS.get(kind, _FIRST)
    if layout.head is None or not data or not 1 <= data[0] <= layout.version:
        return unpack(data, kind)
    try:
        return _decode_head(layout.head)(memoryview(data)[_body_at(data, layout) :])
    except (msgspec.DecodeError, UnicodeDecodeError, IndexError) as error:
        raise _damaged(kind, error) from error


def unpack(data: bytes, kind: type[S]) -> S:
    """Return the state that bytes hold, brought up to the present layout.

    Raises FatalError where the layout is newer than this release knows, or the bytes are damaged: going on
    without the state would lose it.
    """
    decode, version, has_terms = _decoder(kind)
    try:
        if data[:1] != version:
            return _upgraded(data, kind)
        body = memoryview(data)[2 + data[1] if has_terms else 1 :]
        try:
            made: S = decode(body)
        except msgspec.ValidationError:
            # Events in it may have names of an earlier release.
            made = _decoded(_plain(body), kind)
    except (msgspec.DecodeError, UnicodeDecodeError, IndexError) as error:
        raise _damaged(kind, error) from error
    return made


def _damaged(kind: type[Struct], error: Exception) -> FatalError:
    return FatalError(f"A stored {kind.__name__} cannot be read: {error}. Restore it from a backup or the log.")


def _body_at(data: bytes, layout: Layout) -> int:
    """Return where the MessagePack of a state begins."""
    return 2 + data[1] if data[0] >= layout.terms_since else 1


@cache
def _decode_head(kind: type[Struct]) -> Callable[[memoryview], Any]:
    return msgspec.msgpack.Decoder(kind).decode


@cache
def _writer(kind: type[Struct]) -> tuple[bytes, Callable[[Any], bytes] | None]:
    layout = LAYOUTS.get(kind, _FIRST)
    return bytes([layout.version]), layout.terms


@cache
def _decoder(kind: type[S]) -> tuple[Callable[[memoryview], S], bytes, bool]:
    version, terms = _writer(kind)
    return msgspec.msgpack.Decoder(kind).decode, version, terms is not None


def _upgraded(data: bytes, kind: type[S]) -> S:
    if not data:
        raise FatalError(f"A stored {kind.__name__} is empty. Restore it from a backup or the log.")
    layout = LAYOUTS.get(kind, _FIRST)
    if not 1 <= data[0] <= layout.version:
        raise FatalError(
            f"A stored {kind.__name__} is in layout {data[0]}; this release knows 1..{layout.version}. "
            "Run the release that wrote it, or a newer one."
        )
    value = _plain(memoryview(data)[_body_at(data, layout) :])
    for version in range(data[0], layout.version):
        value = layout.upgrades[version](value)
    return _decoded(value, kind)


def _decoded(value: Any, kind: type[S]) -> S:
    return msgspec.msgpack.decode(_encode(with_present_events(value)), type=kind)
