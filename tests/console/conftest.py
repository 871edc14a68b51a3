"""A lived-in data directory and the console over it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.read_store import ReadStore
from console.server import ConsoleServer
from schemas import events as ev
from simulator.world import START, World
from state.policy_packs.loader import default_book, files_of
from streams.local.runtime import LocalRuntime

ACCOUNTS, DAYS, SEED = 200, 330, 7


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory of a portfolio that has seen eleven months."""
    folder = tmp_path_factory.mktemp("console")
    world = World(ACCOUNTS, SEED, START)
    with LocalRuntime.open(folder, default_book()) as runtime:
        arrived: list[ev.Event] = list(world.opening())
        for n in range(DAYS):
            said = runtime.feed(arrived)
            arrived = list(world.day(START + timedelta(days=n), said))
        # Nothing of it counts yet: its day is to come.
        change = ev.PolicyChanged(
            event_id="policy-1",
            occurred_at=datetime(2026, 11, 1, tzinfo=UTC),
            source="risk committee",
            change_id="learner-leads",
            effective_on=START + timedelta(days=DAYS + 30),
            files=files_of("learning_on"),
        )
        runtime.publish([change])
        runtime.publish_raw("payments", b"A1", b"\xffnot Avro")
        runtime.run()
    return folder


@pytest.fixture(scope="session")
def served(lived: Path) -> Iterator[ConsoleServer]:
    """Yield the console over it."""
    with ConsoleServer(lived) as made:
        yield made


@pytest.fixture(scope="module")
def log(lived: Path) -> list[ev.Event]:
    """Return every event of the log that can be read."""
    store = ReadStore(lived)
    events = [event for _, event in store.after(0, 10**9) if event is not None]
    store.close()
    return events
