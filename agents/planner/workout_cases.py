"""What accounts say of their debts and plans, taken down for a borrower: cases, disputes, and plans to review.

A borrower disputes a debt in an answer to an offer (OfferAnswered, reason dispute) or in a contact (ContactAttempted,
outcome disputed). From then on the planner offers nothing to them. A hold of kind dispute (HoldPlaced, HoldReleased) on
one of the accounts that the dispute is about settles it: one that is in force on the day of the dispute or later, and
ends. The lender's complaints desk places it when it takes the dispute up, and releases it when that is decided; a hold
of one day will do. Accepting an offer of these accounts takes the dispute back, and nothing is left to dispute of an
account that is closed or terminated.

An arrangement for a time is reviewed on its day: the account asks for what comes next, and it stands meanwhile.

A plan was affordable when it was agreed. When what is known of the means says otherwise, the account is asked for its
debt under the plan, and the planner offers what can be kept now; until that is accepted, the plan stands. Where the
means carry it again, nothing has to change.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from msgspec.structs import replace

from agents import input_limits
from agents.account.signals import MEANS_CHANGED, NO_PARTY, REVIEW_DUE
from agents.amounts import owed
from agents.base import derived_id
from agents.planner import SOURCE
from agents.planner.assessment import MATERIAL_BPS, affordability_of, joint_policy
from agents.planner.update import BorrowerUpdate
from schemas import events as ev
from state.borrower import BorrowerState, Case, Commitment, Dispute
from state.calendars import add_months
from state.policy import PolicyBook


def open_case(s: BorrowerState, event: ev.WorkoutRequested) -> None:
    """Note the debt of an account that wants a plan. Raises InvalidEventError where it is out of all proportion."""
    day, account = event.business_date.toordinal(), event.account_id
    plan, before = s.plans.get(account), s.cases.get(account)
    # The account may have asked before it knew of the plan that was made for it.
    if (plan is not None and day <= plan.activated) or (before is not None and day < before.day):
        return
    due = event.trigger == REVIEW_DUE
    calm = not s.cases and day > s.last_case_closed_on and not any(p.runs(day) for p in s.plans.values())
    if calm or (due and before is None):
        _begin_episode(s)
    review = event.trigger == MEANS_CHANGED
    if review and plan is not None and plan.reviewed_at_limit < 0:
        # The account tells its debt under a plan whose review is over: the means carry it again.
        return
    if not review and not due:
        s.plans = _ended(s, account)
    others = (owed(case.debt) for name, case in s.cases.items() if name != account)
    input_limits.check_entries(event, len(s.cases.keys() - {account}), input_limits.MAX_CASES)
    input_limits.check_total(event, (owed(event.debt), *others), "debt.outstanding", input_limits.MAX_OWED)
    s.cases = {**s.cases, account: Case(day, event.debt, review)}
    known = (day, account, event.debt.currency)
    s.base_currency = min(s.base_currency, known) if s.base_currency[0] else known
    settle_disputes(s, account, ended_by(event.debt, before))
    disputed = before is not None and "dispute" in before.debt.holds
    if s.pause_reason == "dispute" and disputed and "dispute" not in event.debt.holds:
        s.paused_until, s.pause_reason = 0, ""
    schedule_decision(s, day)


def _ended(s: BorrowerState, account: str, day: int | None = None) -> dict[str, Commitment]:
    """Return the plans with that of an account ended, unless it began behind a day.

    It is kept: where a payment is heard of late, the plan was never broken, and asks for its instalments again.
    """
    plan = s.plans.get(account)
    if plan is None or (day is not None and day < plan.activated):
        return s.plans
    return {**s.plans, account: replace(plan, ended=True)}


def _begin_episode(s: BorrowerState) -> None:
    """Forget what belongs to an earlier spell of trouble; means, consents and a pause go on."""
    s.sequence = s.plans_offered = s.referrals = s.unanswered = 0
    s.too_high = s.max_term = s.not_before = 0
    s.ceiling, s.lapsed = (0, ""), ()
    s.rate_matters = s.explained = s.distressed = False


def close_case(update: BorrowerUpdate, event: ev.WorkoutEnded) -> None:
    """Note that an account wants no plan any more, and take an offer back that was over it."""
    s = update.s
    day, account = event.business_date.toordinal(), event.account_id
    if event.reason != "plan_active":
        s.plans = _ended(s, account, day)
    before = s.cases.get(account)
    if event.reason in ("closed", "terminated", NO_PARTY):
        drop_disputes(s, (account,), day)
    if settle_disputes(s, account, event.dispute_ended_on):
        schedule_decision(s, day)
    if before is None or day < before.day:
        return
    s.cases = {a: c for a, c in s.cases.items() if a != account}
    s.last_case_closed_on = max(s.last_case_closed_on, day)
    offer = s.open_offer()
    if offer is not None and account in offer.account_ids:
        # Of two accounts that end at one close either may be heard of first, and each for a reason of its own.
        update.caused_by = event.caused_by
        update.withdraw_offer(event.reason if len(offer.account_ids) == 1 else "debts_changed")
    schedule_decision(s, day)


def track_plan(s: BorrowerState, event: ev.PlanProgressed) -> None:
    """Note how long a plan goes on asking for money."""
    plan = s.plans.get(event.account_id)
    if event.outcome == "taken_over" and event.until is not None:
        activated, until = event.business_date.toordinal(), event.until.toordinal()
        plan = Commitment(
            event.plan_id,
            event.currency,
            event.instalment,
            activated,
            until,
            event.jurisdiction,
            event.product,
        )
    if plan is None or plan.plan_id != event.plan_id:
        return
    if event.outcome in ("completed", "broken", "ended"):
        plan = replace(plan, ended=not event.taken_back)
    elif event.outcome in ("postponed", "adjusted"):
        months = -event.number if event.taken_back else event.number
        plan = replace(plan, until=add_months(date.fromordinal(plan.until), months).toordinal())
    s.plans = {**s.plans, event.account_id: plan}


def schedule_decision(s: BorrowerState, day: int) -> None:
    """See to a decision at the close of a day, or sooner where one is due sooner."""
    if s.cases or s.plans:
        s.decide_on = min(s.decide_on, day) if s.decide_on else day


def record_dispute(s: BorrowerState, accounts: Iterable[str], since: int) -> None:
    """Note that accounts were disputed on a day (ordinal), unless that was settled before it was heard of."""
    about = tuple(sorted(set(accounts)))
    if any(s.disputes_ended.get(a, 0) > since for a in about):
        return
    since = max([since, *(d.since for d in s.disputes if d.accounts == about)])
    s.disputes = tuple(sorted({*(d for d in s.disputes if d.accounts != about), Dispute(since, about)}, key=_order))


def settle_disputes(s: BorrowerState, account: str, ended_on: date | None) -> bool:
    """End the disputes that a hold on an account has settled, and say whether there were any.

    ended_on: the first day without the last dispute hold on it, None where there was none or one is in force.
    """
    if ended_on is None:
        return False
    day = ended_on.toordinal()
    # A dispute may be heard of after it was settled.
    s.disputes_ended = {**s.disputes_ended, account: max(day, s.disputes_ended.get(account, 0))}
    left = tuple(d for d in s.disputes if account not in d.accounts or d.since >= day)
    settled, s.disputes = left != s.disputes, left
    return settled


def ended_by(debt: ev.Debt, before: Case | None) -> date | None:
    """Return the first day without the last dispute hold on a debt. before: what was known of the account until then.

    An account of an earlier release does not report it; its hold is seen to be gone.
    """
    if before is not None and "dispute" in before.debt.holds and "dispute" not in debt.holds:
        return debt.dispute_ended_on or date.fromordinal(before.day + 1)
    return debt.dispute_ended_on


def drop_disputes(s: BorrowerState, accounts: Iterable[str], until: int) -> None:
    """End what was disputed of accounts until a day (ordinal): it was agreed, or there is no such debt any more."""
    gone = set(accounts)
    left = (
        d if d.since > until else replace(d, accounts=tuple(a for a in d.accounts if a not in gone)) for d in s.disputes
    )
    s.disputes = tuple(d for d in left if d.accounts)


def _order(d: Dispute) -> tuple[int, tuple[str, ...]]:
    return (d.since, d.accounts)


def review_plans(update: BorrowerUpdate, policies: PolicyBook) -> None:
    """Ask for the debts of plans that take a tenth more than may be asked for, or let them be where they do not."""
    s = update.s
    running = {a: p for a, p in s.plans.items() if p.runs(update.today)}
    for currency in sorted({p.currency for p in running.values()}):
        plans = {a: p for a, p in running.items() if p.currency == currency}
        policy = joint_policy(
            [policies.policy_for(p.jurisdiction, p.product, p.currency) for _, p in sorted(plans.items())]
        )
        _, capacity = affordability_of(s, policy.affordability, update.today, currency, plans)
        if not capacity.known:
            continue
        if sum(p.instalment for p in plans.values()) * 10_000 <= capacity.max_instalment * (10_000 + MATERIAL_BPS):
            _carried(update, plans)
        else:
            _ask(update, plans, capacity.max_instalment)


def _carried(update: BorrowerUpdate, plans: dict[str, Commitment]) -> None:
    s = update.s
    reviewed = {a for a in plans if a in s.cases and s.cases[a].review}
    s.plans = {a: replace(p, reviewed_at_limit=-1) if a in plans else p for a, p in s.plans.items()}
    if not reviewed:
        return
    s.cases = {a: c for a, c in s.cases.items() if a not in reviewed}
    offer = s.open_offer()
    if offer is not None and reviewed & set(offer.account_ids):
        update.withdraw_offer("means_recovered")


def _ask(update: BorrowerUpdate, plans: dict[str, Commitment], limit: int) -> None:
    s = update.s
    for account, plan in sorted(plans.items()):
        asked_already = plan.reviewed_at_limit >= 0 and limit * 10_000 >= plan.reviewed_at_limit * (
            10_000 - MATERIAL_BPS
        )
        if account in s.cases or asked_already:
            continue
        s.plans = {**s.plans, account: replace(plan, reviewed_at_limit=limit)}
        update.emit(
            ev.PlanReviewRequested(
                event_id=derived_id(update.identity, "PlanReviewRequested", account),
                occurred_at=update.cause.occurred_at,
                source=SOURCE,
                account_id=account,
                borrower_id=s.borrower_id,
                plan_id=plan.plan_id,
                requested_on=date.fromordinal(update.today + 1),
                caused_by=update.caused_by,
            )
        )
