"""The log as a runtime writes it: where each record stands, and in which bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import msgpack

from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import PERSONAL_TOPICS, TOPIC_OF, key_of
from streams.engine.output import OutputRecord
from streams.local.store import Store, faults_of_data
from streams.security.sealed_log import NO_HEADERS, LogRecord


class LogWriter:
    """Appends records: what comes in at once and durably, what is published with its batch."""

    def __init__(self, store: Store, codec: Codec) -> None:
        self._store = store
        self._codec = codec
        self._held: list[LogRecord] = []
        self.reload()

    def reload(self) -> None:
        """Go on from what the store holds; what was held for a batch that did not happen is dropped."""
        # Of the next record.
        self.position = self._store.next_position()
        self._offsets = self._store.next_offsets()
        self._held = []

    def append_events(self, events: Iterable[ev.Event]) -> int:
        """Append events to their topics, durably; returns how many."""
        seal, rows = self._store.seal, (self._of_event(event, NO_HEADERS, inbound=True) for event in events)
        return self._append([seal.sealed(row) if row.topic in PERSONAL_TOPICS else row for row in rows])

    def append_raw(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        timestamp: int,
        replay_of: str | None = None,
    ) -> int:
        """Append one record as it came, durably; returns its offset. replay_of: the dead letter that it answers."""
        row = self._row(topic, key, value, msgpack.encode(list(headers)), timestamp, inbound=True)
        # Nobody knows what is in bare bytes.
        self._append([self._store.seal.sealed(row)], replay_of)
        return row.offset

    def hold(self, output: OutputRecord, event: ev.Event) -> LogRecord:
        """Hold a record that was published for the end of the batch."""
        at, headers = int(event.occurred_at.timestamp() * 1000), msgpack.encode(output.headers)
        # A record for every partition, as those of the learner, has no key.
        row = self._row(output.topic, output.key, output.value, headers, at, inbound=False)
        self._held.append(row)
        return row

    def flush(self) -> None:
        """Write what was held, within the batch's transaction."""
        self._store.append(self._held)
        self._held = []

    def _append(self, rows: Sequence[LogRecord], replay_of: str | None = None) -> int:
        try:
            with faults_of_data(self._store.path), self._store.transaction():
                self._store.append(rows)
                if replay_of is not None:
                    self._store.mark_replayed(replay_of)
        except BaseException:
            self.reload()
            raise
        return len(rows)

    def _of_event(self, event: ev.Event, headers: bytes, *, inbound: bool) -> LogRecord:
        key = key_of(event)
        return self._row(
            TOPIC_OF[type(event)].name,
            None if key is None else key.encode(),
            self._codec.encode(event),
            headers,
            int(event.occurred_at.timestamp() * 1000),
            inbound=inbound,
        )

    def _row(
        self, topic: str, key: bytes | None, value: bytes | None, headers: bytes, timestamp: int, *, inbound: bool
    ) -> LogRecord:
        position, offset = self.position, self._offsets.get(topic, 0)
        self.position, self._offsets[topic] = position + 1, offset + 1
        return LogRecord(position, topic, offset, key, value, headers, timestamp, int(inbound))
