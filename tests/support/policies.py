"""Plain policies for tests."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec

from state.policy import (
    Affordability,
    Allocation,
    BadDebt,
    Charges,
    Classification,
    ClassThreshold,
    Contacts,
    Delinquency,
    Impairment,
    Learning,
    Offers,
    Options,
    Plans,
    Policy,
    PolicyBook,
)

STEPS = tuple(
    f"{timing}.{component}"
    for timing in ("past_due", "due", "advance")
    for component in ("penalty", "fees", "interest", "principal")
)
FIVE_CLASSES = (
    ClassThreshold("pass", 0),
    ClassThreshold("special_mention", 1),
    ClassThreshold("substandard", 91),
    ClassThreshold("doubtful", 121),
    ClassThreshold("loss", 181),
)


def policy(**sections: Any) -> Policy:
    """Return a plain policy for tests, with some sections replaced."""
    base = Policy(
        name="test",
        version="1",
        allocation=Allocation(STEPS, STEPS),
        delinquency=Delinquency(pausing_holds=("dispute", "breathing_space")),
        charges=Charges(),
        classifications=(Classification("five", FIVE_CLASSES, probation_days=60, after_plan_days=90),),
        bad_debt=BadDebt("test", blocking_holds=("dispute", "bankruptcy")),
        impairment=Impairment(),
        plans=Plans(),
        affordability=Affordability(),
        options=Options(),
        offers=Offers(),
        contacts=Contacts(),
        learning=Learning(),
    )
    return msgspec.structs.replace(base, **sections)


def book_of(p: Policy | None = None) -> PolicyBook:
    """Return a book in which one policy is for every account."""
    chosen = p or policy()
    return PolicyBook("test", lambda jurisdiction, product: chosen)


def changing(first: Policy, *later: tuple[date, Policy]) -> PolicyBook:
    """Return a book in which one policy is for every account until others take its place."""
    return book_of(first).with_amendments((day.toordinal(), book_of(p)) for day, p in later)
