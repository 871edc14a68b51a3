"""Facts that are stated otherwise under one identity, and facts from before the account: written beside a history."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from msgspec.structs import replace

from schemas import events as ev
from tests.recomputation.histories import History

# Earlier seeds keep the histories that they had.
FIRST_SEED = 8_000_000
# What a fact of each kind says otherwise. Dates move by some days, either way.
OTHERWISE: dict[type[ev.Event], Callable[[Random, Any], dict[str, Any]]] = {
    ev.PartyChanged: lambda rng, e: {"role": rng.choice((None, "joint", "guarantor"))},
    ev.HoldPlaced: lambda rng, e: {"until_on": None if e.until_on else e.from_on + timedelta(rng.randint(0, 50))},
    ev.HoldReleased: lambda rng, e: {"released_on": e.released_on + timedelta(rng.choice((-5, 7)))},
    ev.ScheduleRevised: lambda rng, e: {
        "instalments": e.instalments[:-1],
        "effective_on": e.effective_on + timedelta(5),
    },
    ev.InstalmentAdjusted: lambda rng, e: {"effective_on": e.effective_on + timedelta(rng.choice((-9, 12)))},
    ev.AdjustmentReversed: lambda rng, e: {"reversed_on": e.reversed_on + timedelta(4)},
    ev.PlanActivated: lambda rng, e: (
        {"activated_on": e.activated_on + timedelta(3)} if e.ends_on is None else {"ends_on": e.ends_on + timedelta(3)}
    ),
    ev.PaymentReceived: lambda rng, e: {"value_on": e.value_on + timedelta(rng.choice((-9, 12)))},
    ev.PaymentReversed: lambda rng, e: {"amount": (e.amount or 50) + 9},
    ev.PaymentFailed: lambda rng, e: {"amount": e.amount + 1},
    ev.AccountReopened: lambda rng, e: {"reason": "other"},
    ev.OpeningPosition: lambda rng, e: {"failed_attempts": e.failed_attempts + 2},
}
# The dates from which facts count. A plan that begins before its account is none.
DATES: dict[type[ev.Event], str] = {
    ev.HoldPlaced: "from_on", ev.HoldReleased: "released_on", ev.ScheduleRevised: "effective_on",
    ev.InstalmentAdjusted: "effective_on", ev.AdjustmentReversed: "reversed_on", ev.PaymentReceived: "value_on",
    ev.PaymentReversed: "reversed_on", ev.PaymentFailed: "occurred_at", ev.ContactAttempted: "occurred_at",
    ev.PromiseMade: "occurred_at", ev.BadDebtReviewed: "occurred_at",
}  # fmt: skip


def restate(history: History) -> None:
    """State some facts otherwise, or from an earlier day."""
    rng = Random(f"restated {history.seed}")
    if rng.random() < 0.3:
        _open_otherwise(rng, history)
    if rng.random() < 0.3:
        _move_back(rng, history)
    if rng.random() < 0.5:
        for day, event in list(history.facts):
            if type(event) in OTHERWISE and rng.random() < 0.12:
                _add(rng, history, day + rng.choice((0, 1, 20)), event, OTHERWISE[type(event)](rng, event))


def _open_otherwise(rng: Random, history: History) -> None:
    opened = next((e for _, e in history.facts if isinstance(e, ev.AccountOpened)), None)
    if opened is None:
        return
    change: dict[str, Any] = {"reported_from": rng.choice((None, opened.reported_from, history.last))}
    if not any(isinstance(e, ev.PlanActivated) for _, e in history.facts):
        change["opened_on"] = opened.opened_on + timedelta(rng.choice((-20, -1, 0, 2, 40)))
    if opened.instalments and rng.random() < 0.5:
        fewer = opened.instalments[: rng.randint(1, len(opened.instalments))]
        later = timedelta(rng.choice((0, 1, 31)))
        change["instalments"] = tuple(replace(i, interest=i.interest + 5, due_on=i.due_on + later) for i in fewer)
        change["principal"] = sum(i.principal for i in fewer)
    _add(rng, history, rng.randrange(history.days), opened, change)


def _move_back(rng: Random, history: History) -> None:
    by: dict[tuple[type[ev.Event], str], int] = {}
    for n, (day, event) in enumerate(history.facts):
        name = DATES.get(type(event))
        # What is sent again moves with it.
        days = by.setdefault((type(event), event.event_id), rng.choice((0, 0, rng.randint(1, 60))))
        if name is not None and days:
            moved: Any = {name: getattr(event, name) - timedelta(days)}
            history.facts[n] = (day, replace(event, **moved))


def _add(rng: Random, history: History, day: int, event: ev.Event, change: dict[str, Any]) -> None:
    """Add another statement of a fact, of before it or after it."""
    at = event.occurred_at + timedelta(hours=rng.choice((-30, -3, -1, 1, 30)))
    stated = replace(event, event_id=f"restated-{len(history.facts)}", occurred_at=at, **change)
    history.facts.append((min(history.days, day), stated))
