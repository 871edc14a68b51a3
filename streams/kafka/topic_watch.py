"""Sees, while a worker runs, that its topics are those that it began with.

Kafka says nothing to a consumer whose topic was deleted and made anew: it reads on in the other topic, where its
offsets mean nothing. Nor does it say that partitions were added. So brokers are asked every second while records come,
and no record is handed on before they have answered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from schemas.errors import FatalError, RetryableError
from streams.kafka.deployment import Deployment, deployment_topics, report_lenient_differences, topic_faults
from streams.kafka.retry import RETRIABLE_ERRORS, retry_until_available
from streams.kafka.topic_admin import TopicDifference, find_differences
from streams.kafka.topic_ids import TopicIds
from streams.settings import Settings
from streams.shutdown import cancel_and_wait

# Seconds between two looks where no records come; between two looks at the settings of topics; for which a broker may
# not know of a topic before it counts as deleted.
_EVERY, _SETTINGS_EVERY, _GONE = 5.0, 15.0, 5.0


class TopicWatch:
    """What is seen of the topics of a worker that runs. failed: told of what ends it."""

    def __init__(self, settings: Settings, deployment: Deployment, failed: Callable[[BaseException], None]) -> None:
        self._settings = settings
        self._deployment = deployment
        self._failed = failed
        self._ids = TopicIds(settings)
        self._names = deployment_topics(settings)
        self._asking = asyncio.Lock()
        # When brokers were asked for the answer that counts; since when which topics are not known to one.
        self._asked_at = float("-inf")
        self._gone: dict[str, float] = {}

    async def verified(self, fresh: float) -> None:
        """Return once every broker that leads has said, at most `fresh` seconds ago, that the topics are the same.

        However long brokers are away. Raises FatalError where a topic is another, has more partitions, or is gone.
        """
        since = time.monotonic() - fresh
        if self._asked_at < since:
            await retry_until_available(self._settings, "looking at the topics", lambda: self._look(since))

    async def _look(self, since: float) -> None:
        async with self._asking:
            began = time.monotonic()
            if self._asked_at >= since:
                return
            try:
                answers = await self._ids.ask(self._names.values())
            except RETRIABLE_ERRORS:
                # By other connections the next time: brokers may be at other addresses then.
                await self._ids.stop()
                raise
            for seen in answers:
                for fault in topic_faults(self._deployment, self._settings, seen):
                    raise FatalError(f"{fault} Nothing that was committed is lost.")
            self._see_whether_gone(
                {full for seen in answers for full in self._names.values() if full not in seen}, began
            )
            self._asked_at = began

    def _see_whether_gone(self, missing: set[str], now: float) -> None:
        self._gone = {full: self._gone.get(full, now) for full in missing}
        for full, since in sorted(self._gone.items()):
            if now - since > _GONE:
                raise FatalError(
                    f"{full} was deleted. Nothing that was committed is lost; what had not been read of it is. Restore "
                    'it, or see "A topic was made anew" in docs/operations.md.'
                )
            raise RetryableError(f"{full} is not known to every broker")

    async def run(self) -> None:
        """Look again and again; what ends the worker goes to `failed`, and this ends."""
        looked, before = time.monotonic(), set[TopicDifference]()
        try:
            while True:
                await asyncio.sleep(_EVERY)
                await self.verified(_EVERY)
                if before or time.monotonic() - looked >= _SETTINGS_EVERY:
                    looked = time.monotonic()
                    before = self._see_settings(await self._differences(), before)
        except Exception as error:
            self._failed(error)
        finally:
            await self._ids.stop()

    async def _differences(self) -> list[TopicDifference]:
        try:
            return await find_differences(self._settings)
        except (KafkaError, OSError):
            # What is away is told of by those who wait for it.
            return []

    def _see_settings(self, found: list[TopicDifference], before: set[TopicDifference]) -> set[TopicDifference]:
        """Take notice of settings; returns those of which one more look must show that they are so."""
        report_lenient_differences(found)
        refused = {difference for difference in found if difference.refused}
        for difference in sorted(refused & before, key=lambda one: (one.topic, one.message)):
            raise FatalError(
                f"{difference.topic} {difference.message}. It was changed while this worker ran. Nothing that was "
                "committed is lost."
            )
        return refused


@asynccontextmanager
async def watch_topics(
    settings: Settings, deployment: Deployment, failed: Callable[[BaseException], None]
) -> AsyncIterator[TopicWatch]:
    """TopicWatch the topics while the block runs."""
    watch = TopicWatch(settings, deployment, failed)
    task = asyncio.create_task(watch.run(), name="watch")
    try:
        yield watch
    finally:
        await cancel_and_wait(task)
