"""Replay: events through the same agents in one process, under one policy or beside another."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from schemas import events as ev
from state.policy import PolicyBook
from streams.local.runtime import LocalRuntime

CHUNK = 10_000


class Difference(Struct, frozen=True):
    """What another policy would have changed.

    counts: by output type, (under the first, under the other). bad_debts: account -> statuses that differ at
    the end. offers: borrower -> (kind, monthly amount of the lead) of the last offers that differ.
    """

    policies: tuple[str, str]
    counts: dict[str, tuple[int, int]]
    bad_debts: dict[str, tuple[str, str]]
    offers: dict[str, tuple[str, str]]


class Outcome:
    """What came of a history under one policy, as far as a comparison needs it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.bad_debts: dict[str, str] = {}
        self.offers: dict[str, str] = {}

    def take(self, said: Iterable[ev.Event]) -> None:
        """Count what was said."""
        for event in said:
            name = type(event).__name__
            if isinstance(event, ev.BadDebtChanged):
                name += f" {event.from_} -> {event.to}"
                self.bad_debts[event.account_id] = event.to
            elif isinstance(event, ev.OfferPublished):
                lead = next((o.instalment_amount for o in event.options if o.option_id == event.lead_option_id), 0)
                self.offers[event.borrower_id] = f"{event.kind} {lead}"
            self.counts[name] += 1

    def against(self, other: Outcome, names: tuple[str, str]) -> Difference:
        """Return what differs in another outcome of the same history."""

        def differing(mine: dict[str, str], theirs: dict[str, str]) -> dict[str, tuple[str, str]]:
            keys = sorted(mine.keys() | theirs.keys())
            return {k: (mine.get(k, "none"), theirs.get(k, "none")) for k in keys if mine.get(k) != theirs.get(k)}

        kinds = sorted(self.counts.keys() | other.counts.keys())
        return Difference(
            names,
            {k: (self.counts[k], other.counts[k]) for k in kinds},
            differing(self.bad_debts, other.bad_debts),
            differing(self.offers, other.offers),
        )


@contextmanager
def scratch(book: PolicyBook) -> Iterator[LocalRuntime]:
    """Open a runtime over a folder that is gone afterwards: memory stays bounded however long the history."""
    with tempfile.TemporaryDirectory(prefix="reprieve-replay-") as folder, LocalRuntime.open(Path(folder), book) as one:
        yield one


def replay(
    events: Iterable[ev.Event], book: PolicyBook, say: Callable[[list[ev.Event]], None], chunk: int = CHUNK
) -> int:
    """Run events through the agents and hand on what they say, chunk by chunk; returns the number of events."""
    read = 0
    with scratch(book) as runtime:
        held: list[ev.Event] = []
        for event in events:
            held.append(event)
            if len(held) >= chunk:
                say(runtime.feed(held))
                read += len(held)
                held = []
        if held:
            say(runtime.feed(held))
            read += len(held)
    return read
