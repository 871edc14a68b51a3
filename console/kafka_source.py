"""A Kafka deployment as the console's source: a thread that loads it into the cache, and the state of its workers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from msgspec import json

from console import snapshot
from console.audit_page import audit_page
from console.cache import FILE, Cache
from console.cache_loader import CacheLoader
from console.read_store import ReadStore
from console.source import Source, seconds_since
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import FatalError
from schemas.topics import TOPICS
from streams.kafka.audit import KafkaAudit
from streams.kafka.auth_check import check_credentials
from streams.kafka.changelog_format import CommitMarker
from streams.kafka.compat import committed_with_metadata
from streams.kafka.dead_letters import redrive
from streams.registry import codec_for
from streams.security.audit import Audit, Shown
from streams.security.vault_factory import vault_of
from streams.settings import Settings
from streams.shutdown import cancel_and_wait

INBOUND = [topic.name for topic in TOPICS.values() if topic.inbound]
# Seconds between two queries of the group, over which the rate is measured, and after which Kafka counts as away.
_QUERY_INTERVAL, _RATE_WINDOW, _AWAY = 1.0, 15.0, 5.0
# Seconds that a redrive may take; what was not sent by then can be sent later.
_REDRIVE_TIMEOUT = 120.0
# Seconds that an audit record may take, and that one may wait for others.
_RECORD_TIMEOUT = 10.0


class WorkerMonitor:
    """Queries the workers' group: its members, and committed and end offsets. It never joins the group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prefix, self._group = settings.topics.prefix, settings.worker.application_id
        self._tps = [
            TopicPartition(self._prefix + topic, part)
            for topic in INBOUND
            for part in range(settings.topics.partitions)
        ]
        self.ends: dict[TopicPartition, int] = {}
        self.begins: dict[TopicPartition, int] = {}
        self.committed: dict[TopicPartition, int] = {}
        self.members: int | None = None
        self.state = ""

    async def run(self) -> None:
        """Query at intervals; while the broker is away, the last answers stand."""
        while True:
            try:
                await self._session()
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(_QUERY_INTERVAL)

    async def _session(self) -> None:
        options = self._settings.kafka.client_options()
        # It asks for the group's offsets, and never joins it.
        consumer = AIOKafkaConsumer(
            **options, group_id=self._group, enable_auto_commit=False, isolation_level="read_committed"
        )
        admin = AIOKafkaAdminClient(**options)
        try:
            await consumer.start()
            await admin.start()
            while True:
                self.ends = dict(await consumer.end_offsets(self._tps))
                self.begins = dict(await consumer.beginning_offsets(self._tps))
                found = await committed_with_metadata(consumer, self._tps)
                self.committed = {tp: at.offset for tp, at in found.items() if at.offset >= 0}
                await self._ask_members(admin)
                await asyncio.sleep(_QUERY_INTERVAL)
        finally:
            await consumer.stop()
            await admin.close()

    async def _ask_members(self, admin: AIOKafkaAdminClient) -> None:
        (answer,) = await admin.describe_consumer_groups([self._group])
        (code, _, state, _, _, members, *_) = answer.groups[0]
        self.members, self.state = (len(members), state) if not code else (None, "")


class BlockingAudit:
    """Writes to the topic `audit` from threads that may block, one record at a time since records form a chain."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._audit = KafkaAudit(settings, codec, "reprieve.console")
        self._one = threading.Lock()

    def record(self, shown: Iterable[Shown], actor: str, purpose: str) -> None:
        """Publish records, acknowledged. Raises FatalError where Kafka does not take them."""
        try:
            # Waiting has a limit: it would grow with the number of those who wait.
            if not self._one.acquire(timeout=_RECORD_TIMEOUT):
                raise TimeoutError("others wait for it")
            try:
                asyncio.run(asyncio.wait_for(self._audit.record(shown, actor, purpose), _RECORD_TIMEOUT))
            finally:
                self._one.release()
        except (KafkaError, OSError) as error:
            raise FatalError(
                f"Kafka does not take the record of who looks: {type(error).__name__} {error}. Nothing is shown "
                "that is not on record; try again."
            ) from error


class KafkaSource(Source):
    """A deployment, loaded into the console's cache file in a folder."""

    has_snapshots = True

    def __init__(self, settings: Settings, book: str, folder: Path | None = None) -> None:
        self._settings = settings
        self._book = book
        self._folder = folder or settings.console.data_dir
        self._codec: Codec = codec_for(settings)
        self._vault = vault_of(settings.privacy)
        self._cache: Cache | None = None
        self._loader: CacheLoader | None = None
        self.audit: Audit = BlockingAudit(settings, self._codec)
        self._monitor = WorkerMonitor(settings)
        self._rates: deque[tuple[float, int]] = deque()
        self._thread = threading.Thread(target=self._run, name="cache-loader", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._redriving = threading.Lock()
        self._stopping = False

    def start(self) -> None:
        """Lock the folder and begin to follow. Raises FatalError where another process has it."""
        settings = self._settings
        name = f"{settings.topics.prefix} {settings.worker.application_id}"
        self._cache = Cache(self._folder, name, settings.topics.partitions, self._codec, self._vault)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and release the folder."""
        self._stopping = True
        if self._loop is not None and self._task is not None:
            # Where it ended by itself there is no loop any more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)
        if self._thread.is_alive():
            self._thread.join(10)
        if self._cache is not None and not self._thread.is_alive():
            self._cache.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._follow())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self.failure = error

    async def _follow(self) -> None:
        assert self._cache is not None
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._stopping:
            return
        await check_credentials(self._settings)
        self._loader = CacheLoader(self._settings, self._cache, self._codec)
        monitoring = asyncio.create_task(self._monitor.run())
        loading = asyncio.create_task(self._loader.run())
        try:
            done, _ = await asyncio.wait({monitoring, loading}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await cancel_and_wait(loading)
            await cancel_and_wait(monitoring)

    # -- for the console's thread

    def open(self) -> ReadStore:
        """Return a store of what was loaded so far."""
        return ReadStore(self._folder, FILE, self._vault)

    def caught_up(self) -> bool:
        """Return whether all is loaded that was committed when the console was started."""
        return self._loader is not None and self._loader.caught_up

    def store_generation(self, store: ReadStore) -> str:
        """Return the id of the cache file, which changes whenever it is rebuilt."""
        return store.meta("generation") or ""

    def load_snapshot(self, store: ReadStore) -> tuple[int, Iterator[bytes]] | None:
        """Return the snapshot of this generation of the cache file."""
        return snapshot.load(store.db, self.store_generation(store))

    def save_snapshot(self, generation: str, position: int, parts: Sequence[bytes]) -> bool:
        """Write a snapshot into the cache file, beside the loader's thread."""
        return snapshot.save(self._folder / FILE, generation, position, parts)

    def in_force(self, store: ReadStore) -> str | None:
        """Return the policy book that the settings name."""
        return self._book

    def policy_values(self, store: ReadStore) -> Callable[[str], str | None]:
        """Return how to look up what the workers keep of their policies; every partition has the same."""
        query = "SELECT name, value FROM lane WHERE agent = 'account' AND partition = 0"
        return dict(store.db.execute(query)).get

    def health(self, store: ReadStore) -> dict[str, Any]:
        """Return how far workers and the console itself are behind."""
        monitor, loader, prefix = self._monitor, self._loader, self._settings.topics.prefix
        partitions: dict[int, dict[str, Any]] = {}
        newest = processed = lag = 0
        rows = store.db.execute("SELECT partition, value, at FROM lane WHERE agent = 'account' AND name = 'read'")
        read = {part: (json.decode(value, type=CommitMarker).offsets, at) for part, value, at in rows}
        ends, begins = monitor.ends, monitor.begins
        for part in range(self._settings.topics.partitions):
            offsets, at = read.get(part, ({}, 0))
            newest = max(newest, at)
            behind = 0
            for topic in INBOUND:
                tp = TopicPartition(prefix + topic, part)
                end, begin = ends.get(tp, 0), begins.get(tp, 0)
                # A partition's own changelog counts where the group's coordinator has less.
                done = max(offsets.get(topic, 0), monitor.committed.get(tp, 0), begin)
                behind += max(0, end - done)
                processed += max(0, min(done, end) - begin) if ends else 0
            lag += behind
            partitions[part] = {"partition": part, "lag": behind if ends else None, "newest_commit_ms": at or None}
        return {
            "kind": "kafka",
            # Unknown before Kafka has answered with end offsets.
            "lag": lag if ends else None,
            "processed": processed,
            "rate": self._rate(processed),
            "workers": monitor.members,
            "group": monitor.state,
            "newest_commit_ms": newest or None,
            "console_lag": None if loader is None else loader.behind,
            "lanes": [partitions[part] for part in sorted(partitions)],
            "problem": self._problem(),
        }

    def _rate(self, processed: int) -> int:
        now = time.monotonic()
        self._rates.append((now, processed))
        while now - self._rates[0][0] > _RATE_WINDOW:
            self._rates.popleft()
        began, before = self._rates[0]
        return round((processed - before) / (now - began)) if now > began else 0

    def _problem(self) -> str | None:
        """Return the code of a problem for operators, None where all is well."""
        loader = self._loader
        if loader is None or seconds_since(loader.answered) > _AWAY:
            return "kafka_away"
        if self._monitor.members == 0:
            return "no_worker"
        if self._monitor.state not in ("", "Stable"):
            return "rebalancing"
        return None

    def audit_page(self, who: str) -> dict[str, Any]:
        """Return the records of the topic `audit` that were loaded so far."""
        with closing(self.open()) as store:
            return audit_page(store.db, who)

    def redrive(self, ids: Collection[str], code: str | None) -> dict[str, int]:
        """Send dead letters in again; workers process them as they arrive."""
        with self._redriving:
            try:
                wanted = partial(_is_selected, ids, code)
                sending = redrive(self._settings, self._codec, self._vault, wanted)
                sent = asyncio.run(asyncio.wait_for(sending, _REDRIVE_TIMEOUT))
            except (KafkaError, OSError, TimeoutError) as error:
                raise FatalError(
                    f"Kafka does not answer: {type(error).__name__} {error}. What is marked as sent was sent; look "
                    "again, and send the rest."
                ) from error
        return {"sent": sent.sent, "before": sent.before}


def _is_selected(ids: Collection[str], code: str | None, letter: ev.DeadLetter) -> bool:
    return letter.event_id in ids or letter.code == code
