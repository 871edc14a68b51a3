"""Runs of a simulated world: with the engine in the loop, or without it for populations of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from schemas import events as ev
from simulator.world import START, World
from state.pack import book_for

# Up to this many accounts the engine runs along, so that there are offers to answer.
CLOSED_UP_TO = 20_000


def simulate(
    accounts: int,
    days: int,
    seed: int,
    start: date = START,
    policy: str = "default",
    changes: Sequence[ev.PolicyChanged] = (),
) -> Iterator[ev.Event]:
    """Yield a population's events in the order of arrival, each day's close included.

    Up to 20,000 accounts the engine is in the loop, so there are answers to its offers and payments of its
    plans; beyond that there are none, and no changes of policy. Such a change comes behind the close of the day before
    the one from which it counts. The same arguments give the same events.
    """
    if accounts <= CLOSED_UP_TO:
        yield from closed_loop(accounts, days, seed, start, policy, changes)
    else:
        yield from open_loop(accounts, days, seed, start)


def open_loop(accounts: int, days: int, seed: int, start: date = START) -> Iterator[ev.Event]:
    """Yield the events of a population that is made no offers; memory does not grow with it."""
    world = World(accounts, seed, start, listens=False)
    yield from world.opening()
    for n in range(days):
        yield from world.day(start + timedelta(days=n))


def closed_loop(
    accounts: int,
    days: int,
    seed: int,
    start: date = START,
    policy: str = "default",
    changes: Sequence[ev.PolicyChanged] = (),
) -> Iterator[ev.Event]:
    """Yield the events of a population that answers what the engine says of these very events, under a policy.

    What the engine says is deterministic, so a replay of the events makes the offers that they answer.
    """
    # Imported here, since the runtime takes half a second to import and open loops need none of it.
    from streams.local.runtime import LocalRuntime

    world = World(accounts, seed, start)
    with LocalRuntime.open(None, book_for(policy)) as runtime:
        arrived = list(world.opening())
        for n in range(days):
            yield from arrived
            said = runtime.feed(arrived)
            today = start + timedelta(days=n)
            arrived = list(world.day(today, said))
            arrived += [change for change in changes if change.effective_on == today + timedelta(days=1)]
        yield from arrived
