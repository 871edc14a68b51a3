"""The views in Redis: exactly what is committed, whatever happens to workers, to Redis or to whoever writes them."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from click.testing import CliRunner
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from agents.account.agent import AccountAgent
from agents.account.day import outstanding_on
from agents.account.view import aging, as_closed, as_of
from agents.amounts import priced
from deploy.local.redis import RedisServer
from schemas import events as ev
from schemas.errors import FatalError
from simulator.runs import simulate
from state.account import AccountState
from state.borrower import BorrowerState
from state.policy_packs.loader import default_book
from streams.cli import cli
from streams.kafka.changelog_format import STATE, changelog_topic
from streams.kafka.committed_reader import high_watermarks
from streams.kafka.compat import connected
from streams.kafka.metrics import VIEWS_AWAY
from streams.local.runtime import LocalRuntime
from streams.settings import Settings
from streams.shutdown import cancel_and_wait
from streams.views.keys import KINDS, Keys
from streams.views.projector import Projector
from streams.views.rebuilding import rebuild
from streams.views.view import Views, account_view, borrower_view, outstanding
from tests.support import topics
from tests.support.damaged_log import damaged
from tests.support.servers import KafkaTestCluster
from tests.support.worker_cluster import TIMEOUT, WorkerCluster

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
    """Return some months of a portfolio, to the last day on which an offer with options is open."""
    events, until = list(simulate(accounts=80, days=100, seed=13, close_every=3)), 0
    closes = [n for n, event in enumerate(events, 1) if isinstance(event, ev.DayClosed)]
    with LocalRuntime.open(None, default_book()) as runtime:
        for begin, end in pairwise([0, *closes]):
            runtime.feed(events[begin:end])
            borrowers = (runtime.state("planner", key) for key in runtime.keys("planner"))
            if any("expiring" in borrower_view(s).scores for s in borrowers if isinstance(s, BorrowerState)):
                until = end
    return tuple(events[:until])


@cache
def expected_outputs() -> dict[str, dict[str, str] | dict[str, int]]:
    """Return what the pure agents' states come to: hashes by view, scores by index."""
    with LocalRuntime.open(None, default_book()) as runtime:
        runtime.feed(history())
        return views_of(runtime)


def views_of(runtime: LocalRuntime) -> dict[str, dict[str, str] | dict[str, int]]:
    """Return what a runtime's states come to: hashes by view, scores by index."""
    wanted: dict[str, Any] = {}
    assert runtime.closed_through is not None
    closed = runtime.closed_through.toordinal()
    for agent in ("account", "planner"):
        for key in runtime.keys(agent):
            state = runtime.state(agent, key)
            if isinstance(state, AccountState):
                rules = AccountAgent().rules(runtime.policies, state)
                shown = account_view(state, aging(state, rules), 0)
                fields = measured(shown.fields, as_of(state, rules, closed))
            else:
                assert isinstance(state, BorrowerState)
                shown = borrower_view(state)
                fields = shown.fields
            wanted[f"{KINDS[agent]}:{key}"] = fields
            for index, score in shown.scores.items():
                wanted.setdefault(index, {})[key] = score
    return wanted


def measured(kept: dict[str, str], s: AccountState) -> dict[str, str]:
    """Return a view as it is to be shown: with the measures of an account that was folded through the closed day."""
    measures = {"as_of": s.folded_through, "days_past_due": s.days_past_due, "counter_days": s.days_past_due_material}
    owed = outstanding_on(as_closed(s), s.closed_on or s.folded_through)
    measures |= {"interest": owed.interest, "fees": owed.fees}
    fields = {name: value for name, value in kept.items() if name not in ("aging", "partition")}
    return fields | {name: str(value) for name, value in measures.items()} | {"overdue": str(s.overdue_amount)}


async def shown_in(redis: Any, settings: Settings) -> dict[str, Any]:
    """Return all views as they are shown, and indexes, that are in Redis."""
    found = await written(redis, settings)
    views = Views(redis, settings.redis.prefix)
    accounts = [name for name in found if name.startswith("account:")]
    return found | {name: await views.view("account", name.removeprefix("account:")) for name in accounts}


async def written(redis: Any, settings: Settings) -> dict[str, Any]:
    """Return all views as they are kept, and indexes, that are in Redis."""
    generation = int(await redis.get(Keys(settings.redis.prefix, 0).generation) or 0)
    base, found = Keys(settings.redis.prefix, generation).base, {}
    async for key in redis.scan_iter(match=base + "*"):
        name = key.decode().removeprefix(base)
        if await redis.type(key) == b"hash" and name not in ("offsets", "closed", "rules"):
            found[name] = {k.decode(): v.decode() for k, v in (await redis.hgetall(key)).items()}
        elif await redis.type(key) == b"zset":
            found[name] = {k.decode(): int(v) for k, v in await redis.zrange(key, 0, -1, withscores=True)}
    return found


def settings_for(workers: WorkerCluster, url: str, prefix: str = "reprieve:") -> Settings:
    settings = workers.settings()
    found = settings.redis.model_copy(update={"url": url, "prefix": prefix})
    kafka = settings.kafka.model_copy(update={"retry_pause_seconds": 0.1, "retry_pause_max_seconds": 0.2})
    return settings.model_copy(update={"redis": found, "kafka": kafka})


def with_redis(url: str, act: Callable[[Any], Awaitable[T]]) -> T:
    async def run() -> T:
        async with Redis.from_url(url) as redis:
            return await act(redis)

    return asyncio.run(run())


def test_views_equal_the_pure_agents_after_crashes_and_rebuilds(workers: WorkerCluster, server: RedisServer) -> None:
    settings, dice = settings_for(workers, server.url, "crashes:"), random.Random(5)
    workers.start("one")
    workers.start("two")

    async def project_for(seconds: float) -> None:
        async with Redis.from_url(server.url) as redis, Projector(settings, redis) as projector:
            # Ended wherever it is: in a fetch, between two batches, in the middle of a transaction.
            running = asyncio.create_task(projector.run())
            await asyncio.wait([running], timeout=seconds)
            await cancel_and_wait(running)

    quarter = len(history()) // 4 + 1
    parts = [history()[n : n + quarter] for n in range(0, len(history()), quarter)]
    for name, part in zip(("one", "two", "one", "two"), parts, strict=True):
        workers.publish(part)
        asyncio.run(project_for(dice.random()))
        workers.kill(name)
        asyncio.run(project_for(dice.random()))
        workers.start(name)
    workers.wait_until_idle()

    async def judged(redis: Any) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
        async with Projector(settings, redis) as projector:
            await projector.catch_up()
        first = await shown_in(redis, settings)
        assert await rebuild(settings, redis) > 0
        return first, await shown_in(redis, settings), [k async for k in redis.scan_iter(match="crashes:0:*")]

    first, again, old = with_redis(server.url, judged)
    assert first == expected_outputs()
    assert again == expected_outputs()
    assert old == []


def test_views_miss_nothing_after_an_unreadable_changelog(
    workers: WorkerCluster, server: RedisServer, kafka: KafkaTestCluster
) -> None:
    settings, clean = settings_for(workers, server.url, "damaged:"), settings_for(workers, server.url, "clean:")
    workers.publish([e for e in history() if isinstance(e, ev.AccountOpened)])
    workers.start()
    workers.wait_until_idle()
    assert workers.stop() == 0

    async def scene(redis: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        async with Projector(settings, redis) as projector:
            with damaged(kafka, changelog_topic(settings, "account"), 1):
                running = asyncio.create_task(projector.catch_up())
                # Those that can be read are in meanwhile.
                async with asyncio.timeout(TIMEOUT):
                    while not await written(redis, settings):
                        await asyncio.sleep(0.1)
                assert not running.done()
            await asyncio.wait_for(running, TIMEOUT)
        async with Projector(clean, redis) as projector:
            await projector.catch_up()
        return await shown_in(redis, settings), await shown_in(redis, clean)

    first, again = with_redis(server.url, scene)
    assert sum(name.startswith("account:") for name in first) == 80
    assert first == again


def test_two_projectors_and_an_emptied_redis_leave_exact_views(workers: WorkerCluster, server: RedisServer) -> None:
    settings = settings_for(workers, server.url, "two:")
    workers.start("one")
    half = len(history()) // 2
    workers.publish(history()[:half])

    async def both(redis: Any) -> dict[str, Any]:
        async with Projector(settings, redis) as one, Projector(settings, redis) as other:
            running = [asyncio.create_task(one.run()), asyncio.create_task(other.run())]
            await asyncio.to_thread(workers.publish, history()[half:])
            # Somebody empties Redis under their hands, at one stroke as FLUSHDB does.
            async with asyncio.timeout(TIMEOUT):
                while not (keys := [key async for key in redis.scan_iter(match="two:*")]):
                    await asyncio.sleep(0.1)
            await redis.delete(*keys)
            await asyncio.to_thread(workers.wait_until_idle)
            for task in running:
                await cancel_and_wait(task)
            await one.catch_up()
        return await shown_in(redis, settings)

    assert with_redis(server.url, both) == expected_outputs()


async def soon(condition: Callable[[], bool]) -> None:
    """Wait for a condition as long as it may take on a slow machine."""
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0.05)


def lag(settings: Settings) -> float:
    """Return how many committed rows the projector says are not yet in Redis."""
    found = [s for metric in REGISTRY.collect() for s in metric.samples if s.name == "reprieve_views_lag_rows"]
    return sum(s.value for s in found if s.labels["topic"].startswith(settings.topics.prefix))


def test_while_redis_is_away_nothing_stops_and_nothing_is_lost(
    workers: WorkerCluster, tmp_path: Path, server: RedisServer
) -> None:
    own = RedisServer(tmp_path / "redis")
    own.start()
    settings = settings_for(workers, own.url)
    workers.start("one")

    async def run() -> dict[str, Any]:
        async with Redis.from_url(own.url) as redis, Projector(settings, redis) as projector:
            running = asyncio.create_task(projector.run())
            await soon(lambda: projector.health_status().readiness_error is None)
            await asyncio.to_thread(own.stop)
            await asyncio.to_thread(workers.publish, history())
            await asyncio.to_thread(workers.wait_until_idle)
            assert not running.done()
            # What alerts go by tells of it while it lasts: all that the changelogs have got is waiting.
            views = sum(name.startswith(("account:", "borrower:")) for name in expected_outputs())
            await soon(lambda: lag(settings) >= views)
            assert REGISTRY.get_sample_value("reprieve_views_redis_away") == 1
            await asyncio.to_thread(own.start)
            await soon(lambda: not lag(settings))
            assert REGISTRY.get_sample_value("reprieve_views_redis_away") == 0
            await cancel_and_wait(running)
            await projector.catch_up()
            return await shown_in(redis, settings)

    try:
        assert asyncio.run(run()) == expected_outputs()
    finally:
        own.stop()


async def rows_of_states(settings: Settings, begin: Mapping[bytes, bytes]) -> list[str]:
    """Return the names of states that were written to the changelogs behind the places where views stand."""
    found = []
    async with connected(
        AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap_servers, isolation_level="read_committed")
    ) as consumer:
        names = {
            TopicPartition(changelog_topic(settings, agent), part): kind
            for agent, kind in KINDS.items()
            for part in range(settings.topics.partitions)
        }
        consumer.assign(list(names))
        for tp in names:
            consumer.seek(tp, int(begin.get(f"{tp.topic}/{tp.partition}".encode(), 0)))
        ends = await high_watermarks(settings, list(names))
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found += [f"{names[tp]}:{r.key[1:].decode()}" for r in records if r.key[:1] == STATE]
    return found


def test_a_subscriber_hears_of_its_view_and_of_no_other(workers: WorkerCluster, server: RedisServer) -> None:
    settings = settings_for(workers, server.url, "heard:")
    # Few closes, since each costs time.
    some = simulate(accounts=20, days=60, seed=11)
    events = [e for e in some if not isinstance(e, ev.DayClosed) or e.business_date.day in (9, 10, 11)]
    last = max(n for n, event in enumerate(events) if isinstance(event, ev.DayClosed))
    workers.publish(events[:last])
    workers.start("one")
    workers.wait_until_idle()

    async def listen(redis: Any) -> tuple[Counter[str], Counter[str], dict[str, Any], dict[str, Any]]:
        async with Projector(settings, redis) as projector, redis.pubsub() as heard:
            await projector.catch_up()
            await heard.subscribe("heard:changes")
            assert (await heard.get_message(timeout=TIMEOUT))["type"] == "subscribe"
            begin = await redis.hgetall(Keys("heard:", 0).offsets)
            before = await written(redis, settings)
            await asyncio.to_thread(workers.publish, events[last : last + 1])
            await asyncio.to_thread(workers.wait_until_idle)
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
    # A close ages all accounts, which is said once a partition.
    closed = {f"closed:{part}" for part in range(settings.topics.partitions)}
    assert {name for name in told if name.startswith("closed:")} == closed
    told = Counter({name: count for name, count in told.items() if name not in closed})
    assert told.keys() == rows.keys()
    # Once a transaction, however many rows of it are one view's.
    assert all(1 <= told[name] <= rows[name] for name in rows)
    views = {name for name in after if name.startswith(("account:", "borrower:"))}
    changed = {name for name in views if before.get(name) != after[name]}
    assert changed
    # Those to whom nothing happened meanwhile are not named.
    assert changed <= told.keys() < views


def test_operators_ask_for_the_worst_expiring_and_one_account(
    workers: WorkerCluster, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(workers, server.url, "asked:")
    workers.start("one")
    workers.publish(history())
    workers.wait_until_idle()

    async def fill(redis: Any) -> tuple[list[str], list[tuple[str, int]]]:
        async with Projector(settings, redis) as projector:
            await projector.catch_up()
        views = Views(redis, "asked:")
        return await views.currencies(), await views.at("expiring", 0, 10**7)

    currencies, expiring = with_redis(server.url, fill)
    monkeypatch.setenv("REPRIEVE_REDIS__URL", server.url)
    monkeypatch.setenv("REPRIEVE_REDIS__PREFIX", "asked:")
    for currency in currencies:
        wanted = expected_outputs().get(f"bad_debts:{currency}", {})
        said = CliRunner().invoke(cli, ["views", "worst", "--currency", currency]).output
        listed = [line.split()[0] for line in said.splitlines()]
        owed = {account: outstanding(expected_outputs()[f"account:{account}"]) for account in wanted}  # type: ignore[arg-type]
        assert sorted(listed, key=lambda a: -owed[a]) == listed
        assert set(listed) == set(wanted)
        for line, account in zip(said.splitlines(), listed, strict=True):
            assert line.split()[1:] == priced(owed[account], currency).split()
    assert {b for b, _ in expiring} == set(expected_outputs()["expiring"])
    account = next(name for name in expected_outputs() if name.startswith("account:")).removeprefix("account:")
    late = [n for n, view in expected_outputs().items() if n.startswith("account:") and int(view["days_past_due"]) > 0]
    for name in (f"account:{account}", *late):
        view: Any = expected_outputs()[name]
        shown = CliRunner().invoke(cli, ["views", "show", "account", name.removeprefix("account:")])
        assert f"days_past_due        {view['days_past_due']}\n" in shown.output
        assert f"as_of                {date.fromordinal(int(view['as_of']))}\n" in shown.output
    absent = CliRunner().invoke(cli, ["views", "show", "account", "nobody"])
    assert "There is no view of account nobody" in str(absent.exception) + absent.output


def test_views_ahead_of_kafka_are_refused_with_advice(workers: WorkerCluster, server: RedisServer) -> None:
    settings = settings_for(workers, server.url, "ahead:")
    workers.settings()

    async def run(redis: Any) -> None:
        name = f"{settings.topics.prefix}account-changelog/0"
        await redis.hset(Keys("ahead:", 0).offsets, name, 10**9)
        async with Projector(settings, redis) as projector:
            await projector.catch_up()

    with pytest.raises(FatalError, match="reprieve views rebuild"):
        with_redis(server.url, run)


def test_views_of_a_recreated_changelog_are_refused_with_advice(workers: WorkerCluster, server: RedisServer) -> None:
    settings = settings_for(workers, server.url, "anew:")

    async def run(redis: Any) -> None:
        async with Projector(settings, redis) as projector:
            await projector.catch_up()

    with_redis(server.url, run)
    with_redis(server.url, run)
    topics.recreate(workers, "planner-changelog")
    with pytest.raises(FatalError, match=r"views are of another topic .*planner-changelog.*reprieve views rebuild"):
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
    workers: WorkerCluster, server: RedisServer, fails: tuple[str, ...], mended: tuple[str, ...]
) -> None:
    workers.start("one")
    workers.publish(history()[:400])
    workers.wait_until_idle()
    settings = settings_for(workers, server.url, f"waits-{fails[0]}")

    async def wait(redis: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        await redis.execute_command(*fails)
        async with Projector(settings, redis) as projector:
            writing = asyncio.create_task(projector.catch_up())
            while not VIEWS_AWAY._value.get():
                assert not writing.done(), writing.exception()
                await asyncio.sleep(0.05)
            await redis.execute_command(*mended)
            assert await writing > 0
        first = await shown_in(redis, settings)
        await rebuild(settings, redis)
        return first, await shown_in(redis, settings)

    first, again = with_redis(server.url, wait)
    assert first
    assert first == again
