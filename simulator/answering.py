"""Answers to offers: when, through which channel, and what, by the truth of `simulator.truth`."""

from __future__ import annotations

from datetime import date

from schemas import events as ev
from simulator.chance import text_key, unit
from simulator.envelope import envelope
from simulator.memory import OpenOffer
from simulator.population import Borrower
from simulator.truth import Situation, acceptance, deals_of, situation_of

DELAY, CHOICE, REFUSAL, CHANNEL, RATING, STUDY = range(128, 134)
# What a borrower finds comfortable to propose, as a share of the surplus.
COMFORT = 0.3
LONG = 36


def answer_day(borrower: Borrower, offer: ev.OfferPublished, published: date) -> int | None:
    """Return the ordinal of the day on which the borrower answers, None for silence: one in seven, or too late."""
    wait = unit(text_key(borrower.key, offer.offer_id), DELAY)
    if wait > 0.86:
        return None
    day = published.toordinal() + 1 + int(wait * 11)
    return day if day <= offer.expires_on.toordinal() else None


def answer(borrower: Borrower, held: OpenOffer, month: int, today: date) -> ev.OfferAnswered | None:
    """Return the answer to an offer, given today. month: of the borrower's instalments, from 1.

    To an offer without options there is nothing to say, but that things are hard: None where they are not.
    """
    offer = held.offer
    key = text_key(borrower.key, offer.offer_id)
    of = situation_of(borrower, month)
    rate = max(a.annual_rate_bps for a in borrower.accounts)
    if not offer.options and not (of.shocked and unit(key, REFUSAL) < 0.4):
        return None
    deals = deals_of(offer.options, offer.recommended_option_id, rate, held.owed)
    at_most = unit(key, CHOICE)
    option_id: str | None = None
    for option, probability in zip(offer.options, acceptance(deals, of), strict=True):
        if at_most < probability:
            option_id = option.option_id
            break
        at_most -= probability
    reasons: tuple[ev.AnswerReason, ...] = ()
    counter: int | None = None
    said: ev.Answer = "accepted"
    if option_id is None:
        said, reasons, counter = _refusal(offer, key, of)
    online = unit(key, CHANNEL) < borrower.online
    return ev.OfferAnswered(
        **envelope(f"answer-{offer.offer_id}", today, borrower.place.hour),
        feedback_id=f"F-{offer.offer_id}",
        offer_id=offer.offer_id,
        borrower_id=borrower.borrower_id,
        answer=said,
        option_id=option_id,
        reasons=reasons,
        counter_amount=counter,
        rating=1 + int(unit(key, RATING) * 2 + (3 if said == "accepted" else 1)) if online else None,
        channel="online" if online else "hotline",
        recording_ref=None if online else f"rec-{offer.offer_id}",
    )


def _refusal(
    offer: ev.OfferPublished, key: int, of: Situation
) -> tuple[ev.Answer, tuple[ev.AnswerReason, ...], int | None]:
    """Return how an offer is not accepted: countered where there is something to propose, else declined."""
    if not offer.options:
        return "declined", ("distress",), None
    lowest = min(offer.options, key=lambda o: o.instalment_amount)
    reasons: list[ev.AnswerReason] = []
    comfortable = int(of.surplus * COMFORT)
    if lowest.instalment_amount > comfortable:
        reasons.append("too_high")
    if lowest.term_months > LONG:
        reasons.append("too_long")
    if of.willingness < 0.5:
        reasons.append("distrust")
    elif not reasons:
        reasons.append("rate")
    if "too_high" in reasons and comfortable > 0 and unit(key, REFUSAL) < 0.5:
        return "countered", tuple(reasons), comfortable
    return "declined", tuple(reasons), None


def studied(borrower: Borrower, offer: ev.OfferPublished, today: date) -> ev.EducationCompleted | None:
    """Return the education item that three in ten of those who accept finish; None for the others."""
    if not offer.education or unit(text_key(borrower.key, offer.offer_id), STUDY) >= 0.3:
        return None
    return ev.EducationCompleted(
        **envelope(f"study-{offer.offer_id}", today, borrower.place.hour),
        borrower_id=borrower.borrower_id,
        item_id=offer.education[0],
    )
