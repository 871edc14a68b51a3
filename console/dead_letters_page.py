"""The page of dead letters, and the request to send some of them in again."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from console.overview_projection import OverviewProjection
from console.read_store import ReadStore

# Dead letters on the page, and ids that one request may name.
LETTERS, IDS = 200, 500


class RedriveRequest(Struct, forbid_unknown_fields=True):
    """Dead letters to send in again: those with the ids, or all of a code."""

    ids: list[str] = []
    code: str | None = None

    def __post_init__(self) -> None:
        if bool(self.ids) == (self.code is not None) or len(self.ids) > IDS:
            raise ValueError(f"name up to {IDS} ids, or one code")


def parse_redrive(body: bytes) -> RedriveRequest:
    """Return the request of a body. Raises msgspec.DecodeError (or its ValidationError) where it is none."""
    return msgspec.json.decode(body, type=RedriveRequest)


def dead_letters_page(store: ReadStore, projection: OverviewProjection, before: int | None = None) -> dict[str, Any]:
    """Return the latest dead letters with their origin and error, without their bytes: these may be personal data.

    before: only letters before this offset, the `older` of another answer; `older` is None on the last page.
    """
    replayed = store.replayed()
    # One more than is shown tells whether there are older ones.
    found = list(store.dead_letters(LETTERS + 1, before))
    return {
        "count": sum(projection.dead_letters.values()),
        "by_code": dict(sorted(projection.dead_letters.items())),
        "replayed_count": len(replayed),
        "older": found[LETTERS - 1][0] if len(found) > LETTERS else None,
        "letters": [
            {
                "id": e.event_id,
                "at": e.occurred_at.isoformat(),
                "topic": e.topic,
                "partition": e.partition,
                "offset": e.offset,
                "code": e.code,
                "message": e.message,
                "field": e.field,
                "replayed": e.event_id in replayed,
            }
            for _, e in found[:LETTERS]
        ],
    }
