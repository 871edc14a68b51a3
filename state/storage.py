"""State as bytes: MessagePack after one byte that says in which layout.

A Struct that is stored names its layout in one line:

    @stored(version=1)
    class LearnerState(Struct, array_like=True): ...

When its shape changes, its version goes up and what reads the version before is added; old states
are read through all steps in between, and written back in the new layout when they next change:

    @stored(version=3, upgrades={1: appended, 2: with_shares_in_bps})

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
    """The version that a Struct is written in, 1..255, and for each version before it the step to the next."""

    version: int = 1
    upgrades: Mapping[int, Upgrade] = field(default_factory=dict)


LAYOUTS: dict[type[Struct], Layout] = {}
# A Struct that never changed needs no word.
_FIRST = Layout()


def appended(value: Any) -> Any:
    """Return an old value as it is: the newer layout only appended fields that have defaults."""
    return value


def stored(version: int, upgrades: Mapping[int, Upgrade] | None = None) -> Callable[[type[S]], type[S]]:
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
        LAYOUTS[kind] = Layout(version, steps)
        return kind

    return register


def pack(state: Struct) -> bytes:
    """Return the bytes of a state. Equal states made in the same order give equal bytes."""
    return _prefix(type(state)) + _encode(state)


def unpack(data: bytes, kind: type[S]) -> S:
    """Return the state that bytes hold, brought up to the present layout.

    Raises FatalError where the layout is newer than this release knows, or the bytes are damaged: going on
    without the state would lose it.
    """
    decode, version = _decoder(kind)
    try:
        if data[:1] != version:
            return _upgraded(data, kind)
        try:
            made: S = decode(memoryview(data)[1:])
        except msgspec.ValidationError:
            # Events in it may have names of an earlier release.
            made = _decoded(_plain(memoryview(data)[1:]), kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FatalError(
            f"A stored {kind.__name__} cannot be read: {error}. Restore it from a backup or the log."
        ) from error
    return made


@cache
def _prefix(kind: type[Struct]) -> bytes:
    return bytes([LAYOUTS.get(kind, _FIRST).version])


@cache
def _decoder(kind: type[S]) -> tuple[Callable[[memoryview], S], bytes]:
    return msgspec.msgpack.Decoder(kind).decode, _prefix(kind)


def _upgraded(data: bytes, kind: type[S]) -> S:
    if not data:
        raise FatalError(f"A stored {kind.__name__} is empty. Restore it from a backup or the log.")
    layout = LAYOUTS.get(kind, _FIRST)
    if not 1 <= data[0] <= layout.version:
        raise FatalError(
            f"A stored {kind.__name__} is in layout {data[0]}; this release knows 1..{layout.version}. "
            "Run the release that wrote it, or a newer one."
        )
    value = _plain(memoryview(data)[1:])
    for version in range(data[0], layout.version):
        value = layout.upgrades[version](value)
    return _decoded(value, kind)


def _decoded(value: Any, kind: type[S]) -> S:
    return msgspec.msgpack.decode(_encode(with_present_events(value)), type=kind)
