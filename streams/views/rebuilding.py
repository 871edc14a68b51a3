"""Makes all views anew beside the old ones, by one process at a time.

A lock in Redis that expires says who does. Each rebuild has a generation of its own, which no other ever writes; the
lock is looked at once more in the transaction in which readers are sent to it. So a rebuild that stood still for so
long that another has begun changes nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError, WatchError

from schemas.errors import FatalError
from streams.settings import Settings
from streams.shutdown import cancel_and_wait
from streams.views.keys import Keys
from streams.views.projector import Projector

# Seconds after which a rebuild that does not say that it goes on counts as gone, and between two such words.
_LASTS, _WORD = 60, 10.0


async def rebuild(settings: Settings, redis: Redis) -> int:
    """Make all views anew, then let readers go by them; returns the rows read.

    Raises FatalError where another process does so already, or has begun since.
    """
    keys = Keys(settings.redis.prefix, 0)
    async with _alone(redis, keys) as token:
        number = await _begun(redis, keys, token)
        async with Projector(settings, redis, number) as projector:
            rows = await projector.catch_up()
        before = await _as_owner(redis, keys, token, lambda pipe: pipe.set(keys.generation, number), keys.generation)
        await _forget(redis, keys.prefix, lambda found: found == before)
    return rows


@asynccontextmanager
async def _alone(redis: Redis, keys: Keys) -> AsyncIterator[str]:
    """Hold the lock, and give it back. Raises FatalError where another has it."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    token = f"process {os.getpid()} on {socket.gethostname()} since {at} {uuid4().hex}"
    if not await redis.set(keys.rebuilding, token, nx=True, ex=_LASTS):
        held: Any = await redis.get(keys.rebuilding)
        owner = (held or b"another process ").decode().rpartition(" ")[0]
        raise FatalError(
            f"The views are being made anew already, by {owner}. Wait for it; where it is gone, its lock is over "
            f"within {_LASTS} seconds."
        )
    going_on = asyncio.ensure_future(_go_on(redis, keys, token))
    try:
        yield token
    finally:
        await cancel_and_wait(going_on)
        # Another may have it, or it is over by itself.
        with suppress(FatalError, RedisError):
            await _as_owner(redis, keys, token, lambda pipe: pipe.delete(keys.rebuilding), keys.rebuilding)


async def _go_on(redis: Redis, keys: Keys, token: str) -> None:
    while True:
        await asyncio.sleep(_WORD)
        try:
            if await redis.get(keys.rebuilding) == token.encode():
                await redis.set(keys.rebuilding, token, ex=_LASTS, xx=True)
        except RedisError:
            # While Redis does not answer, nobody else takes the lock.
            continue


async def _begun(redis: Redis, keys: Keys, token: str) -> int:
    """Return a generation that nobody else writes, and remove what rebuilds that were cut short have left."""
    current = int(await redis.get(keys.generation) or 0)
    number = max(int(await redis.get(keys.generations) or 0), current) + 1
    await _as_owner(redis, keys, token, lambda pipe: pipe.set(keys.generations, number), keys.generations)
    await _forget(redis, keys.prefix, lambda found: found not in (current, number))
    return number


async def _as_owner(redis: Redis, keys: Keys, token: str, write: Callable[[Any], object], key: str) -> int:
    """Write where the lock is still ours; returns the number that a key had before.

    Raises FatalError where it is not.
    """
    while True:
        async with redis.pipeline(transaction=True) as found:
            pipe: Any = found
            await pipe.watch(keys.rebuilding, key)
            if await pipe.get(keys.rebuilding) != token.encode():
                raise FatalError(
                    "Another process began to make the views anew while this one stood still. Nothing was changed for "
                    "readers; wait for the other one."
                )
            before = await pipe.get(key) if key != keys.rebuilding else None
            pipe.multi()
            write(pipe)
            try:
                await pipe.execute()
            except WatchError:
                continue
            return int(before or 0)


async def _forget(redis: Redis, prefix: str, which: Callable[[int], bool]) -> None:
    """Remove the keys of generations, in parts."""
    name, found = re.compile(re.escape(prefix.encode()) + rb"(\d+):"), []
    async for key in redis.scan_iter(match=prefix + "*", count=1_000):
        generation = name.match(key)
        if generation is not None and which(int(generation[1])):
            found.append(key)
        if len(found) >= 1_000:
            await redis.unlink(*found)
            found = []
    if found:
        await redis.unlink(*found)
