"""Two statements of one fact that contradict each other: which stands, and what to send instead of the other.

Of a borrower's facts as of an account's the one that occurred first stands, whichever came first.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha1

from msgspec import json

from schemas import events as ev

# An id of its own is for another fact. For a correction it is wrong: the fact would count twice.
_CORRECTION: dict[type[ev.Event], str] = {
    ev.PaymentReceived: (
        "If it is another payment, send it under a payment_id of its own. If it corrects the first, send "
        "PaymentReversed for the first, and the right amount under a new payment_id."
    ),
    ev.HoldPlaced: (
        "If it is another hold, send it under a hold_id of its own. If it corrects the first, send HoldReleased for "
        "the first with released_on its from_on, and place the right one under a new hold_id."
    ),
    ev.InstalmentAdjusted: (
        "If it is another adjustment, send it under an adjustment_id of its own. If it corrects the first, send "
        "AdjustmentReversed for the first, and the right one under a new adjustment_id."
    ),
    ev.PromiseMade: (
        "If it is another promise, send it under a promise_id of its own; where it takes the place of the first, "
        "name the first in replaces."
    ),
    ev.BadDebtReviewed: "Send the decision under a review_id of its own.",
}
_OWN_ID: dict[type[ev.Event], str] = {
    ev.PaymentReversed: "If another part of the payment went back, send it under a reversal_id of its own. ",
    ev.PaymentFailed: "If it is another attempt, send it under a payment_id of its own. ",
    ev.ContactAttempted: "If it is another contact, send it under an attempt_id of its own. ",
}


def remedy(fact: ev.Event, first: ev.Event) -> str:
    """Return what to send instead of a statement that contradicts the first one of the same fact, which stands."""
    kind = type(fact)
    if kind in _CORRECTION:
        return _CORRECTION[kind]
    if isinstance(fact, ev.InstalmentBilled | ev.ScheduleRevised | ev.OpeningPosition):
        return "Send the correction with a higher revision."
    return (
        f"{_OWN_ID.get(kind, '')}If it corrects the first, send it with an occurred_at before "
        f"{first.occurred_at:%Y-%m-%dT%H:%M:%SZ}, that of the first."
    )


def digest_of(fact: ev.Event) -> str:
    """Return what tells a statement from others under the same natural id."""
    return sha1(json.encode(fact), usedforsecurity=False).hexdigest()[:16]


def statement_order(fact: ev.Event) -> tuple[datetime, str, str]:
    """Return the order of statements of one fact, the one that stands first; no two that differ are equal."""
    return (fact.occurred_at, fact.event_id, digest_of(fact))
