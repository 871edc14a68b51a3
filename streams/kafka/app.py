"""The Faust app that tasks live in, with an assignor, a table manager and a recovery for them.

Tasks keep their rows themselves; what Faust has to know of them is the names of their changelogs, by which its
assignor places active partitions and standbys. Faust's recovery reads a changelog record by record through the
group's consumer; this one has the tasks read theirs in bulk.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Iterable
from typing import Any

import faust
from faust.app.base import BootStrategy
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP, TransportT
from mode import Service
from mode.services import WaitArgT
from mode.utils.times import Seconds

from schemas.codec import Codec
from state.policy import PolicyBook
from streams.kafka.retry import retry_until_available
from streams.kafka.task_manager import TaskManager
from streams.kafka.transport import Transport
from streams.settings import Settings

# A task never lets the group wait for longer: a rebalance ends its batch in hand first.
_POLL_SECONDS = 300.0


class TaskAssignor(PartitionAssignor):
    """Places the partitions of tasks' topics by their number in the settings.

    Faust asks the cluster's metadata and leaves out a topic that these do not name. A broker that has just come
    back names none for a moment: then everybody was assigned nothing, and the group rested so for good.
    """

    def _get_copartitioned_groups(  # type: ignore[override]
        self, topics: set[str], cluster: Any, subscriptions: Any
    ) -> Any:
        app: Any = self.app
        names = {*app.task_manager.input_names, *app.task_manager.changelog_names}
        groups: Any = super()._get_copartitioned_groups(topics - names, cluster, subscriptions)
        ours = topics & names
        if ours:
            count = app.settings.topics.partitions
            groups[count] = [*groups.get(count, ()), *self._group_co_subscribed(ours, subscriptions)]
        return groups


class TaskRecovery(Recovery):
    """Opens tasks when partitions were assigned, and then lets records flow."""

    actives: frozenset[int] = frozenset()
    standbys: frozenset[int] = frozenset()

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Note what was assigned, and let the task begin."""
        app: Any = self.app
        if generation_id != app.consumer_generation_id:
            # Another rebalance has begun already.
            return
        self.actives = self._partitions(app.assignor.assigned_actives())
        self.standbys = self._partitions(app.assignor.assigned_standbys())
        self._generation_id = generation_id
        self.signal_recovery_start.set()

    async def _wait(self, coro: WaitArgT, timeout: Seconds | None = None) -> None:
        """Wait until it is done. Raises RebalanceAgain, ServiceStopped, and TimeoutError after `timeout` seconds.

        Faust's own takes what came too late for the end of the service: recovery would be over, and say nothing.
        """
        found = await self.wait_first(coro, self.signal_recovery_start, timeout=timeout)  # type: ignore[arg-type]
        if self.signal_recovery_start.is_set():
            raise RebalanceAgain
        if found.stopped:
            if self._stopped.is_set() or self._crashed.is_set():
                raise ServiceStopped
            raise TimeoutError(f"no answer within {timeout} s")

    def _partitions(self, tps: Iterable[TP]) -> frozenset[int]:
        names = set(self.tables.changelog_topics)
        return frozenset(tp.partition for tp in tps if tp.topic in names)

    @Service.task
    async def _restart_recovery(self) -> None:
        app: Any = self.app
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):  # type: ignore[arg-type]
                return
            self.signal_recovery_start.clear()
            generation = self._generation_id
            try:
                if await app.task_manager.open(self.actives, self.standbys):
                    # Returns without doing anything where another rebalance has begun.
                    resume = functools.partial(self._resume_streams, generation_id=generation)
                    await retry_until_available(app.settings, "going to the committed offsets", resume)
            except RebalanceAgain:
                continue
            except ServiceStopped:
                return
            except Exception as error:
                app.fail(error)
                return


class TaskTables(TableManager):
    """Names the changelogs of tasks beside those of Faust's own tables."""

    @property
    def changelog_topics(self) -> set[str]:
        """Return the names of all changelogs."""
        app: Any = self.app
        return {*super().changelog_topics, *app.task_manager.changelog_names}

    @property
    def recovery(self) -> Recovery:
        """Recovery service used by this table manager."""
        if self._recovery is None:
            self._recovery = TaskRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_stop(self) -> None:
        """Call when the table manager is stopping."""
        await super().on_stop()
        app: Any = self.app
        await app.task_manager.close()


class WorkerBoot(BootStrategy):
    """Starts what tasks need of Faust; each task has a producer of its own."""

    enable_kafka_producer = False


class WorkerApp(faust.App):
    """A Faust app with tasks beside its agents."""

    BootStrategy = WorkerBoot
    settings: Settings
    task_manager: TaskManager
    failure: BaseException | None = None
    # Set when the worker is to end.
    ending: asyncio.Event | None = None

    def fail(self, error: BaseException) -> None:
        """Stop the worker: going on would lose or double something. The first failure is the one to tell."""
        if self.failure is None:
            self.failure = error
            logging.getLogger(__name__).debug("worker fails", exc_info=error)
        if self.ending is not None:
            self.ending.set()

    def rejoin(self) -> None:
        """Ask the group anew which partitions are this worker's; all tasks are opened anew."""
        consumer: Any = self.consumer
        consumer.rejoin()

    def _new_transport(self) -> TransportT:
        return Transport(self.conf.broker_consumer, self)

    def _crash(self, reason: BaseException) -> None:
        # Faust marks itself as crashed, and waits for somebody to look. A fetch that a rebalance cancelled is none.
        if not isinstance(reason, asyncio.CancelledError):
            self.fail(reason)
        super()._crash(reason)


def make_app(settings: Settings, book: PolicyBook, codec: Codec) -> WorkerApp:
    """Return the app of a worker; nothing is connected before it is started."""
    session = settings.worker.session_timeout_seconds
    app = WorkerApp(
        settings.worker.application_id,
        broker=[f"kafka://{server}" for server in settings.kafka.bootstrap_servers],
        PartitionAssignor=TaskAssignor,
        TableManager=TaskTables,
        datadir=str(settings.worker.data_dir / "faust"),
        broker_session_timeout=session,
        broker_request_timeout=max(settings.kafka.request_timeout_seconds, session),
        broker_rebalance_timeout=settings.worker.rebalance_timeout_seconds,
        broker_max_poll_interval=_POLL_SECONDS,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.worker.instance_id,
        processing_guarantee="at_least_once",
        stream_recovery_delay=0.0,
        table_standby_replicas=settings.worker.standby_replicas,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.settings = settings
    app.task_manager = TaskManager(settings, book, codec, app.fail, app.rejoin)
    for name in [*app.task_manager.input_names, *app.task_manager.changelog_names]:
        app.topics.add(app.topic(name, key_type=bytes, value_type=bytes, acks=False))
    return app
