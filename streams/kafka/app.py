"""The Faust app that tasks live in."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import faust
from faust.app.base import BootStrategy
from faust.types import TransportT

from schemas.codec import Codec
from state.policy import PolicyBook
from streams.kafka.assignor import TaskAssignor
from streams.kafka.tables import TaskTables
from streams.kafka.task_manager import TaskManager
from streams.kafka.transport import Transport
from streams.settings import Settings

# A task never lets the group wait for longer: a rebalance ends its batch in hand first.
_POLL_SECONDS = 300.0


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
