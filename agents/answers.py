"""Answers: what a borrower says to an offer, and what follows at once.

- Accepted in time: a plan is activated on every account of the offer, also where the answer comes in only
  after the offer was said to have expired. Without its recording, where the policy asks for one, an oral
  agreement does not stand: the offer is made again, led by the chosen option, for confirmation.
- Accepted too late, or after the offer was withdrawn or replaced: no plan; a fresh offer, unless one is open.
- Declined or countered: `too_high` tightens alpha (not with a counter-offer, which says what can be paid), and no
  instalment as high as the refused one is offered again while a lower one can be;
  `too_long` the term, `rate` puts the lowest total cost first, `distrust` is met once with explanations. The
  next offer follows at once if it differs from the one refused, else after the policy's pause.
- `income_change`: incomes of before no longer count, and the borrower is asked for an interview.
- `dispute` and `distress`: no plan is offered for the policy's distress pause; a person is.
- To an offer that is no longer the last, only what is said of the borrower himself counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from msgspec.structs import replace

from agents.amounts import total, whole
from agents.base import Environment, derived_id
from agents.disclosures import Terms, disclosures_of
from agents.grounds import Grounds, grounds_of
from agents.offers import FACT, SOURCE, Desk
from agents.option_words import Locale
from agents.watching import complained, ended
from schemas import events as ev
from schemas.errors import BadInput
from state.affordability import shorter_term
from state.borrower import BorrowerState, Commitment, LastOffer, OfferEnd, PauseReason
from state.policy import Policy, PolicyBook

# The reasons that a next offer takes up, in the order in which they are said.
TAKEN_UP: tuple[ev.AnswerReason, ...] = ("income_change", "too_high", "too_long", "rate", "distrust")
MOST_DOUBLINGS = 4


def pause_after(policy: Policy, unanswered: int) -> int:
    """Return the days until another offer; they double with every further offer that met silence."""
    return policy.offers.pause_days << min(max(unanswered - 1, 0), MOST_DOUBLINGS)


def check(event: ev.OfferAnswered) -> None:
    """Raise BadInput where an answer lacks what its kind needs."""
    if event.answer == "countered" and event.counter_amount is None:
        raise BadInput(
            "missing_counter_amount",
            f"Feedback {event.feedback_id} counters offer {event.offer_id} without an amount. Send it again under a "
            "new feedback_id with counter_amount, minor units a month.",
            "counter_amount",
        )


def answer(desk: Desk, event: ev.OfferAnswered, said_on: int, policy: Policy, env: Environment) -> None:
    """Take an answer that was given on a day (ordinal). Raises BadInput for an offer or option that never was."""
    check(event)
    s = desk.s
    last = s.offer
    if last is None or last.offer_id != event.offer_id:
        made = env.recorded(FACT + event.offer_id)
        if not isinstance(made, ev.OfferPublished):
            raise BadInput(
                "unknown_offer",
                f"No offer {event.offer_id} was made to borrower {event.borrower_id}. Check offer_id and borrower_id, "
                "and send the answer again under a new feedback_id.",
                "offer_id",
            )
        last = None
    if event.answer == "no_answer":
        if last is not None and not last.end and not last.unanswered:
            s.offer = replace(last, unanswered=True)
            s.unanswered += 1
        return
    in_time = last is not None and last.end in ("", "expired") and said_on <= last.expires
    if event.answer != "accepted":
        _refused(desk, event, last if in_time else None, said_on, policy, env)
    elif last is not None and in_time and all(a in s.cases for a in last.account_ids):
        _accepted(desk, event, last, said_on, env)
    elif last is None or last.end != "accepted":
        _too_late(desk, env)


def _accepted(desk: Desk, event: ev.OfferAnswered, last: LastOffer, said_on: int, env: Environment) -> None:
    if not last.choices:
        return
    option_id = event.option_id
    if option_id is None:
        raise BadInput(
            "missing_option",
            f"Feedback {event.feedback_id} accepts offer {event.offer_id} without saying which option. Send it again "
            "under a new feedback_id with option_id.",
            "option_id",
        )
    if option_id not in {c.option_id for c in last.choices}:
        raise BadInput(
            "unknown_option",
            f"Offer {event.offer_id} has no such option. Send the answer again under a new feedback_id with "
            f"one of {', '.join(c.option_id for c in last.choices)}.",
            "option_id",
        )
    offer = env.recorded(FACT + last.offer_id)
    assert isinstance(offer, ev.OfferPublished)
    if event.channel == "hotline" and not event.recording_ref and _needs_recording(desk.s, last, env):
        grounds = grounds_of(desk.s, env.policies, desk.today)
        if grounds is not None and grounds.account_ids == offer.account_ids:
            desk.confirm(offer, option_id, grounds)
        return
    _activate(desk, event, offer, option_id, max(said_on, last.published), env.policies)


def _needs_recording(s: BorrowerState, last: LastOffer, env: Environment) -> bool:
    debts = [s.cases[account].debt for account in last.account_ids]
    return any(env.policies.policy_for(d.jurisdiction, d.product).offers.oral_needs_recording for d in debts)


def _activate(
    desk: Desk, event: ev.OfferAnswered, offer: ev.OfferPublished, option_id: str, on: int, policies: PolicyBook
) -> None:
    s = desk.s
    option = next(o for o in offer.options if o.option_id == option_id)
    cases, plans = dict(s.cases), dict(s.plans)
    for share in option.shares:
        account = share.account_id
        debt = cases.pop(account).debt
        plan = _plan_of(event, offer, option_id, share, on, debt, policies)
        desk.outputs.append(plan)
        plans[account] = Commitment(
            plan.plan_id,
            offer.currency,
            max(i.amount for i in share.instalments),
            on,
            share.instalments[-1].due_on.toordinal(),
            debt.jurisdiction,
            debt.product,
        )
    if s.offer is not None:
        s.offer = replace(s.offer, end="accepted")
    ended(s, offer.offer_id, "accepted", option_id)
    s.cases, s.plans = cases, plans
    s.unanswered = 0
    s.quiet_since = max(s.quiet_since, on)
    if cases:
        s.decide_on = desk.today


def _plan_of(
    event: ev.OfferAnswered,
    offer: ev.OfferPublished,
    option_id: str,
    share: ev.Share,
    on: int,
    debt: ev.Debt,
    policies: PolicyBook,
) -> ev.PlanActivated:
    """Return the plan of one account, with all that its agreement has to state under the account's own policy."""
    account = share.account_id
    policy = policies.policy_for(debt.jurisdiction, debt.product)
    locale: Locale = "zh" if offer.locale == "zh" else "en"
    ends_after = policy.plans.broken_after_missed
    option = next(o for o in offer.options if o.option_id == option_id)
    balance = offer.balances[offer.account_ids.index(account)] if offer.balances else debt.outstanding
    terms = Terms(balance, offer.currency, share.instalments, share.annual_rate_bps, ends_after)
    return ev.PlanActivated(
        event_id=derived_id(event.event_id, "PlanActivated", account),
        occurred_at=event.occurred_at,
        source=SOURCE,
        account_id=account,
        borrower_id=offer.borrower_id,
        plan_id=derived_id(offer.offer_id, "plan", option_id, account),
        offer_id=offer.offer_id,
        option_id=option_id,
        currency=offer.currency,
        activated_on=date.fromordinal(on),
        annual_rate_bps=share.annual_rate_bps,
        waived=share.waived,
        instalments=share.instalments,
        caused_by=event.event_id,
        locale=locale,
        balance=balance,
        clauses=disclosures_of(policy.offers.disclosures, terms, locale, agreed=True),
        broken_after_missed=ends_after,
        policy=policy.version,
        distressed_obligation_bps=loss_of(offer, option),
    )


def loss_of(offer: ev.OfferPublished, option: ev.Option) -> int:
    """Return an option's loss of present value, basis points of all that was owed, rounded up.

    The limit of EBA/GL/2016/07 is passed by whatever is above it, so a hundredth of a basis point may not be lost to
    rounding. An offer of before balances were said has the option's own rounded figure.
    """
    exposure = whole(total(offer.balances))
    return -((option.npv - exposure) * 10_000 // exposure) if exposure > 0 else option.distressed_obligation_bps


def _too_late(desk: Desk, env: Environment) -> None:
    """Meet an acceptance of what no longer stands: the borrower wants a plan, so none has to be waited for."""
    s = desk.s
    offer = s.open_offer()
    if offer is not None and offer.expires < desk.today:
        desk.expire(offer)
        offer = None
    if offer is not None or s.paused_until > desk.today:
        return
    grounds = grounds_of(s, env.policies, desk.today)
    if grounds is not None:
        desk.publish(grounds, ("earlier_offer_ended",))


def _refused(
    desk: Desk, event: ev.OfferAnswered, last: LastOffer | None, said_on: int, policy: Policy, env: Environment
) -> None:
    """Take an answer that is no acceptance; `last` is the offer answered, None where it no longer stands."""
    s = desk.s
    reasons = event.reasons
    if "income_change" in reasons:
        s.income_changed = max(s.income_changed, said_on)
        s.decide_on = desk.today
    if "distress" in reasons:
        s.distressed = True
    if last is not None:
        _learn(desk, event, last, policy)
        if "distrust" in reasons or event.rating == 1:
            complained(s, last.offer_id)
    end: OfferEnd = "countered" if event.answer == "countered" else "declined"
    if "dispute" in reasons or "distress" in reasons:
        # The end of the dispute ends a pause for it, and none for distress.
        distressed = "distress" in reasons or (s.pause_reason == "distress" and s.paused_until > desk.today)
        kind: PauseReason = "distress" if distressed else "dispute"
        pause(desk, kind, [r for r in ("dispute", "distress") if r in reasons], end, policy, env)
        return
    if last is None or s.paused_until > desk.today:
        if last is not None:
            desk.withdraw(end, end)
        return
    codes = [r for r in TAKEN_UP if r in reasons]
    grounds = grounds_of(s, env.policies, desk.today)
    if event.answer == "countered" and grounds is not None:
        unlike = None if last.choices else last
        desk.publish(grounds, codes, counter=event.counter_amount, unlike=unlike, instead=end, end=end)
        return
    desk.withdraw(end, end)
    if not (grounds is not None and _again(desk, grounds, codes, last)):
        s.not_before = max(s.not_before, desk.today + pause_after(policy, s.unanswered))
        s.decide_on = s.not_before


def _again(desk: Desk, grounds: Grounds, codes: Sequence[str], refused: LastOffer) -> bool:
    """Make the next offer at once, where it is another one; explanations make one of the same options, once.

    Whoever refuses the lowest instalment that may be granted as too high is referred to a person.
    """
    explains = "distrust" in codes and not desk.s.explained
    published = desk.publish(grounds, codes, unlike=None if explains else refused)
    if not published and "too_high" in codes and refused.choices:
        published = desk.publish(grounds, [*codes, "lowest_possible"], person=True)
    desk.s.explained = desk.s.explained or (explains and published)
    return published


def _learn(desk: Desk, event: ev.OfferAnswered, last: LastOffer, policy: Policy) -> None:
    s = desk.s
    if "too_high" in event.reasons and event.answer == "declined":
        s.too_high += 1
        high = next((c.instalment for c in last.choices if c.option_id == (event.option_id or last.lead)), 0)
        if high and (s.ceiling[1] != last.currency or high < s.ceiling[0]):
            s.ceiling = (high, last.currency)
    if "too_long" in event.reasons and last.choices:
        refused = event.option_id or last.lead
        term = next((c.term_months for c in last.choices if c.option_id == refused), last.choices[0].term_months)
        shorter = shorter_term(policy.options.terms, term)
        s.max_term = min(s.max_term, shorter) if s.max_term else shorter
    if "rate" in event.reasons:
        s.rate_matters = True


def pause(desk: Desk, kind: PauseReason, codes: Sequence[str], end: OfferEnd, policy: Policy, env: Environment) -> None:
    """Offer no plan for the policy's distress pause; refer the borrower to a person instead."""
    s = desk.s
    s.paused_until = max(s.paused_until, desk.today + policy.offers.distress_pause_days)
    s.pause_reason = kind
    grounds = grounds_of(s, env.policies, desk.today)
    published = grounds is not None and desk.publish(
        grounds, codes, person=True, until=s.paused_until - 1, instead=end, end=end
    )
    if not published:
        desk.withdraw(end, end)
    s.decide_on = s.paused_until
