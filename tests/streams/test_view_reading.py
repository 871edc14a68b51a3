"""Views as readers get them: aged to the last closed day, whatever was written when."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Iterator

import pytest
from msgspec import json
from redis.asyncio import Redis

from agents.account.view import Aging
from deploy.local.redis import RedisServer
from streams.views.keys import Keys
from streams.views.view import Views, account_shown, outstanding

DAY = 739_800


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Yield a real redis-server."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not here, and this machine cannot install it")
    with RedisServer(tmp_path_factory.mktemp("redis")) as made:
        yield made


def kept(principal: int, aging: Aging, partition: int = 0) -> dict[str, str]:
    """Return the hash of an account as it is written, with what matters here."""
    terms = json.encode(aging).decode()
    return {"principal": str(principal), "penalty": "0", "partition": str(partition), "aging": terms}


def test_an_account_is_aged_to_its_partitions_closed_day() -> None:
    aging = Aging(DAY, 15, 1, 12, 0, 500, 30, 2, ((DAY + 3, 40),), ((DAY + 2, 7, 1),))
    wanted = {
        DAY - 5: ("15", "12", "500", "30", "2"),
        DAY + 1: ("16", "12", "500", "30", "2"),
        DAY + 2: ("17", "12", "500", "37", "3"),
        DAY + 14: ("29", "12", "540", "37", "3"),
    }
    for closed, values in wanted.items():
        # Another partition may be ahead.
        shown = account_shown(kept(1_000, aging, 3), {"3": str(closed), "4": str(closed + 9)})
        assert shown["as_of"] == str(max(closed, DAY))
        assert tuple(shown[n] for n in ("days_past_due", "counter_days", "overdue", "interest", "fees")) == values
        assert outstanding(shown) == 1_000 + int(values[3]) + int(values[4])
        assert not {"aging", "partition"} & shown.keys()


def test_a_view_without_terms_says_it_is_of_its_last_visit() -> None:
    old = {"through": str(DAY), "days_past_due": "15"}
    assert account_shown(old, {"0": str(DAY + 9)}) == {**old, "as_of": str(DAY)}


def test_the_worst_are_those_that_owe_most_today(server: RedisServer) -> None:
    dice, owed = random.Random(4), dict[str, int]()

    async def run() -> None:
        async with Redis.from_url(server.url) as redis:
            keys = Keys("worst:", 0)
            await redis.hset(keys.closed, mapping={"0": str(DAY + 1)})
            for number in range(60):
                account, principal = f"A{number:02d}", dice.randint(0, 50)
                steps = ((DAY + dice.choice([1, 2]), dice.randint(0, 30), 0),)
                aging = Aging(DAY, 0, 0, 0, 0, 0, 0, 0, (), steps)
                await redis.hset(keys.view("account", account), mapping=kept(principal, aging))  # type: ignore[arg-type]
                await redis.zadd(keys.index("bad_debts:CNY"), {account: principal + steps[0][1]})
                owed[account] = principal + (steps[0][1] if steps[0][0] == DAY + 1 else 0)
            wanted = sorted(owed.items(), key=lambda debt: (-debt[1], debt[0]))
            views = Views(redis, "worst:")
            for count in (1, 2, 7, 30, 60, 100):
                found = await views.worst("CNY", count)
                # Of those that owe the same any may be the last.
                assert [amount for _, amount in found] == [amount for _, amount in wanted[:count]]
                assert all(owed[account] == amount for account, amount in found)
            assert await views.worst("EUR", 5) == []

    asyncio.run(run())
