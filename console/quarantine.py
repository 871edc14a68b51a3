"""What pages say of keys in quarantine: their figures stand still since a record on which an agent failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from streams.engine.quarantine import HeldKey


def quarantined(held: Mapping[tuple[str, str], HeldKey], *names: tuple[str, str]) -> dict[str, Any]:
    """Return a page's part about those of some keys, by agent and key, that are in quarantine.

    since: when the record was published on which the agent failed, or the close, in UTC. place: where it stands.
    """
    return {
        "quarantine": [
            {
                "agent": row.agent,
                "key": row.key,
                "place": row.place,
                "since": datetime.fromtimestamp(row.since / 1000, UTC).strftime("%Y-%m-%d %H:%M"),
            }
            for row in (held[name] for name in names if name in held)
        ]
    }
