"""Run the demonstration: a seeded population on the local runtime, day by day."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from schemas import events as ev
from simulator.world import World
from state.policy_packs.loader import default_book
from streams.demo.story import Stories
from streams.demo.tally import Tally
from streams.local.runtime import LocalRuntime


@dataclass(slots=True)
class Demonstration:
    """A demonstration under way: what was counted, the stories, and the time that processing took."""

    tally: Tally
    stories: Stories
    seconds: float = 0.0

    def rate(self) -> float:
        """Return the events processed in a second of processing."""
        return self.tally.events_in / self.seconds if self.seconds else 0.0


def days(
    accounts: int,
    seed: int,
    start: date,
    data: Path | None,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[Demonstration, None, None]:
    """Run one business date after the other for ever; yields after each. `data` None keeps all in memory."""
    world = World(accounts=accounts, seed=seed, start=start)
    shown = Demonstration(Tally(), Stories())
    with LocalRuntime.open(data, book=default_book()) as runtime:

        def process(arrived: list[ev.Event]) -> list[ev.Event]:
            began = clock()
            said = runtime.feed(arrived)
            shown.seconds += clock() - began
            shown.tally.take(arrived, said)
            shown.stories.take(arrived)
            shown.stories.take(said)
            return said

        said = process(list(world.opening()))
        today = start
        while True:
            said = process(list(world.day(today, said)))
            yield shown
            today += timedelta(days=1)
