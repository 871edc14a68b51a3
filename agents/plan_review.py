"""Plans that a borrower's means no longer carry: he is offered others before they break.

A plan was affordable when it was agreed. When what is known of the means says otherwise, the account is asked for its
debt under the plan, and the planner offers what can be kept now; until that is accepted, the plan stands. Where the
means carry it again, nothing has to change.
"""

from __future__ import annotations

from datetime import date

from msgspec.structs import replace

from agents.base import derived_id
from agents.grounds import MATERIAL_BPS, joint_policy, means_of
from agents.offers import SOURCE, Desk
from schemas import events as ev
from state.borrower import Commitment
from state.policy import PolicyBook


def review_plans(desk: Desk, policies: PolicyBook) -> None:
    """Ask for the debts of plans that take a tenth more than may be asked for, or let them be where they do not."""
    s = desk.s
    running = {a: p for a, p in s.plans.items() if p.runs(desk.today)}
    for currency in sorted({p.currency for p in running.values()}):
        plans = {a: p for a, p in running.items() if p.currency == currency}
        policy = joint_policy([policies.policy_for(p.jurisdiction, p.product) for _, p in sorted(plans.items())])
        _, capacity = means_of(s, policy.affordability, desk.today, currency, plans)
        if not capacity.known:
            continue
        if sum(p.instalment for p in plans.values()) * 10_000 <= capacity.limit * (10_000 + MATERIAL_BPS):
            _carried(desk, plans)
        else:
            _ask(desk, plans, capacity.limit)


def _carried(desk: Desk, plans: dict[str, Commitment]) -> None:
    s = desk.s
    reviewed = {a for a in plans if a in s.cases and s.cases[a].review}
    s.plans = {a: replace(p, strained=-1) if a in plans else p for a, p in s.plans.items()}
    if not reviewed:
        return
    s.cases = {a: c for a, c in s.cases.items() if a not in reviewed}
    offer = s.open_offer()
    if offer is not None and reviewed & set(offer.account_ids):
        desk.withdraw("means_recovered")


def _ask(desk: Desk, plans: dict[str, Commitment], limit: int) -> None:
    s = desk.s
    for account, plan in sorted(plans.items()):
        asked_already = plan.strained >= 0 and limit * 10_000 >= plan.strained * (10_000 - MATERIAL_BPS)
        if account in s.cases or asked_already:
            continue
        s.plans = {**s.plans, account: replace(plan, strained=limit)}
        desk.outputs.append(
            ev.PlanReviewRequested(
                event_id=derived_id(desk.cause.event_id, "PlanReviewRequested", account),
                occurred_at=desk.cause.occurred_at,
                source=SOURCE,
                account_id=account,
                borrower_id=s.borrower_id,
                plan_id=plan.plan_id,
                requested_on=date.fromordinal(desk.today + 1),
                caused_by=desk.cause.event_id,
            )
        )
