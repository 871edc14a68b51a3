"""W3C trace context: which trace a record belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)


def traceparent_of(headers: Iterable[tuple[str, bytes]]) -> bytes | None:
    """Return the trace context that headers carry, None where they carry none."""
    for name, value in headers:
        if name == "traceparent":
            return value
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
