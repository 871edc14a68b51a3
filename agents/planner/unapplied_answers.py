"""Answers without effect: none is silent, each is reported with the reason and what can be done."""

from __future__ import annotations

from typing import Literal

from agents.base import derived_id
from agents.planner.update import BorrowerUpdate
from schemas import events as ev

Code = Literal[
    "",
    "accepted_before",
    "nothing_to_accept",
    "not_recorded",
    "offer_open",
    "no_offers_now",
    "nothing_to_offer",
    "offers_used_up",
    "offer_ended",
    "counted_before",
    "others_to_accept",
]
REASONS: dict[Code, str] = {
    "accepted_before": "The offer was accepted before, and the plans of that acceptance stand.",
    "nothing_to_accept": "The offer has no options. Talk to the borrower, and report what changed of means or debts.",
    "not_recorded": "The oral agreement has no recording, and the offer cannot be made again, since its debts have "
    "changed or may not be negotiated now. The borrower can accept the next offer.",
    "offer_open": "An offer is open, and no other one can be made now. The borrower can accept that one.",
    "no_offers_now": "Nothing is offered to the borrower now. A pause ends by itself, a dispute when its hold ends.",
    "nothing_to_offer": "The borrower has no debt that can be negotiated now.",
    "offers_used_up": "The borrower has had as many offers as the policy allows for this trouble. A person has "
    "to talk to them.",
    "offer_ended": "The offer had ended, so declining it changes nothing.",
    "counted_before": "That the offer met no answer was reported before.",
    "others_to_accept": "The policy asks that everybody who owes the debt accepts the same option. The plan begins "
    "when the others have accepted it too, by the last day of the offer.",
}


def not_applied(update: BorrowerUpdate, event: ev.OfferAnswered, code: Code) -> ev.AnswerNotApplied:
    """Return the report that an answer has no effect."""
    return ev.AnswerNotApplied(
        **update.header(derived_id(update.identity, "AnswerNotApplied", event.borrower_id)),
        offer_id=event.offer_id,
        feedback_id=event.feedback_id,
        answer=event.answer,
        code=code,
        reason=REASONS[code],
    )
