"""Takes from a history what no order decides: an answer beside other news of the same borrower.

What comes of an answer comes at once, by what was heard before it. Topics are read side by side, so whether a report of
the same day was heard before is a matter of milliseconds, and both are right; one process hears them in one order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from msgspec.structs import replace

from schemas import events as ev
from tests.support.worker_cluster import expected_outputs


def answers_apart(events: Sequence[ev.Event]) -> list[ev.Event]:
    """Return a history in which each answer comes on a day on which nothing else is heard of its borrower.

    Later than it was, where need be; one for which no such day is left, or whose offer is then never made, is dropped.
    Days end with their close.
    """
    days: list[list[ev.Event]] = [[]]
    for event in events:
        days[-1].append(event)
        if isinstance(event, ev.DayClosed):
            days.append([])
    owners = {e.account_id: e.borrower_id for e in events if isinstance(e, ev.AccountOpened)}
    busy = {
        (_borrower(event, owners), number)
        for number, day in enumerate(days)
        for event in day
        if not isinstance(event, ev.OfferAnswered)
    }
    told: list[list[ev.Event]] = [[] for _ in days]
    for number, day in enumerate(days):
        for event in day:
            if not isinstance(event, ev.OfferAnswered):
                continue
            free = (n for n in range(number, len(days) - 1) if (event.borrower_id, n) not in busy)
            on = next(free, None)
            if on is not None:
                told[on].append(replace(event, occurred_at=event.occurred_at + timedelta(days=on - number)))
    moved = [
        event
        for day, answers in zip(days, told, strict=True)
        for event in (*answers, *(e for e in day if not isinstance(e, ev.OfferAnswered)))
    ]
    offers = {e.offer_id for e in expected_outputs(moved) if isinstance(e, ev.OfferPublished)}
    return [e for e in moved if not isinstance(e, ev.OfferAnswered) or e.offer_id in offers]


def _borrower(event: ev.Event, owners: dict[str, str]) -> str | None:
    account = getattr(event, "account_id", None)
    found: str | None = owners.get(account) if account is not None else getattr(event, "borrower_id", None)
    return found
