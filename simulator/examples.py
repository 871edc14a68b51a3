"""`python -m simulator.examples > schemas/examples.jsonl`: one event of each public record, simulated."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from schemas import events as ev
from schemas.asyncapi import public_records, public_topics
from schemas.jsonlines import from_line, to_line
from simulator.world import START, World
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime

ACCOUNTS, DAYS, SEED = 400, 330, 7
# What a simulated portfolio has no occasion for, written by hand.
RARE = Path(__file__).with_name("rare_events.jsonl")


def _says_little(event: ev.Event) -> bool:
    """Return whether an event is short, but no example: an offer without a plan to choose, a report without means."""
    match event:
        case ev.OfferPublished():
            return all(option.arrangement != "repayment" for option in event.options)
        case ev.PlanActivated():
            return event.arrangement != "repayment"
        case ev.DecisionLogged():
            return not event.feasible
        case ev.ProfileReported():
            return event.monthly_income is None
    return False


def collected() -> dict[str, ev.Event]:
    """Return the shortest event of each public record, in the order of topics."""
    seen = {type(e).__name__: e for e in map(from_line, RARE.read_bytes().splitlines())}
    length = {name: len(to_line(e)) for name, e in seen.items()}
    world, arrived = World(ACCOUNTS, SEED, START), list[ev.Event]()
    with LocalRuntime.open(None, default_book()) as runtime:
        arrived = list(world.opening())
        for n in range(DAYS):
            said = runtime.feed(arrived)
            for event in (*arrived, *said):
                name, size = type(event).__name__, len(to_line(event))
                if size < length.get(name, 10**9) and not _says_little(event):
                    seen[name], length[name] = event, size
            arrived = list(world.day(START + timedelta(days=n), said))
    return {name: seen[name] for topic in public_topics() for name in public_records(topic)}


if __name__ == "__main__":
    for example in collected().values():
        sys.stdout.buffer.write(to_line(example))
