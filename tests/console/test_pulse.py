"""What is counted does not depend on which topic or key came first: over Kafka nobody knows."""

from __future__ import annotations

import random
from collections import deque
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from console.ledger import Ledger
from console.newest import Newest
from console.pulse import Pulse
from schemas import events as ev
from schemas.topics import TOPIC_OF, key_of
from simulator.world import START


@pytest.fixture(scope="module")
def log(lived: Path) -> list[ev.Event]:
    """Return every event of the log that can be read."""
    ledger = Ledger(lived)
    events = [event for _, event in ledger.after(0, 10**9) if event is not None]
    ledger.close()
    return events


def counted(events: list[ev.Event]) -> bytes:
    pulse = Pulse()
    for event in events:
        pulse.take(event)
    return msgspec.json.encode((pulse.snapshot(), pulse.leads.table()), order="sorted")


def by_place(events: list[ev.Event], partitions: int) -> list[list[ev.Event]]:
    """Return events as the partitions of their topics have them."""
    places: dict[tuple[str, int], list[ev.Event]] = {}
    for event in events:
        key = key_of(event) or ""
        places.setdefault((TOPIC_OF[type(event)].name, sum(key.encode()) % partitions), []).append(event)
    return list(places.values())


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_partitions_gives_the_same_counts_and_lists(log: list[ev.Event], seed: int) -> None:
    dice = random.Random(seed)
    places = [deque(events) for events in by_place(log, 3)]
    mixed: list[ev.Event] = []
    while places:
        place = dice.choice(places)
        count = min(len(place), dice.choice((1, 10, 1_000, 100_000)))
        mixed += [place.popleft() for _ in range(count)]
        places = [p for p in places if p]
    assert counted(mixed) == counted(log)


def test_partitions_read_one_behind_the_other_give_the_same_too(log: list[ev.Event]) -> None:
    for places in (by_place(log, 2), by_place(log, 2)[::-1]):
        assert counted([event for place in places for event in place]) == counted(log)


def test_the_newest_are_kept_once_whatever_comes_first(log: list[ev.Event]) -> None:
    debts = [e for e in log if isinstance(e, ev.BadDebtChanged)]
    wanted = sorted(debts, key=lambda e: (e.business_date, e.event_id))[-5:][::-1]
    for seed in range(5):
        mixed = debts * 2
        random.Random(seed).shuffle(mixed)
        newest: Newest[ev.BadDebtChanged] = Newest(5)
        for event in mixed:
            newest.take(event)
        assert list(newest) == wanted
    assert wanted[0].business_date > START + timedelta(days=100)
