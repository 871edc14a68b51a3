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
- `dispute`: nothing is offered until the dispute is settled (`agents.planner.workout_cases`); a person is, until then.
- From a joint borrower: as from the borrower, and the policy decides whether an acceptance needs all of them. What they
  report of themselves is left out: it belongs under their own id.
- To an offer that is no longer the last, only what the answer reports of the borrower counts.
- An answer without effect is reported with the reason and what can be done (`not_applied`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from agents.amounts import total, whole
from agents.base import DecisionContext, derived_id
from agents.planner import SOURCE
from agents.planner.assessment import Assessment, assess
from agents.planner.contacts import own_zone
from agents.planner.offer_outcomes import record_complaint, record_end
from agents.planner.offer_texts import DisclosedTerms, Locale, disclosures_of
from agents.planner.offers import OfferBuilder, OfferPlan, OfferRequest
from agents.planner.update import OFFER_FACT, BorrowerUpdate
from agents.planner.workout_cases import drop_disputes, record_dispute
from schemas import events as ev
from schemas.errors import InvalidEventError
from state.affordability import shorter_term
from state.borrower import BorrowerState, Commitment, LastOffer, OfferEnd
from state.calendars import date_in
from state.contact_rules import zone_for
from state.policy import Policy, PolicyBook
from state.profile import millis

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
            record_dispute(s, accounts, min(said_on, local).toordinal())
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
    return date_in(moment, zone_for(policy.contacts, own_zone(update.s, policy, update.today)))


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


AGREED = "agreed:"


def accept(
    offers: OfferBuilder, event: ev.OfferAnswered, last: LastOffer, agreed: tuple[int, date], context: DecisionContext
) -> Code:
    """Take an acceptance in time, and return why it has no effect, empty where it has.

    agreed: the business date (ordinal) and the borrower's date on which it was given. Raises InvalidEventError without
    an option of the offer.
    """
    update = offers.update
    if not last.choices:
        return "nothing_to_accept"
    option_id = event.option_id
    if option_id is None:
        raise InvalidEventError(
            "missing_option",
            f"Feedback {event.feedback_id} accepts offer {event.offer_id} without saying which option. Send it again "
            "under a new feedback_id with option_id.",
            "option_id",
        )
    if option_id not in {c.option_id for c in last.choices}:
        raise InvalidEventError(
            "unknown_option",
            f"Offer {event.offer_id} has no such option. Send the answer again under a new feedback_id with "
            f"one of {', '.join(c.option_id for c in last.choices)}.",
            "option_id",
        )
    offer = context.get_fact(OFFER_FACT + last.offer_id)
    assert isinstance(offer, ev.OfferPublished)
    if event.channel == "hotline" and not event.recording_ref and _needs_recording(update.s, last, context):
        assessment = assess(update.s, context.policies, update.today)
        if assessment is not None and assessment.account_ids == offer.account_ids:
            plan = offers.plan_confirmation(offer, option_id, assessment, last.principal)
            if plan is not None:
                offers.publish(plan)
                return ""
        return "not_recorded"
    if code := _others(update, event, last, offer, option_id):
        return code
    # A business date may already be one behind the last day of the offer where the borrower still has that day.
    on = max(min(agreed[0], last.expires), last.published)
    _activate(update, event, offer, option_id, (on, agreed[1]), context.policies)
    return ""


def _others(
    update: BorrowerUpdate, event: ev.OfferAnswered, last: LastOffer, offer: ev.OfferPublished, option_id: str
) -> Code:
    """Note who accepts, and say whether others of those who owe the debt have to accept first."""
    if not last.joint or offer.acceptance != "all":
        return ""
    s, who = update.s, event.answered_by or event.borrower_id
    accepted = {**dict(last.accepted), who: option_id}
    if accepted.keys() >= {event.borrower_id, *last.joint} and set(accepted.values()) == {option_id}:
        return ""
    noted = replace(last, accepted=tuple(sorted(accepted.items())))
    if s.offer is not None and s.offer.offer_id == last.offer_id:
        s.offer = noted
    s.lapsed = tuple(noted if o.offer_id == last.offer_id else o for o in s.lapsed)
    return "others_to_accept"


def _needs_recording(s: BorrowerState, last: LastOffer, context: DecisionContext) -> bool:
    debts = [s.cases[account].debt for account in last.account_ids]
    return any(
        context.policies.policy_for(d.jurisdiction, d.product, d.currency).offers.oral_needs_recording for d in debts
    )


def _activate(
    update: BorrowerUpdate,
    event: ev.OfferAnswered,
    offer: ev.OfferPublished,
    option_id: str,
    agreed: tuple[int, date],
    policies: PolicyBook,
) -> None:
    s, on = update.s, agreed[0]
    if s.offer is not None and s.offer.offer_id != offer.offer_id:
        update.withdraw_offer("earlier_offer_accepted")
    option = next(o for o in offer.options if o.option_id == option_id)
    cases, plans = dict(s.cases), dict(s.plans)
    for share in option.shares:
        account = share.account_id
        debt = cases.pop(account).debt
        plan = _plan_of(event, offer, option_id, share, agreed, debt, policies)
        update.emit(plan, AGREED + plan.plan_id)
        plans[account] = Commitment(
            plan.plan_id,
            offer.currency,
            max((i.amount for i in share.instalments), default=0),
            on,
            (option.ends_on or share.instalments[-1].due_on).toordinal(),
            debt.jurisdiction,
            debt.product,
        )
    if s.offer is not None and s.offer.offer_id == offer.offer_id:
        s.offer = replace(s.offer, end="accepted", affordability_limit=0)
    s.lapsed = tuple(o for o in s.lapsed if o.offer_id != offer.offer_id)
    record_end(s, offer.offer_id, "accepted", option_id)
    s.cases, s.plans = cases, plans
    drop_disputes(s, offer.account_ids, on)
    s.unanswered = 0
    s.last_case_closed_on = max(s.last_case_closed_on, on)
    if cases:
        s.decide_on = update.today


def _plan_of(
    event: ev.OfferAnswered,
    offer: ev.OfferPublished,
    option_id: str,
    share: ev.Share,
    agreed: tuple[int, date],
    debt: ev.Debt,
    policies: PolicyBook,
) -> ev.PlanActivated:
    """Return the plan of one account, with all that its agreement has to state under the account's own policy."""
    account = share.account_id
    plan_id = plan_id_of(offer.offer_id, option_id, account)
    policy = policies.policy_for(debt.jurisdiction, debt.product, debt.currency)
    locale: Locale = "zh" if offer.locale == "zh" else "en"
    ends_after = policy.plans.broken_after_missed
    option = next(o for o in offer.options if o.option_id == option_id)
    balance = offer.balances[offer.account_ids.index(account)] if offer.balances else debt.outstanding
    begins = date.fromordinal(agreed[0])
    terms = DisclosedTerms(
        balance,
        offer.currency,
        share.instalments,
        share.annual_rate_bps,
        ends_after,
        1,
        begins,
        policy.charges,
        option.review_on,
        option.ends_on,
    )
    return ev.PlanActivated(
        event_id=derived_id(plan_id, "PlanActivated"),
        occurred_at=event.occurred_at,
        source=SOURCE,
        account_id=account,
        borrower_id=offer.borrower_id,
        plan_id=plan_id,
        offer_id=offer.offer_id,
        option_id=option_id,
        currency=offer.currency,
        activated_on=date.fromordinal(agreed[0]),
        annual_rate_bps=share.annual_rate_bps,
        waived=share.waived,
        instalments=share.instalments,
        caused_by=event.event_id,
        locale=locale,
        balance=balance,
        clauses=disclosures_of(policy.offers.stated, terms, policy.messages(locale, debt.jurisdiction), agreed=True),
        broken_after_missed=ends_after,
        policy=policy.version,
        distressed_obligation_bps=loss_of(offer, option),
        agreed_on=agreed[1],
        agreed_by=_agreed_by(event, offer),
        arrangement=option.arrangement,
        review_on=option.review_on,
        ends_on=option.ends_on,
    )


def plan_id_of(offer_id: str, option_id: str, account: str) -> str:
    """Return the id of the plan that an acceptance of an option makes on an account."""
    return derived_id(offer_id, "plan", option_id, account)


def _agreed_by(event: ev.OfferAnswered, offer: ev.OfferPublished) -> tuple[str, ...]:
    if offer.joint_borrower_ids and offer.acceptance == "all":
        return tuple(sorted({event.borrower_id, *offer.joint_borrower_ids}))
    return (event.answered_by or event.borrower_id,) if offer.joint_borrower_ids else ()


def loss_of(offer: ev.OfferPublished, option: ev.Option) -> int:
    """Return an option's loss of present value, basis points of all that was owed, rounded up.

    The limit of EBA/GL/2016/07 is passed by whatever is above it, so a hundredth of a basis point may not be lost to
    rounding. An offer of before balances were said has the option's own rounded figure.
    """
    exposure = whole(total(offer.balances))
    return -((option.npv - exposure) * 10_000 // exposure) if exposure > 0 else option.distressed_obligation_bps


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
