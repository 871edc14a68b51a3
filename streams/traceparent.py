"""W3C trace context: which trace a record belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
# Of a version to come, what is known today.
_SIZE = 55


def traceparent_of(headers: Iterable[tuple[str, bytes]]) -> bytes | None:
    """Return the trace context that headers carry, None where they carry none that is well-formed.

    It is carried on to what is said, on topics that hold nothing personal: whatever else stands in its place is not.
    """
    for name, value in headers:
        if name == "traceparent":
            return None if parsed(value) is None else value[:_SIZE]
    return None


def parsed(traceparent: bytes | None) -> tuple[str, str, bool] | None:
    """Return the trace, the span and whether it is sampled; None where there is none that is well-formed."""
    found = None if traceparent is None else _FORM.fullmatch(traceparent)
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5]):
        return None
    if not int(found[2], 16) or not int(found[3], 16):
        return None
    return found[2].decode(), found[3].decode(), bool(int(found[4], 16) & 1)


def trace_ids(traceparent: bytes | None) -> dict[str, str]:
    """Return the fields of a log line about a record of a trace; none where the record has no trace."""
    found = parsed(traceparent)
    return {} if found is None else {"trace_id": found[0], "span_id": found[1]}


class Carries(Protocol):
    """A record, as far as its trace matters."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Untraced:
    """Carries the traces of records through, and makes none."""

    def batch(self, records: Mapping[str, Sequence[Carries]]) -> AbstractContextManager[None]:
        """Make a span of a batch."""
        return nullcontext()

    def step(self, name: str) -> AbstractContextManager[None]:
        """Make a span of a step of a batch."""
        return nullcontext()

    def carried(self, record: Carries) -> bytes | None:
        """Return the trace context of what is said about a record."""
        return traceparent_of(record.headers)
