"""What was fetched for a task and is not taken yet, in the order in which the broker appended it over all topics."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence

from schemas.topics import TOPICS
from streams.engine.output import Record


class RecordQueue:
    """Records that wait, by topic, and how far each topic has come.

    limit: records that a topic may hold. begin: where each goes on; what lies before is not taken. outside: the topics
    that come from outside. control_records: records of the clock.
    """

    def __init__(self, limit: int, begin: Mapping[str, int], outside: Collection[str]) -> None:
        self._limit = limit
        self._outside = outside
        self._waiting: dict[str, deque[Record]] = {}
        self.control_records: deque[Record] = deque()
        # Whether one was taken and is not processed.
        self._control_taken = False
        self._next = dict(begin)
        # By topic: the consumer's position and the end that it last saw; when the last record that was given counts
        # as appended, and the last one that was taken of these; the offset behind the last that was processed.
        self.consumer_positions: Mapping[str, tuple[int, int]] = {}
        self._fetched_time: dict[str, int] = {}
        self._taken_time: dict[str, int] = {}
        self._processed: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Say whether records wait, but for the clock's."""
        return any(self._waiting.values())

    def can_accept(self, topic: str) -> bool:
        """Say whether a topic may bring more; each has room of its own: barriers come through while payments wait."""
        if topic == "clock":
            return not self.closing
        return len(self._waiting.get(topic, ())) < self._limit

    @property
    def closing(self) -> bool:
        """Whether a record of the clock is in progress, or waits."""
        return self._control_taken or bool(self.control_records)

    def behind(self) -> bool:
        """Say whether a topic has more than was fetched."""
        return any(position < end for position, end in self.consumer_positions.values())

    def lag(self) -> dict[str, int]:
        """Return by topic how many offsets lie between what was taken and the end that was last seen."""
        waiting = {topic: len(records) for topic, records in list(self._waiting.items())}
        waiting["clock"] = len(self.control_records) + self._control_taken
        return {
            topic: max(0, end - position) + waiting.get(topic, 0)
            for topic, (position, end) in list(self.consumer_positions.items())
        }

    def add_records(self, topic: str, records: Sequence[Record]) -> bool:
        """Hold records that were fetched; returns whether one of them is new."""
        due = self._next.get(topic, 0)
        if records[0].offset < due:
            # The group's offsets are behind the task's own, as a coordinator tells them that was frozen; or a seek
            # that was given up for lost came through after all.
            records = [record for record in records if record.offset >= due]
            if not records:
                return False
        self._next[topic] = records[-1].offset + 1
        if topic == "clock":
            self.control_records.extend(records)
        else:
            self._waiting.setdefault(topic, deque()).extend(records)
            self._fetched_time[topic] = max(self._fetched_time.get(topic, 0), latest(records))
        return True

    def skip_transaction_markers(self) -> dict[str, int]:
        """Return by topic, but for the clock, where the consumer stands behind offsets that no record has, once each.

        These are markers of transactions. Where all records behind them have been deleted by their age, an offset
        before a marker would look like one of records that were never read.
        """
        found = {
            topic: position
            for topic, (position, _) in self.consumer_positions.items()
            if topic != "clock" and not self._waiting.get(topic) and position > self._next.get(topic, 0)
        }
        self._next.update(found)
        return found

    def next_offset(self, topic: str) -> int:
        """Return the offset behind what was given of a topic, 0 where nothing was and nothing is known of it."""
        return self._next.get(topic, 0)

    def take(self, close_at: int | None) -> dict[str, Sequence[Record]]:
        """Take what waits and may be taken, up to a batch; the topics with the least waiting come first.

        close_at: when the DayClosed counts as appended that is in progress, in ms; None where none is.
        """
        taken: dict[str, Sequence[Record]] = {}
        room = self._limit
        until = self._until(close_at)
        for topic, waiting in sorted(self._waiting.items(), key=lambda item: len(item[1])):
            if TOPICS[topic].inbound and until is not None:
                found = list(appended_until(waiting, self._taken_time.get(topic, 0), until, room))
            elif room >= len(waiting):
                found = list(waiting)
                waiting.clear()
            else:
                found = [waiting.popleft() for _ in range(room)]
            if found:
                taken[topic] = found
                self._taken_time[topic] = max(self._taken_time.get(topic, 0), latest(found))
                room -= len(found)
        return taken

    def take_control_record(self) -> tuple[Record, int]:
        """Take the next record of the clock, and when it counts as appended, in ms."""
        record = self.control_records.popleft()
        self._control_taken = True
        at = self._taken_time["clock"] = self._appended_at("clock", record)
        return record, at

    def processed(self, topic: str, records: Sequence[Record]) -> None:
        """Note that records were processed."""
        self._processed[topic] = records[-1].offset + 1
        if topic == "clock":
            self._control_taken = False

    def is_past(self, topic: str, at: int) -> bool:
        """Say whether a topic's next record was appended behind an instant (ms)."""
        waiting = self._waiting.get(topic)
        if not waiting or topic not in self._outside:
            return False
        return self._appended_at(topic, waiting[0]) > at

    def has_read(self, topic: str, fence: int) -> bool:
        """Say whether all of a topic before an offset was processed."""
        waiting = self._waiting.get(topic)
        if waiting and waiting[0].offset < fence:
            return False
        # Markers of transactions take offsets that no record has: the consumer's position is past them.
        return max(self._processed.get(topic, 0), self.consumer_positions.get(topic, (0, 0))[0]) >= fence

    def _until(self, close_at: int | None) -> int | None:
        """Return the time up to which records from outside may be taken, in ms, None for all that there are.

        That is the close of the day that is to be closed, and never behind what other topics may still bring.
        """
        bounds = [self._fetched_time.get(topic, 0) for topic in self._outside if not self._is_at_end(topic)]
        if close_at is not None:
            bounds.append(close_at)
        elif self.control_records:
            bounds.append(self._appended_at("clock", self.control_records[0]))
        elif not self._is_at_end("clock"):
            bounds.append(0)
        return min(bounds, default=None)

    def _appended_at(self, topic: str, record: Record) -> int:
        """Return when the next record of a topic counts as appended, in ms."""
        return appended_at(self._taken_time.get(topic, 0), record)

    def _is_at_end(self, topic: str) -> bool:
        """Say whether all that a topic had when it was last fetched has been given."""
        place = self.consumer_positions.get(topic)
        return place is not None and place[0] >= place[1]


def latest(records: Sequence[Record]) -> int:
    """Return the latest time of records, in ms."""
    return max([record.timestamp for record in records])


def appended_at(since: int, record: Record) -> int:
    """Return when a record counts as appended, in ms, where those before it in its partition were by `since`."""
    return max(since, record.timestamp)


def appended_until(waiting: deque[Record], since: int, until: int, most: int) -> Iterator[Record]:
    """Take records from the front, up to a time in ms; since: when the last one before them was appended."""
    while waiting and most and (since := appended_at(since, waiting[0])) <= until:
        most -= 1
        yield waiting.popleft()
