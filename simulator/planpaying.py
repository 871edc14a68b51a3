"""How borrowers pay the instalments of the plans that they accepted, by the truth of `simulator.truth`."""

from __future__ import annotations

from collections.abc import Iterable

from simulator.chance import text_key, unit
from simulator.memory import ActivePlan
from simulator.population import Account, Borrower
from simulator.truth import Deal, keeping, situation_of

KEEP, SLIP = 160, 161
# Of the instalments that are not paid in time, how many come three days late.
SLIPS = 0.3


def deal_of(plan: ActivePlan, account: Account, all_plans: Iterable[ActivePlan]) -> Deal:
    """Return a plan as a deal; what weighs on the borrower are the largest instalments of all his plans."""
    terms = plan.terms
    waived = terms.waived.principal + terms.waived.interest + terms.waived.fees + terms.waived.penalty
    financed = sum(i.principal for i in terms.instalments)
    contract = account.annual_rate_bps
    return Deal(
        instalment=sum(max(i.amount for i in p.terms.instalments) for p in all_plans),
        term_months=len(terms.instalments),
        rate_cut=max(0.0, (contract - terms.annual_rate_bps) / contract) if contract else 0.0,
        waived=waived / (waived + financed) if waived else 0.0,
    )


def pays(borrower: Borrower, plan: ActivePlan, deal: Deal, number: int, month: int) -> int | None:
    """Return how many days after its due date a plan's instalment is paid: 0, 3, or None for not at all.

    month: of the borrower's instalments, from 1; the surplus of that month decides.
    """
    key = text_key(borrower.key, plan.terms.plan_id)
    if unit(key, KEEP, number) < keeping(deal, situation_of(borrower, month)):
        return 0
    return 3 if unit(key, SLIP, number) < SLIPS else None
