"""What merely waits for its day is what `handle` would let wait: the same state, nothing said, one fact."""

from __future__ import annotations

from collections import Counter
from copy import copy
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.account.fold import insert
from schemas import events as ev
from state.account import Pending
from state.storage import pack
from tests.recomputation.drawn import drawn
from tests.recomputation.lives import OpeningDriver, delivered


class ComparingDriver(OpeningDriver):
    """Holds what the agent defers, by type, against what it decides."""

    def __init__(self, *policies: object) -> None:
        super().__init__(*policies)  # type: ignore[arg-type]
        self.deferred: Counter[type[ev.Event]] = Counter()

    def handle(self, event: ev.Event) -> None:
        """Handle an event as always, having asked whether it merely waits."""
        key = self.key_of(event)
        state, context = self.states.get(key), self.context(key, event)
        if state is not None and context.existing_fact is None:
            terms = self.agent.waiting.terms_in(pack(state))
            assert terms == self.agent.waiting.terms_of(state)
            day = self.agent.waiting.deferral(context)(terms, len(state.pending), event)
            if day:
                self.deferred[type(event)] += 1
                waits = copy(state)
                waits.pending = insert(waits.pending, Pending(day, event))  # type: ignore[arg-type]
                step = self.agent.handle(state, event, context)
                assert step.state == waits
                assert ([*step.outputs], [*step.refused], step.erased) == ([], [], False)
                assert [*step.facts] == [(self.agent.fact_key(event), event)]
        super().handle(event)


def lived(seed: int, early: int) -> ComparingDriver:
    """Return a driver that has lived a history of a seed whose facts come in so many days before their time."""
    history = drawn(seed)
    driver = ComparingDriver(history.book)
    for batch in delivered(replace(history, facts=[(max(0, day - early), fact) for day, fact in history.facts])):
        driver.feed(*batch)
    return driver


@settings(max_examples=200, derandomize=True, deadline=None)
@given(seed=st.integers(0, 10_000_000), early=st.sampled_from([0, 0, 1, 4, 5, 30, 400]))
def test_what_is_deferred_is_what_handle_lets_wait(seed: int, early: int) -> None:
    lived(seed, early)


def test_payments_holds_and_statements_are_deferred() -> None:
    found = sum((lived(seed, 30).deferred for seed in range(40)), Counter())
    assert {kind.__name__ for kind in found} == {"PaymentReceived", "HoldPlaced", "InstalmentBilled"}
    assert min(found.values()) > 20
