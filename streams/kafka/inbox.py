"""What was fetched for a lane and is not taken yet, in the order in which the broker appended it over all topics."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from schemas.topics import TOPICS
from streams.kafka.batch import Record
from streams.kafka.closing import Closing, appended_at, appended_until


class Inbox:
    """Records that wait, by topic, and how far each topic has come.

    limit: records that a topic may hold. begin: where each goes on; what lies before is not taken. outside: the topics
    that come from outside. days: records of the clock.
    """

    def __init__(self, limit: int, begin: Mapping[str, int], outside: Collection[str]) -> None:
        self._limit = limit
        self._outside = outside
        self._waiting: dict[str, deque[Record]] = {}
        self.days: deque[Record] = deque()
        self._next = dict(begin)
        # By topic: the consumer's position and the end that it last saw; when the last record that was given counts
        # as appended, and the last one that was taken of these; the offset behind the last that was processed.
        self.places: Mapping[str, tuple[int, int]] = {}
        self._last: dict[str, int] = {}
        self._front: dict[str, int] = {}
        self._processed: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Say whether records wait, but for the clock's."""
        return any(self._waiting.values())

    def has_room(self, topic: str) -> bool:
        """Say whether a topic may bring more; each has room of its own: barriers come through while payments wait."""
        return len(self._waiting.get(topic, ())) < self._limit

    def behind(self) -> bool:
        """Say whether a topic has more than was fetched."""
        return any(position < end for position, end in self.places.values())

    def lag(self) -> dict[str, int]:
        """Return by topic how many offsets lie between what was taken and the end that was last seen."""
        return {
            topic: max(0, end - position) + len(self.days if topic == "clock" else self._waiting.get(topic, ()))
            for topic, (position, end) in list(self.places.items())
        }

    def give(self, topic: str, records: Sequence[Record]) -> bool:
        """Hold records that were fetched; returns whether one of them is new."""
        due = self._next.get(topic, 0)
        if records[0].offset < due:
            # The group's offsets are behind the lane's own, as a coordinator tells them that was frozen; or a seek
            # that was given up for lost came through after all.
            records = [record for record in records if record.offset >= due]
            if not records:
                return False
        self._next[topic] = records[-1].offset + 1
        if topic == "clock":
            self.days.extend(records)
        else:
            self._waiting.setdefault(topic, deque()).extend(records)
            self._last[topic] = max(self._last.get(topic, 0), *(record.timestamp for record in records))
        return True

    def passed(self) -> dict[str, int]:
        """Return by topic where the consumer stands behind offsets that no record has, once each; days left out.

        These are markers of transactions. Where all records behind them have been deleted by their age, an offset
        before a marker would look like one of records that were never read.
        """
        found = {
            topic: position
            for topic, (position, _) in self.places.items()
            if topic != "clock" and not self._waiting.get(topic) and position > self._next.get(topic, 0)
        }
        self._next.update(found)
        return found

    def next_of(self, topic: str) -> int:
        """Return the offset behind what was given of a topic, 0 where nothing was and nothing is known of it."""
        return self._next.get(topic, 0)

    def take(self, closing: Closing | None) -> dict[str, Sequence[Record]]:
        """Take what waits and may be taken, up to a batch; the topics with the least waiting come first."""
        taken: dict[str, Sequence[Record]] = {}
        room = self._limit
        until = self._until(closing)
        for topic, waiting in sorted(self._waiting.items(), key=lambda item: len(item[1])):
            if TOPICS[topic].inbound and until is not None:
                found = list(appended_until(waiting, self._front.get(topic, 0), until, room))
            else:
                found = [waiting.popleft() for _ in range(min(room, len(waiting)))]
            if found:
                taken[topic] = found
                self._front[topic] = max(self._front.get(topic, 0), *(record.timestamp for record in found))
                room -= len(found)
        return taken

    def take_day(self) -> tuple[Record, int]:
        """Take the next record of the clock, and when it counts as appended, in ms."""
        record = self.days.popleft()
        at = self._front["clock"] = self._appended_at("clock", record)
        return record, at

    def processed(self, topic: str, records: Sequence[Record]) -> None:
        """Note that records were processed."""
        self._processed[topic] = records[-1].offset + 1

    def is_past(self, topic: str, closing: Closing) -> bool:
        """Say whether a topic's next record was appended behind a close."""
        waiting = self._waiting.get(topic)
        if not waiting or topic not in self._outside:
            return False
        return self._appended_at(topic, waiting[0]) > closing.at

    def has_read(self, topic: str, fence: int) -> bool:
        """Say whether all of a topic before an offset was processed."""
        waiting = self._waiting.get(topic)
        if waiting and waiting[0].offset < fence:
            return False
        # Markers of transactions take offsets that no record has: the consumer's position is past them.
        return max(self._processed.get(topic, 0), self.places.get(topic, (0, 0))[0]) >= fence

    def _until(self, closing: Closing | None) -> int | None:
        """Return the time up to which records from outside may be taken, in ms, None for all that there are.

        That is the close of the day that is to be closed, and never behind what other topics may still bring.
        """
        bounds = [self._last.get(topic, 0) for topic in self._outside if not self._is_at_end(topic)]
        if closing is not None:
            bounds.append(closing.at)
        elif self.days:
            bounds.append(self._appended_at("clock", self.days[0]))
        elif not self._is_at_end("clock"):
            bounds.append(0)
        return min(bounds, default=None)

    def _appended_at(self, topic: str, record: Record) -> int:
        """Return when the next record of a topic counts as appended, in ms."""
        return appended_at(self._front.get(topic, 0), record)

    def _is_at_end(self, topic: str) -> bool:
        """Say whether all that a topic had when it was last fetched has been given."""
        place = self.places.get(topic)
        return place is not None and place[0] >= place[1]
