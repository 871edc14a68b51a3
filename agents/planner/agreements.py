"""Agreements: what an acceptance in time makes of an offer, a plan on each of its accounts."""

from __future__ import annotations

from datetime import date

from msgspec.structs import replace

from agents.amounts import total, whole
from agents.base import DecisionContext, derived_id
from agents.planner import SOURCE
from agents.planner.assessment import assess
from agents.planner.disclosures import DisclosedTerms, disclosures_of
from agents.planner.disputes import drop
from agents.planner.offer_outcomes import record_end
from agents.planner.offer_texts import Locale
from agents.planner.offers import OfferBuilder
from agents.planner.unapplied_answers import Code
from agents.planner.update import OFFER_FACT, BorrowerUpdate
from schemas import events as ev
from schemas.errors import InvalidEventError
from state.borrower import BorrowerState, Commitment, LastOffer
from state.policy import PolicyBook

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
            max(i.amount for i in share.instalments),
            on,
            share.instalments[-1].due_on.toordinal(),
            debt.jurisdiction,
            debt.product,
        )
    if s.offer is not None and s.offer.offer_id == offer.offer_id:
        s.offer = replace(s.offer, end="accepted", affordability_limit=0)
    s.lapsed = tuple(o for o in s.lapsed if o.offer_id != offer.offer_id)
    record_end(s, offer.offer_id, "accepted", option_id)
    s.cases, s.plans = cases, plans
    drop(s, offer.account_ids, on)
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
        balance, offer.currency, share.instalments, share.annual_rate_bps, ends_after, 1, begins, policy.charges
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
