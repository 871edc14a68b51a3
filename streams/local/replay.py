"""Replay: events through the same agents in one process, under one policy or beside another."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from agents.amounts import total, whole
from schemas import events as ev
from state.policy import PolicyBook
from streams.local.runtime import LocalRuntime

CHUNK = 10_000


class Offered(Struct, frozen=True):
    """What offers in a currency came to, by their leads, in minor units.

    owed: what the debts were. cost: all that borrowers would pay. waived: what is forgiven. value: what the lender gets
    for it, as a present value at the contracts' rates; no probability that it is accepted or kept is in it.
    """

    offers: int = 0
    with_plan: int = 0
    owed: int = 0
    cost: int = 0
    waived: int = 0
    value: int = 0


class Difference(Struct, frozen=True):
    """What another policy would have changed.

    counts: by output type, (under the first, under the other). offered: by currency, what was offered. bad_debts:
    account -> statuses that differ at the end. offers: borrower -> the last offers that differ: kind, and of the lead
    its months, monthly amount, cost to the borrower and value to the lender.
    """

    policies: tuple[str, str]
    counts: dict[str, tuple[int, int]]
    offered: dict[str, tuple[Offered, Offered]]
    bad_debts: dict[str, tuple[str, str]]
    offers: dict[str, tuple[str, str]]


class Outcome:
    """What came of a history under one policy, as far as a comparison needs it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.bad_debts: dict[str, str] = {}
        self.offers: dict[str, str] = {}
        self.offered: dict[str, Offered] = {}

    def take(self, said: Iterable[ev.Event]) -> None:
        """Count what was said."""
        for event in said:
            name = type(event).__name__
            if isinstance(event, ev.BadDebtChanged):
                name += f" {event.from_} -> {event.to}"
                self.bad_debts[event.account_id] = event.to
            elif isinstance(event, ev.OfferPublished):
                self._offer(event)
            self.counts[name] += 1

    def _offer(self, event: ev.OfferPublished) -> None:
        lead = next((o for o in event.options if o.option_id == event.recommended_option_id), None)
        said = event.kind
        before = self.offered.get(event.currency, Offered())
        if lead is None or event.kind != "plan":
            self.offered[event.currency] = replace(before, offers=before.offers + 1)
        else:
            said += f" {lead.term_months} × {lead.instalment_amount}, cost {lead.total_cost}, value {lead.npv}"
            owed = whole(total(event.balances))
            self.offered[event.currency] = Offered(
                before.offers + 1,
                before.with_plan + 1,
                before.owed + owed,
                before.cost + lead.total_cost,
                before.waived + lead.waived.interest + lead.waived.penalty,
                before.value + lead.npv,
            )
        self.offers[event.borrower_id] = said

    def against(self, other: Outcome, names: tuple[str, str]) -> Difference:
        """Return what differs in another outcome of the same history."""

        def differing(mine: dict[str, str], theirs: dict[str, str]) -> dict[str, tuple[str, str]]:
            keys = sorted(mine.keys() | theirs.keys())
            return {k: (mine.get(k, "none"), theirs.get(k, "none")) for k in keys if mine.get(k) != theirs.get(k)}

        kinds = sorted(self.counts.keys() | other.counts.keys())
        return Difference(
            names,
            {k: (self.counts[k], other.counts[k]) for k in kinds},
            {
                c: (self.offered.get(c, Offered()), other.offered.get(c, Offered()))
                for c in sorted(self.offered.keys() | other.offered.keys())
            },
            differing(self.bad_debts, other.bad_debts),
            differing(self.offers, other.offers),
        )


@contextmanager
def scratch(book: PolicyBook) -> Iterator[LocalRuntime]:
    """Open a runtime over a folder that is gone afterwards: memory stays bounded however long the history."""
    with tempfile.TemporaryDirectory(prefix="reprieve-replay-") as folder, LocalRuntime.open(Path(folder), book) as one:
        yield one


def replay(events: Iterable[ev.Event], book: PolicyBook, say: Callable[[list[ev.Event]], None]) -> int:
    """Run events through the agents and hand on what they say, chunk by chunk; returns the number of events."""
    read, given = 0, iter(events)
    with scratch(book) as runtime:
        while held := list(islice(given, CHUNK)):
            say(runtime.feed(held))
            read += len(held)
    return read
