"""Runs of a simulated world: with the engine in the loop, or without it for populations of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Literal

from schemas import events as ev
from simulator.servicing import ServicedWorld
from simulator.world import START, World
from state.policy_packs.loader import book_for

Events = Literal["usual", "rich"]
WORLDS: dict[Events, type[World]] = {"usual": World, "rich": ServicedWorld}
# Up to this many accounts the engine runs along, so that there are offers to answer.
CLOSED_UP_TO = 20_000


def simulate(
    accounts: int,
    days: int,
    seed: int,
    start: date = START,
    policy: str = "default",
    changes: Sequence[ev.PolicyChanged] = (),
    events: Events = "usual",
    close_every: int = 1,
) -> Iterator[ev.Event]:
    """Yield a population's events in the order of arrival, each day's close included.

    events: rich for a world of `simulator.servicing`, in which lenders also correct, revise, sell and take over.
    close_every: days from one close to the next, of a lender that does not close each day; the last day is closed.

    Up to 20,000 accounts the engine is in the loop, so there are answers to its offers and payments of its
    plans; beyond that there are none, no changes of policy, and each day is closed. Such a change comes behind the day
    before the one from which it counts. The same arguments give the same events, and what the engine says of them is
    deterministic: a replay makes the offers that they answer.
    """
    if accounts > CLOSED_UP_TO:
        yield from open_loop(accounts, days, seed, start, events)
        return
    # Imported here, since the runtime takes half a second to import and open loops need none of it.
    from streams.local.runtime import LocalRuntime

    world = WORLDS[events](accounts, seed, start)
    with LocalRuntime.open(None, book_for(policy)) as runtime:
        arrived = list(world.opening())
        for n in range(days):
            yield from arrived
            said = runtime.feed(arrived)
            today = start + timedelta(days=n)
            arrived = list(world.day(today, said))
            if (days - 1 - n) % close_every:
                arrived = [event for event in arrived if not isinstance(event, ev.DayClosed)]
            arrived += [change for change in changes if change.effective_on == today + timedelta(days=1)]
        yield from arrived


def open_loop(accounts: int, days: int, seed: int, start: date = START, events: Events = "usual") -> Iterator[ev.Event]:
    """Yield the events of a population that is made no offers; memory does not grow with a usual one."""
    world = WORLDS[events](accounts, seed, start, listens=False)
    yield from world.opening()
    for n in range(days):
        yield from world.day(start + timedelta(days=n))
