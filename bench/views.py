"""`python -m bench.views [--accounts N]`: the memory that views of accounts take in Redis.

States are those of a simulated portfolio's accounts, each under many ids; they are written by the projector's own code.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from agents.account.agent import AccountAgent
from agents.account.view import Aging, aging
from bench.measure import machine
from deploy.local.redis import RedisServer
from simulator.world import START, World
from state.account import AccountState
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from streams.settings import Settings
from streams.views.projector import Projector
from streams.views.view import account_view

DAYS, LIVED, PART = 200, 400, 2_000


def states() -> list[tuple[AccountState, Aging]]:
    """Return the accounts of a portfolio after some months, and how each ages."""
    world, found, agent = World(LIVED, 5, START), [], AccountAgent()
    with LocalRuntime.open(None, default_book()) as runtime:
        arrived = list(world.opening())
        accounts = [e.account_id for e in arrived if hasattr(e, "account_id")]
        for n in range(DAYS):
            said = runtime.feed(arrived)
            arrived = list(world.day(START + timedelta(days=n), said))
        for account in dict.fromkeys(accounts):
            state = runtime.state("account", account)
            assert isinstance(state, AccountState)
            found.append((state, aging(state, agent.rules(runtime.policies, state))))
    return found


async def write(url: str, given: Sequence[tuple[AccountState, Aging]], count: int) -> tuple[int, float]:
    """Write so many views; returns the memory they take, and the seconds."""
    async with Redis.from_url(url) as redis:
        projector: Any = Projector(Settings(), redis)
        before = int((await redis.info("memory"))["used_memory"])
        began = time.perf_counter()
        currencies: set[str] = set()
        numbered = enumerate(islice(cycle(given), count))
        while part := list(islice(numbered, PART)):
            async with redis.pipeline(transaction=True) as pipe:
                for number, (state, terms) in part:
                    view = account_view(state, terms, number % 16)
                    projector._put(pipe, "account", f"A{number:010d}", view, currencies)
                await pipe.execute()
        seconds = time.perf_counter() - began
        used = int((await redis.info("memory"))["used_memory"]) - before
        await projector._consumer.stop()
    return used, seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    count = parser.parse_args().accounts
    print(machine())
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        used, seconds = asyncio.run(write(server.url, states(), count))
    print(f"{count:,} account views take {used / 2**20:,.0f} MiB of Redis, {used / count:.0f} bytes each; ", end="")
    print(f"written at {count / seconds:,.0f} a second")


if __name__ == "__main__":
    main()
