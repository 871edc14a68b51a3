"""Plans that a borrower's means no longer carry: they are offered others before the plans break.

A plan was affordable when it was agreed. When what is known of the means says otherwise, the account is asked for its
debt under the plan, and the planner offers what can be kept now; until that is accepted, the plan stands. Where the
means carry it again, nothing has to change.
"""

from __future__ import annotations

from datetime import date

from msgspec.structs import replace

from agents.base import derived_id
from agents.planner import SOURCE
from agents.planner.assessment import MATERIAL_BPS, affordability_of, joint_policy
from agents.planner.update import BorrowerUpdate
from schemas import events as ev
from state.borrower import Commitment
from state.policy import PolicyBook


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
