"""The collection department: whom it tries to reach on an unpaid account, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from schemas import events as ev
from simulator.chance import keyed
from simulator.envelope import envelope
from simulator.paying import FIRST, LAST, SECOND
from simulator.population import Account, Borrower

CONTACT = 96
DISPUTE_DAYS = 30
BREATHING_SPACE_DAYS = 60


def contact(
    borrower: Borrower, account: Account, month: int, lag: int, unpaid: int, shocked: bool, today: date
) -> Iterator[ev.Event]:
    """Yield the attempt of a visit to an unpaid account, and the promise or the hold that comes of it."""
    bits = keyed(account.key, CONTACT, month * 64 + lag)
    name = f"{account.account_id}-{month}-{lag}"
    channel: ev.ContactChannel = "sms" if lag == FIRST else "letter" if lag == LAST and bits & 1 else "call"
    outcome = _outcome(borrower, bits >> 8 & 0xFF, bits >> 16 & 0xFF, shocked)
    yield ev.ContactAttempted(
        **envelope(f"contact-{name}", today, borrower.place.hour),
        attempt_id=f"C-{name}",
        account_id=account.account_id,
        channel=channel,
        direction="outbound",
        outcome=outcome,
        agent=f"staff-{bits >> 24 & 31:02d}",
    )
    if outcome == "promised":
        yield ev.PromiseMade(
            **envelope(f"promise-{name}", today, borrower.place.hour),
            promise_id=f"R-{name}",
            account_id=account.account_id,
            amount=max(1, unpaid),
            due_on=today + timedelta(days=10),
        )
    elif outcome == "disputed":
        # The complaints desk takes each dispute up, and decides most of them within a day.
        days = DISPUTE_DAYS if lag == SECOND else 1
        yield _hold(account, "dispute", today, days, when_hour=borrower.place.hour)
    elif outcome == "hardship" and lag == LAST and borrower.place.jurisdiction == "EU" and bits >> 32 & 7 == 0:
        yield _hold(account, "breathing_space", today, BREATHING_SPACE_DAYS, when_hour=borrower.place.hour)
    elif outcome == "hardship" and lag == LAST and bits >> 32 & 31 == 1:
        yield _hold(account, "vulnerability", today, None, when_hour=borrower.place.hour)


def _hold(account: Account, kind: ev.HoldKind, today: date, days: int | None, *, when_hour: int) -> ev.HoldPlaced:
    name = f"{account.account_id}-{today.isoformat()}"
    return ev.HoldPlaced(
        **envelope(f"hold-{name}", today, when_hour),
        hold_id=f"H-{name}",
        account_id=account.account_id,
        kind=kind,
        from_on=today,
        until_on=None if days is None else today + timedelta(days=days),
    )


def released(borrower: Borrower, placed: ev.HoldPlaced, today: date) -> Iterator[ev.HoldReleased]:
    """Yield the release of a hold that was placed without an end."""
    yield ev.HoldReleased(
        **envelope(f"release-{placed.hold_id}", today, borrower.place.hour),
        hold_id=placed.hold_id,
        account_id=placed.account_id,
        released_on=today,
    )


def _outcome(borrower: Borrower, reach: int, answer: int, shocked: bool) -> ev.ContactOutcome:
    """Return what an attempt came to: half are not answered, and the willing promise more than they refuse."""
    if reach < 8:
        return "wrong_party"
    if reach < 8 + int(170 - 60 * borrower.willingness):
        return "no_answer"
    if shocked and answer < 110:
        return "hardship"
    if answer < 5:
        return "disputed"
    if answer < 8:
        return "complaint"
    if answer < 8 + int(120 * (1 - borrower.willingness)):
        return "refused"
    return "promised" if answer < 8 + 120 + int(60 * borrower.willingness) else "reached"
