"""Writes the views of committed states to Redis, each batch of rows together with how far it has come.

The changelogs of the agents are read, committed rows only: they are compacted, so views are made anew from as many rows
as there are accounts, not from their history. Rows and offset are one Redis transaction, which does not happen where
another has moved the offset meanwhile: so views are exactly as far as they say, after a crash at any point, and two
projectors do no harm. Redis is never asked what is true.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
    WatchError,
)

from schemas.errors import Fatal
from state.account import AccountState
from state.borrower import BorrowerState
from state.storage import unpack
from streams.health import Stalls, Standing
from streams.kafka.broker import AWAY, Pauses, changelog, is_away, patiently
from streams.kafka.fetching import Fetching
from streams.kafka.metrics import VIEWS_AWAY, VIEWS_LAG, VIEWS_WRITTEN
from streams.kafka.rows import STATE, state_of
from streams.kafka.sealing import vault_for
from streams.privacy.sealed import open_state
from streams.privacy.vault import Vault
from streams.settings import Settings
from streams.views.keys import KINDS, Keys
from streams.views.shape import View, account_view, borrower_view

T = TypeVar("T")

# Rows a transaction: it holds up Redis while it runs.
_ROWS = 1_000
_FETCH_BYTES = 4 * 1024 * 1024


class Projector:
    """Follows the changelogs into one generation of views. `run` goes on for ever, `catch_up` to the present ends."""

    def __init__(self, settings: Settings, redis: Redis, generation: int | None = None) -> None:
        self._settings = settings
        # Opens what is sealed of borrowers; what is shown of them is not personal.
        self._vault: Vault | None = None
        # redis-py's types do not say that answers are bytes.
        self._redis: Any = redis
        self._fixed = generation
        self._keys = Keys(settings.redis.prefix, generation or 0)
        self._pauses = Pauses(settings)
        # By partition: where the consumer is, and what Redis says of it.
        self._places: dict[TopicPartition, int] = {}
        self._written: dict[TopicPartition, int] = {}
        self._rounds = 0
        self._stalls = Stalls(settings.health.stall_seconds)
        self._consumer = AIOKafkaConsumer(
            **settings.kafka.client_options(),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        self._fetching = Fetching(self._consumer, settings)

    async def __aenter__(self) -> Projector:
        self._vault = await vault_for(self._settings)
        await patiently(self._settings, "following changelogs", self._consumer.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._fetching.forget()
        await self._consumer.stop()

    def standing(self) -> Standing:
        """Return whether rounds are made, and whether one was."""
        ill = self._stalls.ill({"writing views": self._rounds}, excused=is_away())
        return Standing(ill, None if self._rounds else "the first rows are not in yet")

    async def run(self) -> None:
        """Write what is committed, as it comes. Raises Fatal where going on would be wrong."""
        await self._place()
        while True:
            await self._round()

    async def catch_up(self) -> int:
        """Write all that is committed by now; returns the rows read."""
        await self._place()
        ends = await self._consumer.end_offsets(list(self._places))
        rows = 0
        while any([await self._consumer.position(tp) < ends[tp] for tp in ends]):
            rows += await self._round()
        return rows

    # -- where it is

    async def _place(self) -> None:
        """Go to where the views have come to. Raises Fatal where that is behind the end of a changelog."""
        consumer, settings = self._consumer, self._settings
        names = {changelog(settings, agent): agent for agent in KINDS}
        found = await patiently(settings, "looking for changelogs", consumer._client.fetch_all_metadata)
        tps = [TopicPartition(name, part) for name in names for part in found.partitions_for_topic(name) or ()]
        if not tps:
            raise Fatal(f"There are no changelogs {', '.join(names)}. Make the topics with `reprieve topics apply`.")
        await self._patiently(self._generation)
        known = await self._patiently(lambda: self._redis.hgetall(self._keys.offsets))
        self._written = {tp: int(known.get(_name(tp).encode(), 0)) for tp in tps}
        self._places = dict(self._written)
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        for tp, at in self._places.items():
            if at > ends[tp]:
                raise Fatal(
                    f"The views are at {at} of {_name(tp)}, which ends at {ends[tp]}: Kafka was restored to an earlier "
                    "day, or this is another cluster. Make them anew with `reprieve views rebuild`."
                )
            consumer.seek(tp, at)

    async def _generation(self) -> None:
        if self._fixed is None:
            number = int(await self._redis.get(self._keys.generation) or 0)
            self._keys = Keys(self._settings.redis.prefix, number)

    # -- a round

    async def _round(self) -> int:
        batches = await patiently(self._settings, "reading changelogs", lambda: self._fetching.getmany(timeout=0.2))
        if not batches and not await self._patiently(self._as_left):
            await self._place()
            return 0
        read = 0
        self._tell_lag({tp: self._consumer.last_stable_offset(tp) for tp in self._places})
        for tp, records in batches.items():
            for start in range(0, len(records), _ROWS):
                part = records[start : start + _ROWS]
                if not await self._patiently(partial(self._write, tp, part)):
                    # Another was faster, or the generation has changed: go on from where the views are now.
                    await self._place()
                    return read
                read += len(part)
        # What lies behind the last row is no row: marks of transactions.
        for tp in batches:
            self._places[tp] = max(self._places[tp], await self._consumer.position(tp))
        self._tell_lag({tp: self._consumer.last_stable_offset(tp) for tp in self._places})
        self._rounds += 1
        return read

    def _tell_lag(self, ends: Mapping[TopicPartition, int | None]) -> None:
        """Tell how many committed rows are not yet in Redis, where the end of a partition is known."""
        for tp, at in self._places.items():
            end = ends.get(tp)
            if end is not None:
                VIEWS_LAG.labels(topic=tp.topic, partition=tp.partition).set(max(0, end - at))

    async def _as_left(self) -> bool:
        """Say whether Redis is as this one left it: it may have been emptied, restored, or written by another."""
        if self._fixed is None and int(await self._redis.get(self._keys.generation) or 0) != self._keys.number:
            return False
        known = await self._redis.hgetall(self._keys.offsets)
        return all(int(known.get(_name(tp).encode(), 0)) == at for tp, at in self._written.items())

    async def _write(self, tp: TopicPartition, records: Sequence[Any]) -> bool:
        """Write rows and the offset behind them; returns whether they still were the next."""
        agent = next(a for a in KINDS if changelog(self._settings, a) == tp.topic)
        rows: dict[str, View | None] = {}
        for record in records:
            if record.key[:1] == STATE:
                rows[record.key[1:].decode()] = _view(agent, record.key[1:].decode(), record.value, self._vault)
        keys, behind = self._keys, records[-1].offset + 1
        async with self._redis.pipeline(transaction=True) as pipe:
            try:
                await pipe.watch(keys.offsets, keys.generation)
                if self._fixed is None and int(await pipe.get(keys.generation) or 0) != self._keys.number:
                    return False
                if int(await pipe.hget(keys.offsets, _name(tp)) or 0) != self._written[tp]:
                    return False
                currencies = {c.decode() for c in await pipe.smembers(keys.currencies)}
                pipe.multi()
                for key, view in rows.items():
                    self._put(pipe, agent, key, view, currencies)
                pipe.hset(keys.offsets, _name(tp), str(behind))
                await pipe.execute()
            except WatchError:
                return False
        self._places[tp] = self._written[tp] = behind
        VIEWS_WRITTEN.inc(len(rows))
        return True

    def _put(self, pipe: Any, agent: str, key: str, view: View | None, currencies: set[str]) -> None:
        keys, name = self._keys, self._keys.view(agent, key)
        pipe.delete(name)
        scores: dict[str, int] = {}
        if view is not None:
            pipe.hset(name, mapping=view.fields)
            scores = view.scores
        new = {index.partition(":")[2] for index in scores if index.startswith("bad_debts:")} - currencies
        if new:
            pipe.sadd(keys.currencies, *sorted(new))
            currencies |= new
        own = ("new_bad_debts", "in_arrears") if agent == "account" else ("expiring", "people")
        money = [f"bad_debts:{c}" for c in sorted(currencies)] if agent == "account" else []
        for index in (*own, *money):
            if index in scores:
                pipe.zadd(keys.index(index), {key: scores[index]})
            else:
                pipe.zrem(keys.index(index), key)
        pipe.publish(keys.changes, f"{KINDS[agent]}:{key}")

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until Redis answers, with growing pauses: while it is away nothing is lost, only later."""
        while True:
            try:
                done = await attempt()
            except (AuthenticationError, NoPermissionError) as error:
                raise Fatal(
                    f"Redis refuses: {error}. See to redis.username and redis.password, and what they may do."
                ) from error
            except (ClusterDownError, MasterDownError, OutOfMemoryError, ReadOnlyError, TryAgainError) as error:
                # It fails over, or is full: somebody sees to that, and then it takes them.
                await self._rest(error)
            except ResponseError as error:
                raise Fatal(
                    f"Redis does not take a view: {error}. The keys under its prefix may be another's."
                ) from error
            except (TimeoutError, RedisError, OSError) as error:
                await self._rest(error)
            else:
                VIEWS_AWAY.set(0)
                self._pauses.over()
                return done

    async def _rest(self, error: BaseException) -> None:
        """Sleep until Redis is tried again, and tell what waits meanwhile: no round ends that would tell it."""
        VIEWS_AWAY.set(1)
        # What was fetched last says nothing of what was committed since; and without Kafka nobody knows.
        with contextlib.suppress(*AWAY):
            self._tell_lag(await self._consumer.end_offsets(list(self._places)))
        await self._pauses.rest("writing views", error)


def _view(agent: str, key: str, value: bytes | None, vault: Vault | None) -> View | None:
    if value is None:
        return None
    state = open_state(vault, agent, key, state_of(value))
    if agent == "account":
        return account_view(unpack(state, AccountState))
    return borrower_view(unpack(state, BorrowerState))


def _name(tp: TopicPartition) -> str:
    return f"{tp.topic}/{tp.partition}"


async def rebuild(settings: Settings, redis: Redis) -> int:
    """Make all views anew beside the old ones, then let readers go by them; returns the rows read."""
    prefix = settings.redis.prefix
    before = int(await redis.get(Keys(prefix, 0).generation) or 0)
    await _forget(redis, prefix, before + 1)
    async with Projector(settings, redis, before + 1) as projector:
        rows = await projector.catch_up()
    await redis.set(Keys(prefix, 0).generation, before + 1)
    await _forget(redis, prefix, before)
    return rows


async def _forget(redis: Redis, prefix: str, generation: int) -> None:
    found = []
    async for key in redis.scan_iter(match=Keys(prefix, generation).base + "*", count=1_000):
        found.append(key)
        if len(found) >= 1_000:
            await redis.unlink(*found)
            found = []
    if found:
        await redis.unlink(*found)
