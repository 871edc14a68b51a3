"""A worker process: one Faust app with its tasks, until it is told to stop or something fails."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
import threading
from typing import Any

from aiokafka.errors import KafkaConnectionError
from faust.worker import Worker

from schemas.codec import Codec
from schemas.errors import FatalError, ReprieveError
from state.policy import PolicyBook
from streams.engine.agent_store import fewer_collections
from streams.http.health import HealthStatus, Stalls, health
from streams.kafka.app import WorkerApp, make_app
from streams.kafka.auth_check import check_credentials
from streams.kafka.deployment import Deployment, verify_deployment
from streams.kafka.isolating_fetcher import unreadable_partitions
from streams.kafka.retry import is_waiting, long_wait, retry_until_available
from streams.kafka.sealing import vault_for
from streams.kafka.topic_watch import watch_topics
from streams.logs import set_up_logging
from streams.redaction import describe_error
from streams.registry import subjects
from streams.settings import Settings
from streams.shutdown import exit_after_grace

# Seconds that a worker that failed may take to close what it holds.
_CLOSING_SECONDS = 15.0


class QuietWorker(Worker):
    """Faust's worker, which here leaves signals to its owner, and draws nothing between the lines of the log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spinner = None

    def install_signal_handlers(self) -> None:
        """Install none."""


def run_worker(settings: Settings, book: PolicyBook, codec: Codec) -> None:
    """Run a worker until SIGTERM or SIGINT. Raises FatalError with one sentence where it cannot go on."""
    set_up_logging(settings.worker.log_level, settings.worker.log_format)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = make_app(settings, book, codec)
    worker = QuietWorker(
        app,
        loop=loop,
        quiet=True,
        redirect_stdouts=False,
        override_logging=False,
        loglevel=settings.worker.log_level,
        daemon=False,
    )
    try:
        with fewer_collections():
            loop.run_until_complete(_run(worker, app, codec))
    except KeyboardInterrupt:
        # It waited for what it needs; a thread that asks for it may hang.
        exit_after_grace(128 + signal.SIGTERM)
        raise
    if app.failure is not None:
        raise _as_fatal(app.failure) from app.failure


async def _run(worker: Worker, app: WorkerApp, codec: Codec) -> None:
    """Wait for what the worker needs, and let it live; probes and metrics are answered from the beginning."""
    settings = app.settings
    stalls = Stalls(settings.health.stall_seconds)

    def health_status() -> HealthStatus:
        # Before there are tasks, only neighbours are waited for.
        under_way = app.task_manager.under_way() if app.ending is not None else {}
        unready = (unreadable_partitions() or long_wait()) if app.task_manager.ready else "its tasks are not open yet"
        return HealthStatus(stalls.stalled(under_way, excused=is_waiting()), unready)

    async with health(settings.health, health_status):
        app.task_manager.vault = await vault_for(settings)
        deployment = await retry_until_available(settings, "looking at the topics", lambda: _agreed(settings))
        if settings.registry.url is not None:
            ask = functools.partial(asyncio.to_thread, codec.prepare, subjects(settings))
            await retry_until_available(settings, "asking the registry for our schemas", ask)
        app.task_manager.take_folder()
        async with watch_topics(settings, deployment, app.fail) as watch:
            app.task_manager.deployment, app.task_manager.verified = deployment, watch.verified
            await _lived(worker, app)


async def _agreed(settings: Settings) -> Deployment:
    """Return what the deployment is made of. Raises FatalError where its topics are not as they have to be."""
    try:
        return await verify_deployment(settings)
    except KafkaConnectionError:
        await check_credentials(settings)
        raise


async def _lived(worker: Worker, app: WorkerApp) -> None:
    """Start the worker, wait until it is to end, and end it."""
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    app.ending = ending
    if app.failure is not None:
        ending.set()
    # It waits for the group, which may take as long as the broker is away, and is told to end meanwhile.
    starting = asyncio.ensure_future(worker.maybe_start())
    told = asyncio.ensure_future(ending.wait())
    try:
        await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await told
    except Exception as error:
        app.failure = app.failure or error
    finally:
        # What hangs while it closes holds nothing that is not committed.
        last = threading.Timer(_CLOSING_SECONDS, _leave, [app])
        last.daemon = True
        last.start()
        starting.cancel()
        told.cancel()
        await worker.stop()


def _leave(app: WorkerApp) -> None:
    failure = app.failure
    if failure is not None:
        print(f"reprieve: {_as_fatal(failure)}", file=sys.stderr, flush=True)
    os._exit(0 if failure is None else 1)


def _as_fatal(error: BaseException) -> FatalError:
    if isinstance(error, FatalError):
        return error
    if isinstance(error, ReprieveError):
        return FatalError(str(error))
    return FatalError(f"The worker failed with {describe_error(error)}. Nothing that was committed is lost.")
