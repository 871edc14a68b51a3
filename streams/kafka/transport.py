"""Faust's transport for tasks.

Faust's consumer makes two asyncio tasks a message. This one hands whole lists of records to the tasks, and leaves to
Faust only what belongs to no task. Membership of the group, heartbeats in a thread of their own, assignment
and rebalances stay Faust's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

import aiokafka
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from schemas.errors import FatalError
from schemas.topics import TOPICS
from streams.kafka.compat import patch_fetchers, position_and_end, request_rejoin, reset_to_beginning, watch_member
from streams.kafka.isolating_fetcher import Fetched, PartitionIsolatingFetcher
from streams.kafka.retry import Backoff, permanent_error, retry_until_available
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.kafka.app import WorkerApp

# Seconds that a fetch waits for records; short while a day's close waits for the consumer's position, and while a task
# is full, which has room again before topics bring anything that bring nothing now.
_WAIT, _WAIT_CLOSING, _WAIT_FULL = 0.25, 0.005, 0.01
# Seconds for which it counts that brokers have said that the topics are the same.
_FRESH = 1.0
# How aiokafka marks a record that has the broker's time.
_LOG_APPEND_TIME = 1
_FETCH_BYTES = 4 * 1024 * 1024


class TaskConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that is the group's member. It reads only what is committed."""

    _fetching: PartitionIsolatingFetcher
    # What was assigned when a place was found to be there no more.
    _assigned: Any = None

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        app = cast("WorkerApp", self.app)
        settings, conf = app.settings, app.conf
        patch_fetchers()
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

        self._fetching = PartitionIsolatingFetcher(consumer, settings, take)
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
                reset_to_beginning(self._ensure_consumer(), error.args[0])
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
        await retry_until_available(cast("WorkerApp", self.app).settings, "joining the group", self._connected)

    async def _connected(self) -> None:
        try:
            await super().on_start()
        except BaseException:
            if self._consumer is not None:
                with contextlib.suppress(KafkaError):
                    await self._consumer.stop()
            raise

        self._hear_coordinator()

    def _hear_coordinator(self) -> None:
        """Have the worker end on what its coordinator will answer for ever, and aiokafka would try again for ever.

        What the group's member meets is raised only to who fetches, and before the group is joined nobody does.
        """
        app, loop = cast("WorkerApp", self.app), self.app.loop

        def met(error: BaseException) -> None:
            final = permanent_error(app.settings, "joining the group", error)
            if final is not None:
                loop.call_soon_threadsafe(app.fail, final)

        def ended(error: BaseException) -> None:
            # Nothing would join the group again.
            loop.call_soon_threadsafe(app.fail, FatalError(f"The group's member failed: {error}. Start it again."))

        watch_member(self._ensure_consumer(), met, ended)

    def rejoin(self) -> None:
        """Join the group anew, in this thread's loop."""
        request_rejoin(self._ensure_consumer())

    def position_now(self, topic: str, partition: int) -> tuple[int, int] | None:
        """Return the consumer's position and the end that it last saw, without asking anybody.

        None where the partition was not fetched yet.
        """
        return position_and_end(self._ensure_consumer(), TopicPartition(topic, partition))


class TaskConsumer(driver.Consumer):
    """Fetches for tasks as long as they have room."""

    app: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._backoff = Backoff(self.app.settings)

    def _new_consumer_thread(self) -> TaskConsumerThread:
        return TaskConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def rejoin(self) -> None:
        """Ask the group for this member's partitions once more."""
        thread = cast(TaskConsumerThread, self._thread)
        thread.thread_loop.call_soon_threadsafe(thread.rejoin)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, Any]:
        tasks = self.app.task_manager
        wanted = {tp for tp in active_partitions or () if tasks.can_accept(tp)}
        if not wanted:
            await tasks.wait_for_capacity(timeout)
            return {}
        generation = self.app.consumer_generation_id
        wait = fetch_wait(closing=tasks.closing, full=len(wanted) < len(active_partitions or ()))
        try:
            records = await self._found(wanted, wait)
        except KafkaError as error:
            # What its member of the group met while brokers came and went; it goes on by itself, from what was given.
            await self._backoff.wait("fetching", error)
            return {}
        self._backoff.reset()
        if records:
            see_times(self.app.settings, records)
            if tasks.verified is not None:
                await tasks.verified(_FRESH)
        if not self.flow_active or generation != self.app.consumer_generation_id:
            # A rebalance has begun; where tasks go on is asked for anew.
            return {}
        rest = {tp: found for tp, found in records.items() if not tasks.add_records(tp, found)}
        # No fetch is under way now, so all before these positions was given.
        tasks.update_positions(cast(TaskConsumerThread, self._thread).position_now)
        return rest

    async def _found(self, wanted: set[TP], wait: float) -> Mapping[TP, Any]:
        """Return what is there. Raises what TaskManager.place_of raises where a task's offset is gone."""
        try:
            found: Mapping[TP, Any] = await super()._getmany(wanted, wait)
        except OffsetOutOfRangeError as error:
            for tp, at in error.args[0].items():
                place = await self.app.task_manager.place_of(tp, at)
                if place is not None:
                    await cast(TaskConsumerThread, self._thread).go_to(tp, place)
            return {}
        return found

    async def wait_empty(self) -> None:
        """Let tasks end their batch in hand before partitions go."""
        await self.app.task_manager.stop()
        await super().wait_empty()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Say nothing: Faust looks for messages it handed out, and tasks take none of them."""


def fetch_wait(*, closing: bool, full: bool) -> float:
    """Return for how many seconds a fetch may wait. full: a task takes no more of some of its topics now."""
    if closing:
        return _WAIT_CLOSING
    return _WAIT_FULL if full else _WAIT


def see_times(settings: Settings, records: Mapping[TP, Any]) -> None:
    """See that the broker has stamped what comes from outside. Raises FatalError where a producer has."""
    if settings.worker.record_times == "any":
        return
    prefix = settings.topics.prefix
    for tp, found in records.items():
        topic = TOPICS.get(tp.topic.removeprefix(prefix))
        if topic is None or not topic.inbound:
            continue
        for record in found:
            if record.timestamp_type != _LOG_APPEND_TIME:
                raise FatalError(
                    f"Records of {tp.topic}/{tp.partition} from offset {record.offset} on have their producer's time: "
                    "message.timestamp.type was set to CreateTime. Tasks put records of different topics in order by "
                    "the broker's time, and nothing of these was taken. Run `reprieve topics apply`, which sets it "
                    "back. To take those that are there by the times that they have, start workers with "
                    'worker.record_times = "any" until they are read: news that such a time makes wrong is '
                    "corrected at the next close."
                )


class Transport(driver.Transport):
    """Faust's own, with the consumer of tasks."""

    Consumer = TaskConsumer
