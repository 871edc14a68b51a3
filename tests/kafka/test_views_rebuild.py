"""Rebuilds of views by several processes, one that stands still, and a Redis that never answers."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from deploy.local.redis import RedisServer
from schemas.errors import FatalError
from simulator.runs import simulate
from streams.kafka.metrics import VIEWS_AWAY, VIEWS_EVICT
from streams.settings import Settings
from streams.views import rebuilding
from streams.views.keys import Keys
from streams.views.projector import Projector
from streams.views.rebuilding import rebuild
from tests.streams.test_told_to_end import hanging
from tests.support.worker_cluster import WorkerCluster

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not here")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as made:
        yield made


@pytest.fixture
def settings(workers: WorkerCluster, server: RedisServer) -> Settings:
    workers.start()
    workers.publish(simulate(accounts=40, days=20, seed=3, start=date(2026, 1, 5), close_every=5))
    workers.wait_until_idle()
    assert workers.stop() == 0
    return with_url(workers, server.url, timeout_seconds=20)


def with_url(workers: WorkerCluster, url: str, timeout_seconds: int = 1) -> Settings:
    found = workers.settings()
    redis = found.redis.model_copy(update={"url": url, "prefix": "v:", "timeout_seconds": timeout_seconds})
    return found.model_copy(update={"redis": redis})


async def views_of(redis: Any) -> tuple[int, dict[bytes, Any]]:
    """Return the generation that readers go by and its views; and see that there are no others."""
    number = int(await redis.get("v:generation"))
    keys = [key async for key in redis.scan_iter(match="v:*")]
    shown = {key.removeprefix(b"v:%d:" % number): key for key in keys if key.startswith(b"v:%d:" % number)}
    assert {key for key in keys if key not in shown.values()} <= {b"v:generation", b"v:generations"}
    return number, {name: await redis.hgetall(key) for name, key in shown.items() if b":" in name and b"_" not in name}


def test_of_two_rebuilds_one_is_refused_and_the_views_are_whole(settings: Settings) -> None:
    async def run() -> None:
        async with Redis.from_url(settings.redis.url or "") as redis:
            await rebuild(settings, redis)
            before, wanted = await views_of(redis)
            assert wanted
            done = await asyncio.gather(*(rebuild(settings, redis) for _ in range(4)), return_exceptions=True)
            refused = [str(error) for error in done if isinstance(error, FatalError)]
            assert len(refused) == 3
            assert all("made anew already, by process" in text for text in refused)
            after, found = await views_of(redis)
            assert (after > before, found) == (True, wanted)

    asyncio.run(run())


def test_a_stalled_rebuild_changes_nothing_behind_another(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with Redis.from_url(settings.redis.url or "") as redis:
            stands, goes = asyncio.Event(), asyncio.Event()
            really = Projector.catch_up

            async def slowly(self: Projector) -> int:
                if not stands.is_set():
                    stands.set()
                    await goes.wait()
                return await really(self)

            monkeypatch.setattr(Projector, "catch_up", slowly)
            first = asyncio.ensure_future(rebuild(settings, redis))
            await stands.wait()
            # Its lock is over, as where its process stood still for longer than it lasts.
            await redis.delete(Keys("v:", 0).rebuilding)
            await rebuild(settings, redis)
            number, wanted = await views_of(redis)
            goes.set()
            with pytest.raises(FatalError, match="began to make the views anew while this one stood still"):
                await first
            # What it left is removed by the next one, and nobody reads it.
            assert int(await redis.get("v:generation")) == number
            await rebuild(settings, redis)
            assert (await views_of(redis))[1] == wanted

    asyncio.run(run())


def test_a_lock_is_held_for_as_long_as_the_rebuild_takes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "_LASTS", 1)
    monkeypatch.setattr(rebuilding, "_WORD", 0.1)

    async def run() -> None:
        async with Redis.from_url(settings.redis.url or "") as redis:
            keys = Keys("v:", 0)
            async with rebuilding._alone(redis, keys):
                await asyncio.sleep(2)
                with pytest.raises(FatalError, match="already"):
                    await rebuild(settings, redis)
            assert await redis.get(keys.rebuilding) is None

    asyncio.run(run())


def test_a_projector_reports_a_redis_that_evicts_or_hangs(
    workers: WorkerCluster, settings: Settings, server: RedisServer
) -> None:
    async def run() -> None:
        async with Redis.from_url(**settings.redis.client_options()) as redis:
            for policy, told in (("allkeys-lru", 1.0), ("noeviction", 0.0)):
                await redis.config_set("maxmemory", "64mb")
                await redis.config_set("maxmemory-policy", policy)
                async with Projector(settings, redis) as projector:
                    await projector._see_whether_it_evicts()
                assert VIEWS_EVICT._value.get() == told
        with hanging() as port:
            silent = with_url(workers, f"redis://127.0.0.1:{port}/0")
            async with Redis.from_url(**silent.redis.client_options()) as redis, Projector(silent, redis) as projector:
                task = asyncio.ensure_future(projector.run())
                while not VIEWS_AWAY._value.get():
                    assert not task.done()
                    await asyncio.sleep(0.05)
                task.cancel()
                await asyncio.wait([task])

    VIEWS_AWAY.set(0)
    asyncio.run(run())
