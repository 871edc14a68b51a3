"""The account agent on plain Faust, as its documentation would have it: an agent, a table, a topic to send to.

`python -m bench.peers.plain_faust --bootstrap A --prefix P --group G --state DIR [--guarantee exactly_once]`, until
SIGTERM.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from datetime import date
from typing import Any

import faust

from bench.peers.work import TOPICS, Work, flags
from schemas import events as ev

SEPARATOR = "\x1f"


class Rows(MutableMapping[str, bytes]):
    """The rows of one key in a Faust table that holds those of all."""

    def __init__(self, table: Any, key: str) -> None:
        self._table = table
        self._first = key + SEPARATOR

    def __getitem__(self, row: str) -> bytes:
        value: bytes | None = self._table.get((self._first + row).encode())
        if value is None:
            raise KeyError(row)
        return value

    def __setitem__(self, row: str, value: bytes) -> None:
        self._table[(self._first + row).encode()] = value

    def __delitem__(self, row: str) -> None:
        del self._table[(self._first + row).encode()]

    def __iter__(self) -> Iterator[str]:
        first = self._first.encode()
        return (key[len(first) :].decode() for key in list(self._table.keys()) if key.startswith(first))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def make_app(bootstrap: str, prefix: str, group: str, folder: str, partitions: int, guarantee: str) -> faust.App:
    """Return the app."""
    app = faust.App(
        group,
        broker=[f"kafka://{server}" for server in bootstrap.split(",")],
        store="rocksdb://",
        datadir=folder,
        processing_guarantee=guarantee,
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
    clock = app.topic(prefix + "clock", **raw)
    work = Work(prefix)
    closed: dict[str, date | None] = {"through": None}
    outputs: dict[str, Any] = {}

    async def send(said: Iterator[tuple[str, bytes, bytes, Any]]) -> None:
        for topic, key, value, headers in said:
            if topic not in outputs:
                outputs[topic] = app.topic(topic, **raw)
            await outputs[topic].send(key=key, value=value, headers=headers)

    @app.agent(inputs)
    async def account(stream: Any) -> None:
        async for message in stream.events():
            key = message.key.decode()
            event = work.codec.decode(message.value)
            await send(work.decide(key, event, Rows(table, key), closed["through"]))

    @app.agent(clock)
    async def close(stream: Any) -> None:
        async for value in stream:
            day = work.codec.decode(value)
            assert isinstance(day, ev.DayClosed)
            keys = {key.decode().split(SEPARATOR)[0] for key in list(table.keys())}
            for key in sorted(keys):
                await send(work.close(day, Rows(table, key), closed["through"]))
            closed["through"] = day.business_date

    return app


def main() -> None:
    """Run until told to stop."""
    parser = flags(__doc__)
    parser.add_argument("--guarantee", default="at_least_once")
    given = parser.parse_args()
    app = make_app(given.bootstrap, given.prefix, given.group, given.state, given.partitions, given.guarantee)
    faust.Worker(app, loglevel="WARNING", quiet=True, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
