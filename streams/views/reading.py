"""Looks views up in Redis."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from streams.views.keys import Keys
from streams.views.shape import account_shown, outstanding


class Views:
    """The views of the generation in force. Amounts are minor units, days proleptic ordinals."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        # redis-py's types do not say that answers are bytes.
        self._redis: Any = redis
        self._prefix = prefix

    async def _keys(self) -> Keys:
        none = Keys(self._prefix, 0)
        return Keys(self._prefix, int(await self._redis.get(none.generation) or 0))

    async def view(self, agent: str, key: str) -> dict[str, str] | None:
        """Return the view of an account (`account`) or a borrower (`planner`), None where there is none.

        An account is as of `as_of`, the last closed day, whenever it was written.
        """
        keys = await self._keys()
        closed = await self._hash(keys.closed) if agent == "account" else {}
        found = await self._hash(keys.view(agent, key))
        return account_shown(found, closed) if found and agent == "account" else found or None

    async def worst(self, currency: str, count: int = 20) -> list[tuple[str, int]]:
        """Return the largest bad debts in a currency and what is owed of each on the last closed day, highest first."""
        keys = await self._keys()
        closed, found, at = await self._hash(keys.closed), list[tuple[str, int]](), 0
        while True:
            # Scores are what may be owed at most, so whoever is behind those that were read owes no more than the last.
            name = keys.index(f"bad_debts:{currency}")
            part = _pairs(await self._redis.zrange(name, at, at + count - 1, desc=True, withscores=True))
            for account, most in part:
                view = await self._hash(keys.view("account", account))
                found.append((account, outstanding(account_shown(view, closed)) if view else most))
            found.sort(key=lambda debt: (-debt[1], debt[0]))
            at += len(part)
            if len(part) < count or found[count - 1][1] >= part[-1][1]:
                return found[:count]

    async def _hash(self, name: str) -> dict[str, str]:
        return {k.decode(): v.decode() for k, v in (await self._redis.hgetall(name)).items()}

    async def highest(self, index: str, count: int = 20) -> list[tuple[str, int]]:
        """Return those with the highest scores of an index, highest first."""
        name = (await self._keys()).index(index)
        return _pairs(await self._redis.zrange(name, 0, count - 1, desc=True, withscores=True))

    async def at(self, index: str, low: int, high: int, count: int = 1_000) -> list[tuple[str, int]]:
        """Return those with scores from low to high, lowest first."""
        name = (await self._keys()).index(index)
        return _pairs(await self._redis.zrange(name, low, high, byscore=True, offset=0, num=count, withscores=True))

    async def currencies(self) -> list[str]:
        """Return the currencies in which there are or were bad debts."""
        return sorted(c.decode() for c in await self._redis.smembers((await self._keys()).currencies))


def _pairs(found: list[Any]) -> list[tuple[str, int]]:
    return [(name.decode(), int(score)) for name, score in found]
