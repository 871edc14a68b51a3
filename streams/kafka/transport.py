"""Faust's transport for lanes: `lane://host:port`.

Faust's consumer makes two tasks a message. This one hands whole lists of records to the lanes, and leaves to
Faust only what belongs to no lane. Membership of the group, heartbeats in a thread of their own, assignment
and rebalances stay Faust's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

import aiokafka
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import OffsetResetStrategy
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from schemas.errors import Fatal
from streams.kafka.batches import read_any_headers
from streams.kafka.broker import Pauses, patiently
from streams.kafka.fetching import Fetched, Fetching
from streams.kafka.transactions import DENIED

if TYPE_CHECKING:
    from streams.kafka.app import LaneApp

# Seconds that a fetch waits for records; short while a day's close waits for the consumer's position.
_WAIT, _WAIT_CLOSING = 0.25, 0.005
_FETCH_BYTES = 4 * 1024 * 1024


class LaneConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that is the group's member. It reads only what is committed."""

    _fetching: Fetching
    # What was assigned when a place was found to be there no more.
    _assigned: Any = None

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        app = cast("LaneApp", self.app)
        settings, conf = app.settings, app.conf
        read_any_headers()
        self._assignor = app.assignor
        session = settings.worker.session_timeout_seconds
        consumer = aiokafka.AIOKafkaConsumer(
            **settings.kafka.client_options(),
            group_id=settings.worker.application_id,
            group_instance_id=settings.worker.instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            # Otherwise records that were deleted before they were read would be passed over, and nobody told.
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_poll_records=settings.worker.batch_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_bytes=8 * _FETCH_BYTES,
            # A fetch that waits holds up partitions that could be fetched meanwhile.
            fetch_max_wait_ms=50,
            session_timeout_ms=int(session * 1000),
            heartbeat_interval_ms=int(session * 1000 / 4),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
        )
        whole: Any = super()._fetch_records

        async def take(tps: Collection[TopicPartition], timeout: float, most: int | None) -> Fetched:
            got: Fetched = await whole(consumer, set(tps), timeout=timeout, max_records=most)
            return got

        self._fetching = Fetching(consumer, settings, take)
        return consumer

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Fetched:
        """Take what is there, in this thread's loop; whatever is raised, positions say what was given."""
        while True:
            try:
                return await self._fetching.getmany(*active_partitions, timeout=timeout or 0, most=max_records)
            except NoOffsetForPartitionError as error:
                # Nobody of the group has read it yet.
                self._fetching.assignment.state_value(error.args[0]).await_reset(OffsetResetStrategy.EARLIEST)
            except OffsetOutOfRangeError:
                self._assigned = self._fetching.assignment
                raise

    async def go_to(self, tp: TP, offset: int) -> None:
        """Go on at an offset of a partition whose place is there no more, unless the group has given it anew."""
        await self.call_thread(self._go_to, tp, offset)

    async def _go_to(self, tp: TP, offset: int) -> None:
        if self._fetching.assignment is self._assigned:
            self._ensure_consumer().seek(TopicPartition(*tp), offset)

    async def on_start(self) -> None:
        """Connect as soon as a broker answers; it may have gone away since the topics were looked at."""
        await patiently(cast("LaneApp", self.app).settings, "joining the group", self._connected)

    async def _connected(self) -> None:
        try:
            await super().on_start()
        except BaseException:
            if self._consumer is not None:
                with contextlib.suppress(KafkaError):
                    await self._consumer.stop()
            raise

    def rejoin(self) -> None:
        """Join the group anew, in this thread's loop."""
        self._ensure_consumer()._coordinator.request_rejoin()

    def position_now(self, topic: str, partition: int) -> tuple[int, int] | None:
        """Return the consumer's position and the end that it last saw, without asking anybody.

        None where the partition was not fetched yet.
        """
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        if assignment is None:
            return None
        state = assignment.state_value(TopicPartition(topic, partition))
        if state is None or not state.has_valid_position or state.lso is None:
            return None
        return state._position, state.lso


class LaneConsumer(driver.Consumer):
    """Fetches for lanes as long as they have room."""

    app: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pauses = Pauses(self.app.settings)

    def _new_consumer_thread(self) -> LaneConsumerThread:
        return LaneConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def rejoin(self) -> None:
        """Ask the group for this member's partitions once more."""
        thread = cast(LaneConsumerThread, self._thread)
        thread.thread_loop.call_soon_threadsafe(thread.rejoin)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, Any]:
        lanes = self.app.lanes
        wanted = {tp for tp in active_partitions or () if lanes.wants(tp)}
        if not wanted:
            await lanes.room(timeout)
            return {}
        generation = self.app.consumer_generation_id
        wait = _WAIT_CLOSING if lanes.closing else _WAIT
        try:
            records = await self._found(wanted, wait)
        except DENIED as error:
            raise Fatal(
                f"Kafka refuses to let this worker read: {type(error).__name__} {error}. Nothing that was committed is "
                "lost. Give it the right to its topics and its group, and start it again."
            ) from error
        except KafkaError as error:
            # What its member of the group met while brokers came and went; it goes on by itself, from what was given.
            await self._pauses.rest("fetching", error)
            return {}
        self._pauses.over()
        if not self.flow_active or generation != self.app.consumer_generation_id:
            # A rebalance has begun; where lanes go on is asked for anew.
            return {}
        rest = {tp: found for tp, found in records.items() if not lanes.give(tp, found)}
        # No fetch is under way now, so all before these positions was given.
        lanes.look(cast(LaneConsumerThread, self._thread).position_now)
        return rest

    async def _found(self, wanted: set[TP], wait: float) -> Mapping[TP, Any]:
        """Return what is there. Raises Fatal where a lane's place is there no more, as Lanes.place_of says."""
        try:
            found: Mapping[TP, Any] = await super()._getmany(wanted, wait)
        except OffsetOutOfRangeError as error:
            for tp, at in error.args[0].items():
                place = await self.app.lanes.place_of(tp, at)
                if place is not None:
                    await cast(LaneConsumerThread, self._thread).go_to(tp, place)
            return {}
        return found

    async def wait_empty(self) -> None:
        """Let lanes end their batch in hand before partitions go."""
        await self.app.lanes.stop()
        await super().wait_empty()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Say nothing: Faust looks for messages it handed out, and lanes take none of them."""


class Transport(driver.Transport):
    """`lane://`, found by Faust through the entry point group `faust.transports`."""

    Consumer = LaneConsumer
