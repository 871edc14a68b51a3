"""Answers to offers, and what follows each at once: decided as a whole first (`decide_response`), then applied.

- Accepted in time, which is by the end of the offer's last day where the borrower lives: a plan is activated on every
  account of the offer, also where the answer comes in only after the offer expired or a later one was made. Without its
  recording, where the policy asks for one, an oral agreement does not stand: the offer is made again, with the chosen
  option recommended, for confirmation.
- Accepted too late, or after the offer was withdrawn or replaced: no plan; a fresh offer, unless one is open.
- Declined or countered: `too_high` tightens alpha (not with a counter-offer, which says what can be paid), and no
  instalment as high as the refused one is offered again while a lower one can be;
  `too_long` the term, `rate` puts the lowest total cost first, `distrust` is met once with explanations. The
  next offer follows at once if it differs from the one refused, else after the policy's pause.
- `income_change`: incomes of before no longer count, and the borrower is asked for an interview.
- `distress`: no plan is offered for the policy's distress pause; a person is.
- `dispute`: nothing is offered until the dispute is settled (`agents.planner.disputes`); a person is, until then.
- From a joint borrower: as from the borrower, and the policy decides whether an acceptance needs all of them. What they
  report of themselves is left out: it belongs under their own id.
- To an offer that is no longer the last, only what the answer reports of the borrower counts.
- An answer without effect is reported with the reason (`agents.planner.unapplied_answers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from msgspec import Struct
from msgspec.structs import replace

from agents.base import DecisionContext
from agents.planner.agreements import accept
from agents.planner.assessment import Assessment, assess
from agents.planner.contact_compliance import own_zone
from agents.planner.disputes import disputed
from agents.planner.offer_outcomes import record_complaint
from agents.planner.offers import OfferBuilder, OfferPlan, OfferRequest
from agents.planner.unapplied_answers import Code, not_applied
from agents.planner.update import OFFER_FACT, BorrowerUpdate
from schemas import events as ev
from schemas.errors import InvalidEventError
from state.affordability import shorter_term
from state.borrower import LastOffer, OfferEnd
from state.contact_rules import zone_for
from state.local_dates import date_in
from state.policy import Policy
from state.profile import millis

# The reasons that a next offer takes up, in the order in which it names them.
TAKEN_UP: tuple[ev.AnswerReason, ...] = ("income_change", "too_high", "too_long", "rate", "distrust")
MOST_DOUBLINGS = 4
UNAPPLIED = "unapplied:"
# Reasons about a person, not about an offer or a debt.
OF_A_PERSON: frozenset[ev.AnswerReason] = frozenset({"income_change", "distress", "other"})


def pause_after(policy: Policy, unanswered: int) -> int:
    """Return the days until another offer; they double with every further offer that met silence."""
    return policy.offers.pause_days << min(max(unanswered - 1, 0), MOST_DOUBLINGS)


def check(event: ev.OfferAnswered) -> None:
    """Raise InvalidEventError where an answer lacks what its kind needs."""
    if event.answer == "countered" and event.counter_amount is None:
        raise InvalidEventError(
            "missing_counter_amount",
            f"Feedback {event.feedback_id} counters offer {event.offer_id} without an amount. Send it again under a "
            "new feedback_id with counter_amount, minor units a month.",
            "counter_amount",
        )


def about_the_offer(event: ev.OfferAnswered) -> ev.OfferAnswered:
    """Return what of an answer may be kept with the borrower: of a joint borrower's, nothing about that person."""
    if event.answered_by in (None, event.borrower_id):
        return replace(event, answered_by=None)
    reasons = tuple(r for r in event.reasons if r not in OF_A_PERSON)
    return replace(event, reasons=reasons, rating=None, comment=None, sealed=None)


class Response(Struct, frozen=True):
    """What follows an answer: decided as a whole, then applied at once.

    code: why the answer has no effect, empty where it has. offer: the next offer, in the place of an open one. end: how
    an open offer ends where no other takes its place, empty where it stays open. not_before: no further offer before
    that day (ordinal), at whose close one is decided. distress_until: no plan is offered before that day. Both are 0
    for none. explained: the offer meets distrust with explanations.
    """

    code: Code = ""
    offer: OfferPlan | None = None
    end: OfferEnd = ""
    not_before: int = 0
    distress_until: int = 0
    explained: bool = False


def answer(
    offers: OfferBuilder, event: ev.OfferAnswered, said_on: date, policy: Policy, context: DecisionContext
) -> None:
    """Take an answer that was given on a business date.

    Raises InvalidEventError for an offer or option that never was.
    """
    check(event)
    update = offers.update
    s = update.s
    known = (s.offer, *s.lapsed) if s.offer is not None else s.lapsed
    last = next((o for o in known if o.offer_id == event.offer_id), None)
    accounts, joint = (last.account_ids, last.joint) if last is not None else ((), ())
    if last is None:
        made = context.get_fact(OFFER_FACT + event.offer_id)
        if not isinstance(made, ev.OfferPublished):
            raise InvalidEventError(
                "unknown_offer",
                f"No offer {event.offer_id} was made to borrower {event.borrower_id}. Check offer_id and borrower_id, "
                "and send the answer again under a new feedback_id.",
                "offer_id",
            )
        accounts = made.account_ids
        joint = made.joint_borrower_ids
    if event.answered_by is not None and event.answered_by not in joint:
        raise InvalidEventError(
            "not_a_joint_borrower",
            f"{event.answered_by} does not owe the debts of offer {event.offer_id} beside {event.borrower_id}, and so "
            "cannot answer it; nor can a guarantor. Leave answered_by out where the borrower answered, and send the "
            "answer under a new feedback_id.",
            "answered_by",
        )
    code = _take(offers, event, last, accounts, said_on, policy, context)
    if code:
        update.emit(not_applied(update, event, code), UNAPPLIED + event.feedback_id)


def _take(
    offers: OfferBuilder,
    event: ev.OfferAnswered,
    last: LastOffer | None,
    accounts: Sequence[str],
    said_on: date,
    policy: Policy,
    context: DecisionContext,
) -> Code:
    """Take an answer to an offer that was made, and return why it has no effect, empty where it has.

    last: the offer, None where it is neither the last one nor expired in this episode. accounts: those of the offer.
    """
    update, s = offers.update, offers.update.s
    if event.answer == "no_answer":
        if last is None or last.end:
            return "offer_ended"
        if last.unanswered:
            return "counted_before"
        s.offer = replace(last, unanswered=True)
        s.unanswered += 1
        return ""
    local = local_date(update, event.occurred_at, policy)
    in_time = last is not None and last.end in ("", "expired") and _in_time(last, event, local)
    if event.answer != "accepted":
        if "dispute" in event.reasons:
            disputed(s, accounts, min(said_on, local).toordinal())
        # What was not accepted and is past tightens nothing.
        answered = last if in_time and last is s.offer else None
        _record_reasons(update, event, answered, local.toordinal(), policy)
        assessment = assess(s, context.policies, update.today)
        return _apply(offers, decide_response(offers, event, answered, policy, assessment))
    if last is not None and in_time and all(a in s.cases for a in last.account_ids):
        return accept(offers, event, last, (said_on.toordinal(), local), context)
    if last is not None and last.end == "accepted":
        return "accepted_before"
    offer = s.open_offer()
    if offer is not None and offer.ends_on() < update.today:
        update.expire_offer(offer)
    return _apply(offers, decide_late_acceptance(offers, assess(s, context.policies, update.today)))


def decide_response(
    offers: OfferBuilder,
    event: ev.OfferAnswered,
    answered: LastOffer | None,
    policy: Policy,
    assessment: Assessment | None,
) -> Response:
    """Return what follows an answer that is no acceptance. It publishes and changes nothing.

    answered: the offer, None where it no longer stands. assessment: with what the answer says of the borrower, None
    where no debt may be negotiated.
    """
    s, today, reasons = offers.update.s, offers.update.today, event.reasons
    end: OfferEnd = "countered" if event.answer == "countered" else "declined"
    if (s.disputes and "dispute" in reasons) or "distress" in reasons:
        return _decide_referral(offers, [r for r in ("dispute", "distress") if r in reasons], end, policy, assessment)
    if answered is None:
        return Response("" if "income_change" in reasons else "offer_ended")
    if _is_paused(offers.update):
        return Response(end=end)
    codes = [r for r in TAKEN_UP if r in reasons]
    if event.answer == "countered" and assessment is not None:
        unlike = None if answered.choices else answered
        plan = offers.plan(assessment, OfferRequest.for_counter(codes, event.counter_amount, unlike, end))
        return Response(offer=plan) if plan is not None else Response("offer_open")
    # Explanations make another offer of the same options, once.
    explains = "distrust" in codes and not s.explained
    plan = None
    if assessment is not None:
        plan = offers.plan(assessment, OfferRequest.after_refusal(codes, None if explains else answered, end))
        if plan is None and "too_high" in codes and answered.choices:
            plan = offers.plan(assessment, OfferRequest.lowest_refused(codes, end))
    if plan is not None:
        return Response(offer=plan, explained=explains)
    return Response(end=end, not_before=max(s.not_before, today + pause_after(policy, s.unanswered)))


def _decide_referral(
    offers: OfferBuilder, codes: Sequence[str], end: OfferEnd, policy: Policy, assessment: Assessment | None
) -> Response:
    """Refer the borrower to a specialist; for distress, offer no plan for the policy's distress pause."""
    until, distress_until = offers.update.today + policy.offers.distress_pause_days, 0
    if "distress" in codes:
        until = distress_until = max(offers.update.s.paused_until, until)
    plan = None
    if assessment is not None:
        plan = offers.plan(assessment, OfferRequest.for_distress_or_dispute(codes, until - 1, end))
    return Response(offer=plan, end=end, distress_until=distress_until)


def decide_late_acceptance(offers: OfferBuilder, assessment: Assessment | None) -> Response:
    """Return what follows an acceptance of what no longer stands: the borrower wants a plan, so none has to wait."""
    if offers.update.s.open_offer() is not None:
        return Response("offer_open")
    if _is_paused(offers.update):
        return Response("no_offers_now")
    if assessment is None:
        return Response("nothing_to_offer")
    plan = offers.plan(assessment, OfferRequest.after_late_acceptance())
    return Response("offers_used_up") if plan is None else Response(offer=plan)


def _apply(offers: OfferBuilder, response: Response) -> Code:
    """Publish a response and change the borrower's state by it; return its code."""
    s = offers.update.s
    if response.distress_until:
        s.paused_until, s.pause_reason = response.distress_until, "distress"
        s.decide_on = response.distress_until
    if response.offer is not None:
        offers.publish(response.offer)
    elif response.end:
        offers.update.withdraw_offer(response.end, response.end)
    if response.not_before:
        s.not_before = s.decide_on = response.not_before
    s.explained = s.explained or response.explained
    return response.code


def local_date(update: BorrowerUpdate, moment: datetime, policy: Policy) -> date:
    """Return the date that the borrower has at an instant: in their own time zone, else in that of the place."""
    return date_in(moment, zone_for(policy.contacts, own_zone(update.s, policy, update.today)).info)


def _in_time(offer: LastOffer, event: ev.OfferAnswered, local: date) -> bool:
    """Say whether an answer was given by the end of an offer's last day in the borrower's time zone."""
    return millis(event.occurred_at) < offer.until if offer.until else local.toordinal() <= offer.expires


def _record_reasons(
    update: BorrowerUpdate, event: ev.OfferAnswered, answered: LastOffer | None, said_on: int, policy: Policy
) -> None:
    """Note what an answer says of the borrower, and of what they can accept."""
    s = update.s
    if "income_change" in event.reasons:
        s.income_changed = max(s.income_changed, said_on)
        s.decide_on = update.today
    if "distress" in event.reasons:
        s.distressed = True
    if answered is None:
        return
    _tighten(update, event, answered, policy)
    if "distrust" in event.reasons or event.rating == 1:
        record_complaint(s, answered.offer_id)


def _tighten(update: BorrowerUpdate, event: ev.OfferAnswered, last: LastOffer, policy: Policy) -> None:
    s = update.s
    if "too_high" in event.reasons and event.answer == "declined":
        s.too_high += 1
        high = next((c.instalment for c in last.choices if c.option_id == (event.option_id or last.recommended)), 0)
        if high and (s.ceiling[1] != last.currency or high < s.ceiling[0]):
            s.ceiling = (high, last.currency)
    if "too_long" in event.reasons and last.choices:
        refused = event.option_id or last.recommended
        term = next((c.term_months for c in last.choices if c.option_id == refused), last.choices[0].term_months)
        shorter = shorter_term(policy.options.terms, term)
        s.max_term = min(s.max_term, shorter) if s.max_term else shorter
    if "rate" in event.reasons:
        s.rate_matters = True


def _is_paused(update: BorrowerUpdate) -> bool:
    """Say whether nothing may be offered now: for a pause, or since a dispute is not settled."""
    return update.s.paused_until > update.today or bool(update.s.disputes)
