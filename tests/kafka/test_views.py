"""The views in Redis: exactly what is committed, whatever happens to workers, to Redis or to whoever writes them."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from click.testing import CliRunner
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from chaos.stage import PATIENCE, Stage
from deploy.local.kafka import KafkaCluster
from deploy.local.redis import RedisServer
from schemas import events as ev
from schemas.errors import Fatal
from simulator.runs import simulate
from state.account import AccountState
from state.borrower import BorrowerState
from state.pack import default_book
from streams.cli import cli
from streams.endings import ended
from streams.kafka.broker import changelog
from streams.kafka.metrics import VIEWS_AWAY
from streams.kafka.rows import STATE
from streams.local.runtime import LocalRuntime
from streams.settings import Settings
from streams.views.keys import KINDS, Keys
from streams.views.projector import Projector, rebuild
from streams.views.reading import Views
from streams.views.shape import account_view, borrower_view
from tests.kafka.damaged import damaged

T = TypeVar("T")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Yield a real redis-server."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not here, and this machine cannot install it")
    with RedisServer(tmp_path_factory.mktemp("redis")) as made:
        yield made


@cache
def history() -> tuple[ev.Event, ...]:
    return tuple(simulate(accounts=80, days=100, seed=11))


@cache
def expected() -> dict[str, dict[str, str] | dict[str, int]]:
    """Return what the pure agents' states come to: hashes by view, scores by index."""
    wanted: dict[str, Any] = {}
    with LocalRuntime.open(None, default_book()) as runtime:
        runtime.feed(history())
        for agent, view in (("account", account_view), ("planner", borrower_view)):
            for (key,) in runtime._store.db.execute("SELECT key FROM state WHERE agent = ?", (agent,)).fetchall():
                state = runtime.state(agent, key)
                assert isinstance(state, AccountState | BorrowerState)
                shown = view(state)  # type: ignore[operator]
                wanted[f"{KINDS[agent]}:{key}"] = shown.fields
                for index, score in shown.scores.items():
                    wanted.setdefault(index, {})[key] = score
    return wanted


async def written(redis: Any, settings: Settings) -> dict[str, Any]:
    """Return all views and indexes that are in Redis."""
    generation = int(await redis.get(Keys(settings.redis.prefix, 0).generation) or 0)
    base, found = Keys(settings.redis.prefix, generation).base, {}
    async for key in redis.scan_iter(match=base + "*"):
        name = key.decode().removeprefix(base)
        if await redis.type(key) == b"hash" and name != "offsets":
            found[name] = {k.decode(): v.decode() for k, v in (await redis.hgetall(key)).items()}
        elif await redis.type(key) == b"zset":
            found[name] = {k.decode(): int(v) for k, v in await redis.zrange(key, 0, -1, withscores=True)}
    return found


def settings_for(stage: Stage, url: str, prefix: str = "reprieve:") -> Settings:
    settings = stage.settings()
    found = settings.redis.model_copy(update={"url": url, "prefix": prefix})
    kafka = settings.kafka.model_copy(update={"retry_pause_seconds": 0.1, "retry_pause_max_seconds": 0.2})
    return settings.model_copy(update={"redis": found, "kafka": kafka})


def with_redis(url: str, act: Callable[[Any], Awaitable[T]]) -> T:
    async def run() -> T:
        async with Redis.from_url(url) as redis:
            return await act(redis)

    return asyncio.run(run())


def test_views_are_those_of_the_pure_agents_after_crashes_of_everybody_and_equal_a_rebuild(
    stage: Stage, server: RedisServer
) -> None:
    settings, dice = settings_for(stage, server.url, "crashes:"), random.Random(5)
    stage.start("one")
    stage.start("two")

    async def project_for(seconds: float) -> None:
        async with Redis.from_url(server.url) as redis, Projector(settings, redis) as projector:
            # Ended wherever it is: in a fetch, between two batches, in the middle of a transaction.
            running = asyncio.create_task(projector.run())
            await asyncio.wait([running], timeout=seconds)
            await ended(running)

    quarter = len(history()) // 4 + 1
    parts = [history()[n : n + quarter] for n in range(0, len(history()), quarter)]
    for name, part in zip(("one", "two", "one", "two"), parts, strict=True):
        stage.publish(part)
        asyncio.run(project_for(dice.random()))
        stage.kill(name)
        asyncio.run(project_for(dice.random()))
        stage.start(name)
    stage.settle()

    async def judged(redis: Any) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
        async with Projector(settings, redis) as projector:
            await projector.catch_up()
        first = await written(redis, settings)
        assert await rebuild(settings, redis) > 0
        return first, await written(redis, settings), [k async for k in redis.scan_iter(match="crashes:0:*")]

    first, again, old = with_redis(server.url, judged)
    assert first == expected()
    assert again == expected()
    assert old == []


def test_views_miss_nothing_where_a_changelog_could_not_be_read_for_a_while(
    stage: Stage, server: RedisServer, kafka: KafkaCluster
) -> None:
    settings, clean = settings_for(stage, server.url, "damaged:"), settings_for(stage, server.url, "clean:")
    stage.publish([e for e in history() if isinstance(e, ev.AccountOpened)])
    stage.start()
    stage.settle()
    assert stage.end() == 0

    async def scene(redis: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        async with Projector(settings, redis) as projector:
            with damaged(kafka, changelog(settings, "account"), 1):
                running = asyncio.create_task(projector.catch_up())
                await asyncio.sleep(1.5)
                assert not running.done()
                # Those that can be read are in meanwhile.
                assert await written(redis, settings)
            await asyncio.wait_for(running, 60)
        async with Projector(clean, redis) as projector:
            await projector.catch_up()
        return await written(redis, settings), await written(redis, clean)

    first, again = with_redis(server.url, scene)
    assert sum(name.startswith("account:") for name in first) == 80
    assert first == again


def test_two_projectors_and_an_emptied_redis_leave_exact_views(stage: Stage, server: RedisServer) -> None:
    settings = settings_for(stage, server.url, "two:")
    stage.start("one")
    half = len(history()) // 2
    stage.publish(history()[:half])

    async def both(redis: Any) -> dict[str, Any]:
        async with Projector(settings, redis) as one, Projector(settings, redis) as other:
            running = [asyncio.create_task(one.run()), asyncio.create_task(other.run())]
            await asyncio.sleep(1)
            await asyncio.to_thread(stage.publish, history()[half:])
            # Somebody empties Redis under their hands, at one stroke as FLUSHDB does.
            keys = [key async for key in redis.scan_iter(match="two:*")]
            assert keys
            await redis.delete(*keys)
            await asyncio.to_thread(stage.settle)
            for task in running:
                await ended(task)
            await one.catch_up()
        return await written(redis, settings)

    assert with_redis(server.url, both) == expected()


async def soon(condition: Callable[[], bool]) -> None:
    """Wait for a condition as long as it may take on a slow machine."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.05)


def lag(settings: Settings) -> float:
    """Return how many committed rows the projector says are not yet in Redis."""
    found = [s for metric in REGISTRY.collect() for s in metric.samples if s.name == "reprieve_views_lag_rows"]
    return sum(s.value for s in found if s.labels["topic"].startswith(settings.topics.prefix))


def test_while_redis_is_away_nothing_stops_and_nothing_is_lost(
    stage: Stage, tmp_path: Path, server: RedisServer
) -> None:
    own = RedisServer(tmp_path / "redis")
    own.start()
    settings = settings_for(stage, own.url)
    stage.start("one")

    async def run() -> dict[str, Any]:
        async with Redis.from_url(own.url) as redis, Projector(settings, redis) as projector:
            running = asyncio.create_task(projector.run())
            await soon(lambda: projector.standing().unready is None)
            await asyncio.to_thread(own.stop)
            await asyncio.to_thread(stage.publish, history())
            await asyncio.to_thread(stage.settle)
            assert not running.done()
            # What alerts go by tells of it while it lasts: all that the changelogs have got is waiting.
            views = sum(name.startswith(("account:", "borrower:")) for name in expected())
            await soon(lambda: lag(settings) >= views)
            assert REGISTRY.get_sample_value("reprieve_views_redis_away") == 1
            await asyncio.to_thread(own.start)
            await soon(lambda: not lag(settings))
            assert REGISTRY.get_sample_value("reprieve_views_redis_away") == 0
            await ended(running)
            await projector.catch_up()
            return await written(redis, settings)

    try:
        assert asyncio.run(run()) == expected()
    finally:
        own.stop()


async def rows_of_states(settings: Settings, begin: Mapping[bytes, bytes]) -> list[str]:
    """Return the names of states that were written to the changelogs behind the places where views stand."""
    found = []
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap_servers, isolation_level="read_committed"
    ) as consumer:
        names = {
            TopicPartition(changelog(settings, agent), part): kind
            for agent, kind in KINDS.items()
            for part in range(settings.topics.partitions)
        }
        consumer.assign(list(names))
        for tp in names:
            consumer.seek(tp, int(begin.get(f"{tp.topic}/{tp.partition}".encode(), 0)))
        ends = await consumer.end_offsets(list(names))
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found += [f"{names[tp]}:{r.key[1:].decode()}" for r in records if r.key[:1] == STATE]
    return found


def test_who_subscribes_hears_of_each_view_that_changes_and_of_no_other(stage: Stage, server: RedisServer) -> None:
    settings = settings_for(stage, server.url, "heard:")
    # Few closes, since each costs time.
    some = simulate(accounts=20, days=60, seed=11)
    events = [e for e in some if not isinstance(e, ev.DayClosed) or e.business_date.day in (9, 10, 11)]
    last = max(n for n, event in enumerate(events) if isinstance(event, ev.DayClosed))
    stage.publish(events[:last])
    stage.start("one")
    stage.settle()

    async def listen(redis: Any) -> tuple[Counter[str], Counter[str], dict[str, Any], dict[str, Any]]:
        async with Projector(settings, redis) as projector, redis.pubsub() as heard:
            await projector.catch_up()
            await heard.subscribe("heard:changes")
            assert (await heard.get_message(timeout=10))["type"] == "subscribe"
            begin = await redis.hgetall(Keys("heard:", 0).offsets)
            before = await written(redis, settings)
            await asyncio.to_thread(stage.publish, events[last : last + 1])
            await asyncio.to_thread(stage.settle)
            rows = Counter(await rows_of_states(settings, begin))
            await projector.catch_up()
            # Nothing more happens, so nothing more is said.
            await projector.catch_up()
            after = await written(redis, settings)
            told: Counter[str] = Counter()
            while (message := await heard.get_message(timeout=0.5)) is not None:
                assert (message["type"], message["channel"]) == ("message", b"heard:changes")
                told[message["data"].decode()] += 1
        return told, rows, before, after

    told, rows, before, after = with_redis(server.url, listen)
    assert told.keys() == rows.keys()
    # Once a transaction, however many rows of it are one view's.
    assert all(1 <= told[name] <= rows[name] for name in rows)
    views = {name for name in after if name.startswith(("account:", "borrower:"))}
    changed = {name for name in views if before.get(name) != after[name]}
    assert changed
    # Those to whom nothing happened meanwhile are not named.
    assert changed <= told.keys() < views


def test_operators_ask_for_the_worst_the_expiring_and_one_account(
    stage: Stage, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(stage, server.url, "asked:")
    stage.start("one")
    stage.publish(history())
    stage.settle()

    async def fill(redis: Any) -> tuple[list[str], list[tuple[str, int]]]:
        async with Projector(settings, redis) as projector:
            await projector.catch_up()
        views = Views(redis, "asked:")
        return await views.currencies(), await views.at("expiring", 0, 10**7)

    currencies, expiring = with_redis(server.url, fill)
    monkeypatch.setenv("REPRIEVE_REDIS__URL", server.url)
    monkeypatch.setenv("REPRIEVE_REDIS__PREFIX", "asked:")
    for currency in currencies:
        wanted = expected().get(f"bad_debts:{currency}", {})
        said = CliRunner().invoke(cli, ["views", "worst", "--currency", currency]).output
        listed = [line.split()[0] for line in said.splitlines()]
        assert sorted(listed, key=lambda a: -wanted[a]) == listed  # type: ignore[operator]
        assert set(listed) == set(wanted)
    assert {b for b, _ in expiring} == set(expected()["expiring"])
    account = next(name for name in expected() if name.startswith("account:")).removeprefix("account:")
    shown = CliRunner().invoke(cli, ["views", "show", "account", account])
    assert expected()[f"account:{account}"]["currency"] in shown.output  # type: ignore[operator]
    absent = CliRunner().invoke(cli, ["views", "show", "account", "nobody"])
    assert "There is no view of account nobody" in str(absent.exception) + absent.output


def test_views_that_are_ahead_of_kafka_are_refused_with_what_to_do(stage: Stage, server: RedisServer) -> None:
    settings = settings_for(stage, server.url, "ahead:")
    stage.settings()

    async def run(redis: Any) -> None:
        name = f"{settings.topics.prefix}account-changelog/0"
        await redis.hset(Keys("ahead:", 0).offsets, name, 10**9)
        async with Projector(settings, redis) as projector:
            await projector.catch_up()

    with pytest.raises(Fatal, match="reprieve views rebuild"):
        with_redis(server.url, run)


@pytest.mark.parametrize(
    ("fails", "mended"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    ],
    ids=["it fails over", "it is full"],
)
def test_a_redis_that_takes_nothing_for_a_while_is_waited_for(
    stage: Stage, server: RedisServer, fails: tuple[str, ...], mended: tuple[str, ...]
) -> None:
    stage.start("one")
    stage.publish(history()[:400])
    stage.settle()
    settings = settings_for(stage, server.url, f"waits-{fails[0]}")

    async def wait(redis: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        await redis.execute_command(*fails)
        async with Projector(settings, redis) as projector:
            writing = asyncio.create_task(projector.catch_up())
            while not VIEWS_AWAY._value.get():
                assert not writing.done(), writing.exception()
                await asyncio.sleep(0.05)
            await redis.execute_command(*mended)
            assert await writing > 0
        first = await written(redis, settings)
        await rebuild(settings, redis)
        return first, await written(redis, settings)

    first, again = with_redis(server.url, wait)
    assert first
    assert first == again
