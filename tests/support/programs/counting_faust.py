"""A small app on plain Faust that adds up payments, as its documentation would have it.

`python counting_faust.py '{"broker": …, "prefix": …, "folder": …, "notes": …}'`, until SIGTERM. Further keys:
`guarantee`, `partitions` of the table. A payment is an amount in digits; of others the agent raises ValueError.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import faust


def make_app(given: dict[str, Any]) -> faust.App:
    """Return the app; what it sees it writes down in the file `notes`, a line each."""
    prefix = given["prefix"]
    app = faust.App(
        f"{prefix}plain",
        broker=f"kafka://{given['broker']}",
        store="rocksdb://",
        datadir=given["folder"],
        processing_guarantee=given.get("guarantee", "at_least_once"),
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=6,
        broker_heartbeat_interval=2,
        # Offsets are committed late, so that a test can be quicker.
        broker_commit_interval=given.get("commit_interval", 1.0),
        stream_recovery_delay=0.0,
        web_enabled=False,
    )
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    totals = app.Table(f"{prefix}totals", default=int, partitions=given.get("partitions", 1))
    payments = app.topic(f"{prefix}payments", **raw)
    said = app.topic(f"{prefix}said", **raw)
    notes = Path(given["notes"])

    def note(*words: object) -> None:
        with notes.open("a", encoding="utf-8") as file:
            file.write(" ".join(map(str, words)) + "\n")

    @app.agent(payments)
    async def add(stream: Any) -> None:
        async for event in stream.events():
            note("seen", event.message.offset, sorted(event.headers or ()))
            account = event.key.decode()
            totals[account] += int(event.value)
            sending = await said.send(key=event.key, value=str(totals[account]).encode())
            note("sent", sending.done())

    return app


if __name__ == "__main__":
    faust.Worker(
        make_app(json.loads(sys.argv[1])), loglevel="INFO", quiet=True, redirect_stdouts=False
    ).execute_from_commandline()
