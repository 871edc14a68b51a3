"""Drives a lane: takes what was fetched for it, decides in batches, and makes each batch one transaction.

How a day is closed is told in `closing`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from schemas import events as ev
from schemas.errors import BadInput
from schemas.topics import TOPICS
from streams.endings import ended
from streams.kafka.accounting import committed
from streams.kafka.batch import Broker, Record
from streams.kafka.closing import (
    ALL,
    CLOSED,
    READY,
    Barriers,
    Closing,
    barrier,
    begun,
    has_closed,
)
from streams.kafka.inbox import Inbox
from streams.kafka.lane import Lane
from streams.kafka.metrics import LANE_BATCH_SECONDS

# How long a lane that waits to close a day sleeps before it looks again.
_POLL = 0.005
# Seconds without anything to do after which a lane notes that it has read past the markers of transactions.
_CALM = 60.0


class Runner:
    """The task of one lane. Whatever goes wrong in it goes to `failed`, once; then it has ended.

    room: told when the lane can take more. begin: where it goes on, by topic; what lies before is not taken. meet:
    asks the registry, however long it is away, for the schema of a value that is strange; None without a registry.
    """

    def __init__(
        self,
        lane: Lane,
        broker: Broker,
        batch_records: int,
        failed: Callable[[Runner, BaseException], None],
        room: Callable[[], None],
        begin: Mapping[str, int],
        meet: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> None:
        self.lane = lane
        self._broker = broker
        self._limit = batch_records
        self._failed = failed
        # Batches that were committed; when one last was, or nothing waited.
        self.commits = 0
        self._since = time.monotonic()
        # Since when there has been nothing to do.
        self._calm = float("inf")
        self._room = room
        self._meet = meet
        self._closing: Closing | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._barriers = Barriers.of(lane.seats[0].rows.meta("barriers"))
        inputs = sorted({topic for seat in lane.seats for topic in seat.topics})
        self._outside = [topic for topic in inputs if TOPICS[topic].inbound]
        self._inside = [topic for topic in inputs if not TOPICS[topic].inbound]
        self._inbox = Inbox(batch_records, begin, self._outside)
        self._task: asyncio.Task[None] | None = None

    # -- what the fetcher asks and says

    def wants(self, topic: str) -> bool:
        """Say whether the lane can take more of a topic."""
        if topic == "clock":
            return self._closing is None and not self._inbox.days
        return self._inbox.has_room(topic)

    @property
    def closing(self) -> bool:
        """Whether a day's close is under way, or waits to begin."""
        return self._closing is not None or bool(self._inbox.days)

    @property
    def at_work(self) -> bool:
        """Whether it was started and has not ended."""
        return self._task is not None and not self._task.done()

    @property
    def waits(self) -> bool:
        """Whether something waits that the lane can go on with by itself."""
        if self._closing is not None:
            return not self._closing.others
        return bool(self._inbox.days or self.lane.batch.offsets or self._inbox) or self._inbox.behind()

    @property
    def commit_age(self) -> float:
        """Return the seconds since a batch was committed, while something waits or a day is being closed; else 0."""
        return time.monotonic() - self._since if self.closing or self.waits else 0.0

    def lag(self) -> dict[str, int]:
        """Return by topic how many offsets lie between what was taken and the end that was last seen."""
        found = self._inbox.lag()
        if "clock" in found:
            found["clock"] += self._closing is not None
        return found

    def give(self, topic: str, records: Sequence[Record]) -> None:
        """Hand over records that were fetched."""
        if self._inbox.give(topic, records):
            self._wake.set()

    def next_of(self, topic: str) -> int:
        """Return the offset behind what was given of a topic, 0 where nothing was and nothing is known of it."""
        return self._inbox.next_of(topic)

    def look(self, places: Mapping[str, tuple[int, int]]) -> None:
        """Note where the consumer stands, and the ends that it last saw, by topic; all before that was given."""
        self._inbox.places = places
        if self.closing or self.waits:
            self._calm = float("inf")
        else:
            self._since = time.monotonic()
            self._calm = min(self._calm, self._since)
            if self._since - self._calm >= _CALM:
                self.lane.batch.offsets.update(self._inbox.passed())
        if self.closing or self.waits:
            self._wake.set()

    # -- life

    def start(self) -> None:
        """Begin to work."""
        self._task = asyncio.create_task(self._run(), name=f"lane-{self.lane.partition}")

    async def stop(self, patience: float) -> None:
        """End after the batch in hand; one that cannot be committed within `patience` seconds is dropped."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=patience)
            for task in late:
                await ended(task)

    async def _run(self) -> None:
        try:
            while not self._stopping:
                moved = await self._batch()
                if self._closing is None and self._inbox.days:
                    await self._begin_close(*self._inbox.take_day())
                if self._closing is not None:
                    moved = await self._advance(self._closing) or moved
                if not moved and self._closing is None and self.lane.batch.offsets:
                    await self._commit()
                # Others have something to do too.
                await (asyncio.sleep(0) if moved else self._rest())
            if not self.closing and not self.waits:
                self.lane.batch.offsets.update(self._inbox.passed())
                if self.lane.batch.offsets:
                    await self._commit()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failed(self, error)

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), _POLL if self._closing else None)
        self._wake.clear()

    # -- batches

    async def _batch(self) -> bool:
        """Process what may be taken; returns whether there was anything."""
        records = self._inbox.take(self._closing)
        self._room()
        if not records:
            return False
        with self.lane.tracer.batch(records):
            await self._decided(records)
        return True

    async def _decided(self, records: dict[str, Sequence[Record]]) -> None:
        """Decide on records, and commit what comes of it."""
        with LANE_BATCH_SECONDS.time(), self.lane.tracer.step("decide"):
            if self._meet is not None:
                for value in self.lane.strange(r.value or b"" for some in records.values() for r in some):
                    await self._meet(value)
            barriers = records.pop("barriers", ())
            if barriers:
                self._note(barriers)
            learned = records.pop("learning", ())
            if learned:
                self.lane.learn(learned)
                self._inbox.processed("learning", learned)
            self.lane.take(records)
        # A barrier alone is committed with the step that it lets go on, or when there is nothing else to do; so is
        # what was learned.
        if records or (barriers and self.lane.batch.said):
            await self._commit()
        for topic, taken in records.items():
            self._inbox.processed(topic, taken)

    async def _commit(self) -> None:
        lane = self.lane
        batch = lane.batch
        lane.seal()
        with lane.tracer.step("commit"):
            lane.settled(await self._broker.commit(lane))
        self.commits += 1
        self._since = time.monotonic()
        committed(batch)

    # -- closing a day

    def _note(self, records: Sequence[Record]) -> None:
        for record in records:
            try:
                event = self.lane.read("barriers", record)
            except BadInput as bad:
                self.lane.refuse(record, bad)
                continue
            assert isinstance(event, ev.BarrierReached)
            self._barriers.note(event)
        self.lane.seats[0].rows.set_meta("barriers", self._barriers.text())
        self.lane.batch.offsets["barriers"] = records[-1].offset + 1

    async def _begin_close(self, record: Record, at: int) -> None:
        asked = None
        try:
            asked = self.lane.of_clock(record)
        except BadInput as bad:
            self.lane.refuse(record, bad)
        if asked is None:
            await self._past(record)
            return
        self._closing = begun(record, at, asked, [seat.closed_through for seat in self.lane.seats])

    async def _past(self, record: Record) -> None:
        """Count a record of the clock as read."""
        self.lane.batch.offsets["clock"] = record.offset + 1
        self.lane.batch.note("clock", [record])
        await self._commit()

    async def _advance(self, closing: Closing) -> bool:
        """Go one step on with a day's close, if that can be; returns whether it could."""
        asked = closing.asked
        closing.others = False
        if not closing.ready:
            if not await self._all_read(closing, self._outside):
                return False
            if isinstance(asked, ev.PolicyChanged):
                self.lane.change(asked)
                self._closing = None
                await self._past(closing.record)
                return True
            self._tell(asked, READY, ALL)
            closing.ready = True
            await self._commit()
            return True
        assert isinstance(asked, ev.DayClosed)
        day = asked.business_date
        before = (READY, ALL)
        for seat in self.lane.seats:
            if not has_closed(seat.closed_through, day):
                if not self._barriers.passed(*before, day.toordinal(), self.lane.partitions):
                    closing.others = True
                    return False
                if not await self._all_read(closing, self._inside):
                    return False
                for _ in self.lane.close(seat, closing.record, asked, self._limit):
                    await self._commit()
                    if self._stopping:
                        return False
                self._tell(asked, CLOSED, seat.agent.name)
                await self._commit()
                return True
            before = (CLOSED, seat.agent.name)
        # No record of the next day is decided on before all that this one has taught is known.
        if not self._barriers.passed(*before, day.toordinal(), self.lane.partitions):
            closing.others = True
            return False
        if not await self._all_read(closing, ("learning",)):
            return False
        self._closing = None
        await self._past(closing.record)
        return True

    async def _all_read(self, closing: Closing, topics: Sequence[str]) -> bool:
        """Say whether all of topics is processed that belongs before the close."""
        behind = [topic for topic in topics if not self._inbox.is_past(topic, closing)]
        if behind and closing.fence is None:
            closing.fence = await self._broker.ends(topics, self.lane.partition)
        if all(self._inbox.has_read(topic, (closing.fence or {})[topic]) for topic in behind):
            closing.fence = None
            return True
        return False

    def _tell(self, day: ev.DayClosed, phase: str, agent: str) -> None:
        self.lane.say_everywhere(barrier(day, self.lane.partition, phase, agent))
