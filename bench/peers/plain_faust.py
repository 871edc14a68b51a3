"""The account agent on plain Faust, as its documentation would have it: an agent, a table, a topic to send to.

`python -m bench.peers.plain_faust`, until SIGTERM. At least once, which is what Faust does unless it is told otherwise.
"""

from __future__ import annotations

from typing import Any

import faust

from bench.peers.work import TOPICS, Work, flags

SEPARATOR = "\x1f"


class FaustRows:
    """The rows of one key in a Faust table that holds those of all."""

    def __init__(self, table: Any, key: str) -> None:
        self._table = table
        self._first = key + SEPARATOR

    def get(self, row: str) -> bytes | None:
        """Return a row, None where there is none."""
        value: bytes | None = self._table.get((self._first + row).encode())
        return value

    def __setitem__(self, row: str, value: bytes) -> None:
        self._table[(self._first + row).encode()] = value


def make_app(bootstrap: str, prefix: str, group: str, folder: str, partitions: int) -> faust.App:
    """Return the app."""
    app = faust.App(
        group,
        broker=[f"kafka://{server}" for server in bootstrap.split(",")],
        store="rocksdb://",
        datadir=folder,
        topic_partitions=partitions,
        topic_allow_declare=True,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=6,
        broker_heartbeat_interval=2,
        stream_recovery_delay=0.0,
        web_enabled=False,
    )
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    table = app.Table("rows", partitions=partitions, key_type=bytes, value_type=bytes)
    inputs = app.topic(*(prefix + name for name in TOPICS), **raw)
    work = Work(prefix)
    outputs: dict[str, Any] = {}

    @app.agent(inputs)
    async def account(stream: Any) -> None:
        async for message in stream.events():
            key = message.key.decode()
            event = work.codec.decode(message.value)
            for topic, name, value, headers in work.decide(key, event, FaustRows(table, key)):
                if topic not in outputs:
                    outputs[topic] = app.topic(topic, **raw)
                await outputs[topic].send(key=name, value=value, headers=headers)

    return app


def main() -> None:
    """Run until told to stop."""
    given = flags(__doc__).parse_args()
    app = make_app(given.bootstrap, given.prefix, given.group, given.state, given.partitions)
    faust.Worker(app, loglevel="WARNING", quiet=True, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
