"""A worker process: one Faust app with its lanes, until it is told to stop or something fails."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import sys
import threading
from typing import Any

import structlog
from aiokafka.errors import KafkaConnectionError
from faust.worker import Worker

from schemas.codec import Codec
from schemas.errors import Fatal, ReprieveError
from state.policy import PolicyBook
from streams.desk import fewer_collections
from streams.health import Stalls, Standing, health
from streams.kafka.access import see_whether_let_in
from streams.kafka.app import LaneApp, make_app
from streams.kafka.broker import is_away, patiently
from streams.kafka.fetching import unreadable
from streams.kafka.sealing import vault_for
from streams.kafka.topology import Difference, differences
from streams.registry import subjects
from streams.settings import Settings

# Seconds that a worker that failed may take to close what it holds.
_CLOSING_SECONDS = 15.0
# Seconds between two complaints that are alike, of those who try again many times a second.
_SELDOM_SECONDS = 10.0
_TALKATIVE = ("aiokafka", "opentelemetry")


class LaneWorker(Worker):
    """Faust's worker, which here leaves signals to its owner, and draws nothing between the lines of the log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spinner = None

    def install_signal_handlers(self) -> None:
        """Install none."""


def run_worker(settings: Settings, book: PolicyBook, codec: Codec) -> None:
    """Run a worker until SIGTERM or SIGINT. Raises Fatal with one sentence where it cannot go on."""
    set_up_logging(settings)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = make_app(settings, book, codec)
    worker = LaneWorker(
        app,
        loop=loop,
        quiet=True,
        redirect_stdouts=False,
        override_logging=False,
        loglevel=settings.worker.log_level,
        daemon=False,
    )
    with fewer_collections():
        loop.run_until_complete(_run(worker, app, codec))
    if app.failure is not None:
        raise _as_fatal(app.failure) from app.failure


async def _run(worker: Worker, app: LaneApp, codec: Codec) -> None:
    """Wait for what the worker needs, and let it live; probes and metrics are answered from the beginning."""
    settings = app.settings
    stalls = Stalls(settings.health.stall_seconds)

    def standing() -> Standing:
        # Before there are lanes, only neighbours are waited for.
        under_way = app.lanes.under_way() if app.ending is not None else {}
        unready = unreadable() if app.lanes.ready else "its lanes are not open yet"
        return Standing(stalls.ill(under_way, excused=is_away()), unready)

    async with health(settings.health, standing):
        app.lanes.vault = await vault_for(settings)
        await _agreed(settings)
        if settings.registry.url is not None:
            ask = functools.partial(asyncio.to_thread, codec.prepare, subjects(settings))
            await patiently(settings, "asking the registry for our schemas", ask)
        app.lanes.take_folder()
        await _lived(worker, app)


async def _agreed(settings: Settings) -> None:
    """See that the topics are as settings say, however long the broker is away. Raises Fatal where they are not."""
    found = await patiently(settings, "looking at the topics", lambda: _looked(settings))
    if found:
        more = f" ({len(found) - 1} more: `reprieve topics check`)" if len(found) > 1 else ""
        raise Fatal(f"{found[0].topic} {found[0].message}{more}. The worker did not start.")


async def _looked(settings: Settings) -> list[Difference]:
    try:
        return await differences(settings)
    except KafkaConnectionError:
        await see_whether_let_in(settings)
        raise


async def _lived(worker: Worker, app: LaneApp) -> None:
    """Start the worker, wait until it is to end, and end it."""
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    app.ending = ending
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


def _leave(app: LaneApp) -> None:
    failure = app.failure
    if failure is not None:
        print(f"reprieve: {_as_fatal(failure)}", file=sys.stderr, flush=True)
    os._exit(0 if failure is None else 1)


def _as_fatal(error: BaseException) -> Fatal:
    if isinstance(error, Fatal):
        return error
    if isinstance(error, ReprieveError):
        return Fatal(str(error))
    return Fatal(f"The worker failed with {type(error).__name__}: {error}. Nothing that was committed is lost.")


class Seldom(logging.Filter):
    """Lets the same complaint through once in a while: aiokafka tries again many times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is told."""
        # The text before it is filled in: a complaint about another node is the same complaint.
        if record.created - self._told.get(record.msg, 0.0) < _SELDOM_SECONDS:
            return False
        self._told[record.msg] = record.created
        return True


def set_up_logging(settings: Settings) -> None:
    """Let all logs be lines of one kind on standard error, JSON or for a person."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json = settings.worker.log_format == "json"
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    seldom = Seldom()
    handler.addFilter(lambda record: not record.name.startswith(_TALKATIVE) or seldom.filter(record))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.worker.log_level)
    # Faust and aiokafka tell much that nobody asked for.
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(settings.worker.log_level)))
