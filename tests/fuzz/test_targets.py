"""Every door, with inputs that are nearly right: the short form of `make fuzz`, the same on every run.

REPRIEVE_FUZZ_EXAMPLES=20000 makes it a long one.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.invariants import BrokenInvariantError, bounded, ensure
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import TARGETS

EXAMPLES = int(os.environ.get("REPRIEVE_FUZZ_EXAMPLES", "40"))


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_door_takes_its_seeds_and_whatever_remains_of_them(name: str) -> None:
    target = TARGETS[name]
    for seed in target.seeds():
        for data in (seed, seed[: len(seed) // 2]):
            with bounded():
                target.attempt(data)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_target_keeps_its_promises_for_mutated_inputs(name: str) -> None:
    target = TARGETS[name]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=EXAMPLES <= 40,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def attempt(data: st.DataObject) -> None:
        with bounded():
            target.attempt(data.draw(mutated(target.seeds())))

    attempt()


def test_an_oracle_that_does_not_hold_is_a_finding() -> None:
    with pytest.raises(BrokenInvariantError, match="nothing"):
        ensure(False, "nothing")
    with pytest.raises(BrokenInvariantError, match="CPU time"), bounded(0.0):
        sum(range(100_000))
