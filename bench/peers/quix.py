"""The account agent on Quix Streams, exactly once: `python -m bench.peers.quix` in a venv of its own, until SIGTERM."""

from __future__ import annotations

from typing import Any

from quixstreams import Application

from bench.peers.work import TOPICS, Work, flags


class QuixRows:
    """The rows of the key that is at work, in its state."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def get(self, row: str) -> bytes | None:
        """Return a row, None where there is none."""
        value: bytes | None = self._state.get_bytes(row)
        return value

    def __setitem__(self, row: str, value: bytes) -> None:
        self._state.set_bytes(row, value)


def main() -> None:
    """Run until told to stop."""
    given = flags(__doc__).parse_args()
    app = Application(
        broker_address=given.bootstrap,
        consumer_group=given.group,
        state_dir=given.state,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        loglevel="WARNING",
        consumer_extra_config={"session.timeout.ms": 6_000},
        auto_create_topics=True,
    )
    work = Work(given.prefix)
    raw = {"key_deserializer": "str", "value_deserializer": "bytes"}
    inputs = [app.topic(given.prefix + name, **raw) for name in TOPICS]
    output = app.topic(f"{given.prefix}delinquency", key_serializer="bytes", value_serializer="bytes")

    def decide(value: bytes, key: str, _time: int, _headers: Any, state: Any) -> list[tuple[bytes, bytes]]:
        event = work.codec.decode(value)
        return [(key.encode(), said) for _, _, said, _ in work.decide(key, event, QuixRows(state))]

    # One state over all inputs of an account needs one stream.
    frame = app.dataframe(inputs[0])
    for other in inputs[1:]:
        frame = frame.concat(app.dataframe(other))
    frame = frame.apply(decide, metadata=True, stateful=True, expand=True)
    frame = frame.apply(lambda pair: pair[1])
    frame.to_topic(output)
    app.run()


if __name__ == "__main__":
    main()
