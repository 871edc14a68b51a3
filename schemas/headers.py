"""CloudEvents headers, in the binary mode of its Kafka binding (CloudEvents 1.0)."""

from __future__ import annotations

from urllib.parse import quote

from schemas.events import Event

CONTENT_TYPE = b"application/avro"


def headers_for(event: Event, traceparent: bytes | str | None = None) -> list[tuple[str, bytes]]:
    """Return the headers of an event that is published, one a key.

    traceparent: the W3C trace context of what caused it, carried through as it came.
    """
    # ce_source is a URI reference, so what such a reference cannot hold is percent-encoded.
    at = event.occurred_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.event_id.encode()),
        ("ce_type", f"reprieve.{type(event).__name__}".encode()),
        ("ce_source", quote(event.source, safe="/:?#@!$&'()*+,;=~").encode()),
        ("ce_time", at.encode()),
        ("content-type", CONTENT_TYPE),
    ]
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode() if isinstance(traceparent, str) else traceparent))
    return headers
