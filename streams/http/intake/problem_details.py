"""What is answered when something is wrong: problem details (RFC 9457), each with what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

# Type, status and title of each problem. The detail says more; of a signature it says no more.
PROBLEMS: dict[str, tuple[int, str]] = {
    "malformed": (400, "The body cannot be read."),
    "unsigned": (401, "The message is not signed by a known source, or not now."),
    "not-found": (404, "There is nothing here."),
    "method-not-allowed": (405, "This method is not served here."),
    "too-slow": (408, "The body did not come in time."),
    "id-used": (409, "The webhook-id was used for another body."),
    "too-large": (413, "The body is too large."),
    "media-type": (415, "The body is of a kind that is not read."),
    "refused": (422, "No event of the message can be taken."),
    "too-many": (429, "The source sends too much."),
    "broken": (500, "Something failed here. Send it again."),
    "away": (503, "Events cannot be taken now. Send it again."),
}
PREFIX = "urn:reprieve:problem:"
MEDIA_TYPE = "application/problem+json"
SAFE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class ProblemError(Exception):
    """A request that is answered with a problem."""

    def __init__(self, kind: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> web.Response:
        """Return the answer."""
        status, title = PROBLEMS[self.kind]
        body = {"type": PREFIX + self.kind, "title": title, "status": status, "detail": self.detail, **self.more}
        return web.Response(
            status=status,
            body=msgspec.json.encode(body),
            headers={**SAFE, **self.headers, "content-type": MEDIA_TYPE},
        )
