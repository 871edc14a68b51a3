"""Several people on one account: drawn beside the rest of a history, which stays as it was without them."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from random import Random

from msgspec.structs import replace

from schemas import events as ev
from tests.recomputation.histories import History

PEOPLE = ("B2", "B3", "B4")


def join(history: History) -> None:
    """Let people answer for the account beside the borrower, and let holds and contacts be theirs."""
    rng = Random(f"several {history.seed}")
    if rng.random() >= 0.25:
        return
    parties = tuple(_party(rng, person) for person in PEOPLE[: rng.randint(0, 2)])
    whose: dict[str, str | None] = defaultdict(lambda: rng.choice((None, None, "B1", *PEOPLE)))
    facts: list[tuple[int, ev.Event]] = []
    for day, event in history.facts:
        match event:
            case ev.AccountOpened() | ev.OpeningPosition():
                facts.append((day, replace(event, parties=parties)))
            case ev.HoldPlaced():
                facts.append((day, replace(event, borrower_id=whose[event.hold_id])))
            case ev.ContactAttempted():
                facts.append((day, replace(event, borrower_id=whose[event.attempt_id])))
            case _:
                facts.append((day, event))
    for number in range(rng.randint(0, 4)):
        on, person = rng.randrange(history.days), rng.choice(PEOPLE)
        party = _party(rng, person)
        changed = ev.PartyChanged(
            event_id=f"several-{number}",
            occurred_at=history.facts[0][1].occurred_at + timedelta(days=on, hours=number),
            source="drawn",
            account_id="A1",
            borrower_id=person,
            from_on=history.start + timedelta(days=on),
            role=rng.choice((None, party.role, "joint")),
        )
        facts.insert(rng.randrange(1, len(facts) + 1), (min(history.days, on + rng.choice((0, 0, 0, 25))), changed))
    history.facts = facts


def _party(rng: Random, person: str) -> ev.Party:
    return ev.Party(borrower_id=person, role=rng.choice(("joint", "guarantor")), enforced=rng.random() < 0.5)
