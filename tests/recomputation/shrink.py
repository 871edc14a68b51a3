"""A difference told by the fewest facts that still show it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import msgspec

from schemas import events as ev
from state.policy import Policy
from tests.recomputation.histories import History
from tests.recomputation.lives import delivered, difference, in_order
from tests.recomputation.said import told


def as_told(history: History) -> list[ev.Event]:
    """Return what a desk is told of a history: in order where that differs already, else as it was delivered."""
    events = [event for batch in in_order(history) for event in batch]
    if not differs(history, events):
        events = [event for batch in delivered(history) for event in batch]
    return events


def of_events(history: History, events: list[ev.Event]) -> History:
    """Return a history of only what is in some events, through the last day that they close."""
    last = max(e.business_date for e in events if isinstance(e, ev.DayClosed))
    facts = [(0, e) for e in events if not isinstance(e, ev.DayClosed)]
    return replace(history, facts=facts, days=(last - history.start).days)


def differs(history: History, events: list[ev.Event]) -> bool:
    """Say whether some events come out differently; an error of the agent is a difference too."""
    kinds = {type(e) for e in events}
    if not events or not isinstance(events[-1], ev.DayClosed) or not kinds & {ev.AccountOpened, ev.OpeningPosition}:
        return False
    try:
        return any(difference(of_events(history, events), [events]))
    except Exception:
        return True


def shrunk(history: History) -> list[ev.Event]:
    """Return what is told of a history with all left out without which the difference stays."""
    events = as_told(history)
    if not differs(history, events):
        return events
    step = max(1, len(events) // 2)
    while step:
        at = 0
        while at < len(events):
            less = events[:at] + events[at + step :]
            if differs(history, less):
                events = less
            else:
                at += step
        step //= 2
    return events


def story(history: History) -> str:
    """Return the least of a history that comes out differently, and how, as text."""
    events = shrunk(history)
    history = of_events(history, events)
    lines = [f"seed {history.seed}, {history.start} to {history.last}, book {history.book.name}"]
    opening = next(e for e in events if isinstance(e, ev.AccountOpened | ev.OpeningPosition))
    for day, book in ((0, history.book), *((d, b) for d, b in history.book.later)):
        policy = book.policy_for(opening.jurisdiction, opening.product)
        lines.append(f"rules from {date.fromordinal(day) if day else 'the start'}: {_rules(policy)}")
    lines += [
        f"close {e.business_date}" if isinstance(e, ev.DayClosed) else msgspec.json.encode(e).decode() for e in events
    ]
    try:
        theirs, ours = difference(history, [events])
    except Exception as error:
        return "\n".join([*lines, f"error: {error!r}"])
    lines += [f"  - Reprieve only: {told(r)}" for r in theirs]
    lines += [f"  + recomputation: {told(r)}" for r in ours]
    return "\n".join(lines)


def _rules(policy: Policy) -> str:
    """Return the rules of an account that are not those of the sections' defaults."""
    words = []
    for section in ("delinquency", "charges", "bad_debt", "impairment", "plans", "options"):
        value = getattr(policy, section)
        for f in msgspec.structs.fields(value):
            now = getattr(value, f.name)
            if now != f.default:
                words.append(f"{section}.{f.name}={now}")
    words += [f"allocation.sweep={policy.allocation.sweep}"]
    words += [f"{name}={','.join(getattr(policy.allocation, name))}" for name in ("performing", "non_performing")]
    for c in policy.classifications:
        words.append(f"classes {c.policy}: " + ", ".join(f"{t.name}>={t.from_days}" for t in c.thresholds))
        words += [f"{f.name}={v}" for f in msgspec.structs.fields(c)[2:] if (v := getattr(c, f.name)) != f.default]
    return " ".join(words)
