"""A Kafka deployment as a console's source: a thread that follows it, and how its workers are doing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from msgspec import json

from console.cache import FILE, Cache
from console.follower import Follower
from console.kept import keep, kept
from console.ledger import Ledger
from console.source import seconds_since
from console.trail import trail
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import Fatal
from schemas.topics import TOPICS
from streams.endings import ended
from streams.kafka.access import see_whether_let_in
from streams.kafka.letters import send_again
from streams.kafka.progress import Progress
from streams.policies import changes_in, first_files
from streams.privacy.audit import Audit, KafkaAudit, Shown
from streams.privacy.opening import vault_of
from streams.registry import codec_for
from streams.settings import Settings

INBOUND = [topic.name for topic in TOPICS.values() if topic.inbound]
# Seconds between two looks at the group, over how many the rate is taken, and after how many Kafka counts as away.
_LOOK, _RATE, _AWAY = 1.0, 15.0, 5.0
# Seconds that sending letters in again may take; what was not sent by then can be sent later.
_SENDING = 120.0
# Seconds that putting a look on record may take, and that one may wait for others who do.
_RECORDING = 10.0


class Watch:
    """Asks Kafka how far its workers are: a member of no group, that only asks for offsets."""

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
        """Look again and again; while the broker is away what was seen last stands."""
        while True:
            try:
                await self._session()
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(_LOOK)

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
                found = await consumer._coordinator.fetch_committed_offsets(self._tps)
                self.committed = {tp: at.offset for tp, at in found.items() if at.offset >= 0}
                await self._ask_members(admin)
                await asyncio.sleep(_LOOK)
        finally:
            await consumer.stop()
            await admin.close()

    async def _ask_members(self, admin: AIOKafkaAdminClient) -> None:
        (answer,) = await admin.describe_consumer_groups([self._group])
        (code, _, state, _, _, members, *_) = answer.groups[0]
        self.members, self.state = (len(members), state) if not code else (None, "")


class OnTheRecord:
    """Writes to the topic `audit`, for threads that may wait for Kafka; one record behind the other, as in a chain."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._audit = KafkaAudit(settings, codec, "reprieve.console")
        self._one = threading.Lock()

    def record(self, shown: Iterable[Shown], actor: str, purpose: str) -> None:
        """Publish records, acknowledged. Raises Fatal where Kafka does not take them."""
        try:
            # Whoever waits for others would wait the longer the more of them there are.
            if not self._one.acquire(timeout=_RECORDING):
                raise TimeoutError("others wait for it")
            try:
                asyncio.run(asyncio.wait_for(self._audit.record(shown, actor, purpose), _RECORDING))
            finally:
                self._one.release()
        except (KafkaError, OSError) as error:
            raise Fatal(
                f"Kafka does not take the record of who looks: {type(error).__name__} {error}. Nothing is shown "
                "that is not on record; try again."
            ) from error


class KafkaSource:
    """A deployment, followed into the console's own file in a folder."""

    keeps = True

    def __init__(self, settings: Settings, book: str, folder: Path | None = None) -> None:
        self._settings = settings
        self._book = book
        self._folder = folder or settings.console.data_dir
        self._codec: Codec = codec_for(settings)
        self._vault = vault_of(settings.privacy)
        self._cache: Cache | None = None
        self._follower: Follower | None = None
        self.audit: Audit = OnTheRecord(settings, self._codec)
        self._watch = Watch(settings)
        self._rates: deque[tuple[float, int]] = deque()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._sending = threading.Lock()
        self._stopping = False
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Take the folder and begin to follow. Raises Fatal where another process has it."""
        settings = self._settings
        name = f"{settings.topics.prefix} {settings.worker.application_id}"
        self._cache = Cache(self._folder, name, settings.topics.partitions, self._codec, self._vault)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and let go of the folder."""
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
            asyncio.run(self._live())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self.failure = error

    async def _live(self) -> None:
        assert self._cache is not None
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._stopping:
            return
        await see_whether_let_in(self._settings)
        self._follower = Follower(self._settings, self._cache, self._codec)
        watching = asyncio.create_task(self._watch.run())
        following = asyncio.create_task(self._follower.run())
        try:
            done, _ = await asyncio.wait({watching, following}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await ended(following)
            await ended(watching)

    # -- for the console's thread

    def open(self) -> Ledger:
        """Return what was read so far."""
        return Ledger(self._folder, FILE, self._vault)

    def caught_up(self) -> bool:
        """Say whether all is in that was committed when it began."""
        return self._follower is not None and self._follower.caught_up

    def built(self, ledger: Ledger) -> str:
        """Return the word of the file, another one each time it is made anew."""
        return ledger.meta("built") or ""

    def kept(self, ledger: Ledger) -> tuple[int, Iterator[bytes]] | None:
        """Return what was counted of this building of the file."""
        return kept(ledger.db, self.built(ledger))

    def keep(self, built: str, position: int, parts: Sequence[bytes]) -> bool:
        """Write what was counted into the file, beside the thread that follows."""
        return keep(self._folder / FILE, built, position, parts)

    def in_force(self, ledger: Ledger) -> str | None:
        """Return the policy book that the settings name."""
        return self._book

    def changes(self, ledger: Ledger) -> list[ev.PolicyChanged]:
        """Return the changes that the workers have taken; every partition has the same."""
        return changes_in(_of_rules(ledger).get)

    def first_files(self, ledger: Ledger) -> dict[str, str] | None:
        """Return the texts that the workers keep of the book with which they began."""
        return first_files(_of_rules(ledger).get)

    def health(self, ledger: Ledger) -> dict[str, Any]:
        """Return how far workers and the console itself are behind."""
        watch, follower, prefix = self._watch, self._follower, self._settings.topics.prefix
        lanes: dict[int, dict[str, Any]] = {}
        newest = processed = lag = 0
        rows = ledger.db.execute("SELECT partition, value, at FROM lane WHERE agent = 'account' AND name = 'read'")
        read = {part: (json.decode(value, type=Progress).offsets, at) for part, value, at in rows}
        ends, begins = watch.ends, watch.begins
        for part in range(self._settings.topics.partitions):
            offsets, at = read.get(part, ({}, 0))
            newest = max(newest, at)
            behind = 0
            for topic in INBOUND:
                tp = TopicPartition(prefix + topic, part)
                end, begin = ends.get(tp, 0), begins.get(tp, 0)
                # What a lane wrote in its own changelog counts where the group's coordinator tells less.
                done = max(offsets.get(topic, 0), watch.committed.get(tp, 0), begin)
                behind += max(0, end - done)
                processed += max(0, min(done, end) - begin) if ends else 0
            lag += behind
            lanes[part] = {"partition": part, "lag": behind if ends else None, "newest_commit_ms": at or None}
        return {
            "kind": "kafka",
            # Before Kafka has said where topics end, nobody knows.
            "lag": lag if ends else None,
            "processed": processed,
            "rate": self._rate(processed),
            "workers": watch.members,
            "group": watch.state,
            "newest_commit_ms": newest or None,
            "console_lag": None if follower is None else follower.behind,
            "lanes": [lanes[part] for part in sorted(lanes)],
            "problem": self._problem(),
        }

    def _rate(self, processed: int) -> int:
        now = time.monotonic()
        self._rates.append((now, processed))
        while now - self._rates[0][0] > _RATE:
            self._rates.popleft()
        began, before = self._rates[0]
        return round((processed - before) / (now - began)) if now > began else 0

    def _problem(self) -> str | None:
        """Return a word for what an operator has to look at, None where all is well."""
        follower = self._follower
        if follower is None or seconds_since(follower.answered) > _AWAY:
            return "kafka_away"
        if self._watch.members == 0:
            return "no_worker"
        if self._watch.state not in ("", "Stable"):
            return "rebalancing"
        return None

    def trail(self, who: str) -> dict[str, Any]:
        """Return what was read of the topic `audit` so far."""
        ledger = self.open()
        try:
            return trail(ledger.db, who)
        finally:
            ledger.close()

    def send_again(self, ids: Collection[str], code: str | None) -> dict[str, int]:
        """Send letters in again; workers process them as they come."""
        with self._sending:
            try:
                wanted = partial(_is_wanted, ids, code)
                sending = send_again(self._settings, self._codec, self._vault, wanted)
                sent = asyncio.run(asyncio.wait_for(sending, _SENDING))
            except (KafkaError, OSError, TimeoutError) as error:
                raise Fatal(
                    f"Kafka does not answer: {type(error).__name__} {error}. What is marked as sent was sent; look "
                    "again, and send the rest."
                ) from error
        return {"sent": sent.sent, "before": sent.before}


def _of_rules(ledger: Ledger) -> dict[str, str]:
    """Return what a lane keeps by name; of the rules every lane has the same."""
    query = "SELECT name, value FROM lane WHERE agent = 'account' AND partition = 0"
    return dict(ledger.db.execute(query))


def _is_wanted(ids: Collection[str], code: str | None, letter: ev.DeadLetter) -> bool:
    return letter.event_id in ids or letter.code == code
