"""Writes the views of committed states to Redis, each batch of rows together with how far it has come.

The changelogs of the agents are read, committed rows only: they are compacted, so views are made anew from as many rows
as there are accounts, not from their history. Rows and offset are one Redis transaction, which does not happen where
another has moved the offset meanwhile: so views are exactly as far as they say, after a crash at any point, and two
projectors do no harm. Redis is never asked what is true.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any, TypeVar

import structlog
from aiokafka import TopicPartition
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

from agents.account.agent import AccountAgent
from agents.account.view import aging
from schemas.errors import FatalError
from state.account import AccountState
from state.borrower import BorrowerState
from state.policy import PolicyBook
from state.policy_packs.problems import PackError
from state.storage import unpack
from streams.engine.policies import book_named, is_of_rules, stored_book
from streams.http.health import HealthStatus, Stalls
from streams.kafka.changelog_format import META, STATE, changelog_topic, packed_state
from streams.kafka.committed_reader import CommittedReader
from streams.kafka.isolating_fetcher import partition_name
from streams.kafka.metrics import VIEWS_AWAY, VIEWS_EVICT, VIEWS_LAG, VIEWS_WRITTEN
from streams.kafka.retry import RETRIABLE_ERRORS, Backoff, is_waiting, retry_until_available
from streams.kafka.sealing import vault_for
from streams.kafka.topic_ids import TopicIds
from streams.security.sealed_rows import open_state
from streams.security.vault import Vault
from streams.settings import Settings
from streams.views.keys import KINDS, MEMORY, Keys, evicts
from streams.views.view import View, account_view, borrower_view

log: Any = structlog.get_logger(__name__)
T = TypeVar("T")

# Rows a transaction: it holds up Redis while it runs.
_ROWS = 1_000
# The named value in which a task keeps the last day that its accounts have closed.
CLOSED = "closed_through"
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
        self._backoff = Backoff(settings)
        # By partition: where the consumer is, and what Redis says of it.
        self._places: dict[TopicPartition, int] = {}
        self._written: dict[TopicPartition, int] = {}
        self._rounds = 0
        # Named values of the workers that make the policies, and those as a book, None until it is asked for.
        self._kept: dict[str, str] = {}
        self._policies: PolicyBook | None = None
        self._accounts = AccountAgent()
        self._stalls = Stalls(settings.health.stall_seconds)
        self._reader = CommittedReader(settings, reset="earliest", fetch_bytes=_FETCH_BYTES)
        self._ids = TopicIds(settings)

    async def __aenter__(self) -> Projector:
        try:
            self._vault = await vault_for(self._settings)
            await retry_until_available(self._settings, "following changelogs", self._reader.start)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.stop()
        await self._ids.stop()

    def health_status(self) -> HealthStatus:
        """Return whether rounds are made, and whether one was."""
        ill = self._stalls.stalled({"writing views": self._rounds}, excused=is_waiting())
        return HealthStatus(ill, None if self._rounds else "the first rows are not in yet")

    async def run(self) -> None:
        """Write what is committed, as it comes. Raises FatalError where going on would be wrong."""
        await self._see_whether_it_evicts()
        await self._place()
        while True:
            await self._round()

    async def catch_up(self) -> int:
        """Write all that is committed by now; returns the rows read."""
        await self._place()
        _, ends = await self._reader.offsets(list(self._places))
        rows = 0
        while await self._reader.is_behind(ends):
            rows += await self._round()
        return rows

    async def _see_whether_it_evicts(self) -> None:
        """Warn where Redis throws views away when it is full; a user that may not ask goes on without an answer."""
        try:
            why = evicts(await self._patiently(lambda: self._redis.info(MEMORY)))
        except FatalError:
            return
        VIEWS_EVICT.set(why is not None)
        if why is not None:
            log.warning("redis_evicts", detail=why)

    # -- where it is

    async def _place(self) -> None:
        """Go to where the views have come to. Raises FatalError where that is behind the end of a changelog."""
        reader, settings = self._reader, self._settings
        names = [changelog_topic(settings, agent) for agent in KINDS]
        tps = await retry_until_available(settings, "looking for changelogs", partial(reader.partitions, names))
        await self._patiently(self._generation)
        known = await self._patiently(lambda: self._redis.hgetall(self._keys.offsets))
        await self._see_topics(names, known)
        kept = await self._patiently(lambda: self._redis.hgetall(self._keys.rules))
        self._kept, self._policies = {name.decode(): text.decode() for name, text in kept.items()}, None
        self._written = {tp: int(known.get(partition_name(tp).encode(), 0)) for tp in tps}
        self._places = dict(self._written)
        reader.assign(tps)
        _, ends = await reader.offsets(tps)
        for tp, at in self._places.items():
            if at > ends[tp]:
                raise FatalError(
                    f"The views are at {at} of {partition_name(tp)}, which ends at {ends[tp]}: Kafka was restored to "
                    "an earlier day, or this is another cluster. Make them anew with `reprieve views rebuild`."
                )
            reader.seek(tp, at)

    async def _see_topics(self, names: list[str], known: Mapping[bytes, bytes]) -> None:
        """Note the ids of changelogs beside the offsets in them. Raises FatalError where these are of other topics."""
        answers = await retry_until_available(self._settings, "looking for changelogs", lambda: self._ids.ask(names))
        now = {f"id:{name}": topic.topic_id for seen in answers for name, topic in seen.items()}
        for field, topic_id in now.items():
            before = known.get(field.encode(), topic_id.encode()).decode()
            if before != topic_id:
                raise FatalError(
                    f"The views are of another topic {field[3:]} (id {before}, now {topic_id}): it was made anew, or "
                    "this is another cluster. Make them anew with `reprieve views rebuild`."
                )
        await self._patiently(lambda: self._redis.hset(self._keys.offsets, mapping=now))

    async def _generation(self) -> None:
        if self._fixed is None:
            number = int(await self._redis.get(self._keys.generation) or 0)
            self._keys = Keys(self._settings.redis.prefix, number)

    # -- a round

    async def _round(self) -> int:
        batches = await retry_until_available(self._settings, "reading changelogs", self._reader.read)
        if not batches and not await self._patiently(self._as_left):
            await self._place()
            return 0
        read = 0
        self._tell_lag(self._reader.lag(self._places))
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
            self._places[tp] = max(self._places[tp], await self._reader.consumer.position(tp))
        self._tell_lag(self._reader.lag(self._places))
        self._rounds += 1
        return read

    def _tell_lag(self, lag: Mapping[TopicPartition, int]) -> None:
        """Report how many committed rows are not yet in Redis."""
        for tp, rows in lag.items():
            VIEWS_LAG.labels(topic=tp.topic, partition=tp.partition).set(rows)

    async def _as_left(self) -> bool:
        """Say whether Redis is as this one left it: it may have been emptied, restored, or written by another."""
        if self._fixed is None and int(await self._redis.get(self._keys.generation) or 0) != self._keys.number:
            return False
        known = await self._redis.hgetall(self._keys.offsets)
        return all(int(known.get(partition_name(tp).encode(), 0)) == at for tp, at in self._written.items())

    async def _write(self, tp: TopicPartition, records: Sequence[Any]) -> bool:
        """Write rows and the offset behind them; returns whether they still were the next."""
        agent = next(a for a in KINDS if changelog_topic(self._settings, a) == tp.topic)
        states, named = dict[str, bytes | None](), dict[str, str]()
        for record in records:
            if record.key[:1] == STATE:
                states[record.key[1:].decode()] = record.value
            elif record.key[:1] == META and record.value is not None and agent == "account":
                named[record.key[1:].decode()] = record.value.decode()
        rules = self._take_rules(named)
        rows = {key: self._view(agent, key, value, tp.partition) for key, value in states.items()}
        keys, behind = self._keys, records[-1].offset + 1
        async with self._redis.pipeline(transaction=True) as pipe:
            try:
                await pipe.watch(keys.offsets, keys.generation)
                if self._fixed is None and int(await pipe.get(keys.generation) or 0) != self._keys.number:
                    return False
                if int(await pipe.hget(keys.offsets, partition_name(tp)) or 0) != self._written[tp]:
                    return False
                currencies = {c.decode() for c in await pipe.smembers(keys.currencies)}
                pipe.multi()
                for key, view in rows.items():
                    self._put(pipe, agent, key, view, currencies)
                if rules:
                    pipe.hset(keys.rules, mapping=rules)
                if CLOSED in named:
                    pipe.hset(keys.closed, str(tp.partition), str(date.fromisoformat(named[CLOSED]).toordinal()))
                    pipe.publish(keys.changes, f"closed:{tp.partition}")
                pipe.hset(keys.offsets, partition_name(tp), str(behind))
                await pipe.execute()
            except WatchError:
                return False
        self._places[tp] = self._written[tp] = behind
        VIEWS_WRITTEN.inc(len(rows))
        return True

    def _take_rules(self, named: Mapping[str, str]) -> dict[str, str]:
        """Take up what the named values of a task tell of policies; returns what of it is new.

        Each task keeps the same, some later than others. A text is never changed but that a list goes on.
        """
        found = {n: text for n, text in named.items() if is_of_rules(n) and len(text) > len(self._kept.get(n, ""))}
        if found:
            self._kept, self._policies = self._kept | found, None
        return found

    def _view(self, agent: str, key: str, value: bytes | None, partition: int) -> View | None:
        if value is None:
            return None
        packed = open_state(self._vault, agent, key, packed_state(value))
        if agent != "account":
            return borrower_view(unpack(packed, BorrowerState))
        if self._policies is None:
            try:
                self._policies = stored_book(self._kept.get, lambda: book_named(self._settings.worker.policy))
            except PackError as error:
                raise FatalError(f"The policies that the workers keep cannot be read: {error}") from error
        state = unpack(packed, AccountState)
        rules = self._accounts.rules(self._policies, state)
        return account_view(state, aging(state, rules), partition)

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
                raise FatalError(
                    f"Redis refuses: {error}. See to redis.username and redis.password, and what they may do."
                ) from error
            except (ClusterDownError, MasterDownError, OutOfMemoryError, ReadOnlyError, TryAgainError) as error:
                # It fails over, or is full: somebody sees to that, and then it takes them.
                await self._rest(error)
            except ResponseError as error:
                raise FatalError(
                    f"Redis does not take a view: {error}. The keys under its prefix may be another's."
                ) from error
            except (TimeoutError, RedisError, OSError) as error:
                await self._rest(error)
            else:
                VIEWS_AWAY.set(0)
                self._backoff.reset()
                return done

    async def _rest(self, error: BaseException) -> None:
        """Sleep until Redis is tried again, and tell what waits meanwhile: no round ends that would tell it."""
        VIEWS_AWAY.set(1)
        # What was fetched last says nothing of what was committed since; and without Kafka nobody knows.
        with contextlib.suppress(*RETRIABLE_ERRORS):
            _, ends = await self._reader.offsets(list(self._places))
            self._tell_lag({tp: max(0, end - self._places[tp]) for tp, end in ends.items()})
        await self._backoff.wait("writing views", error)
