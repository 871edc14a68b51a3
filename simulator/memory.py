"""What the simulated world remembers of accounts in trouble: only what it was told in the outputs of the engine.

An account of which nothing was said is not in here, so memory follows the troubled, not the population.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas import events as ev
from simulator.population import index_of


@dataclass(slots=True)
class ActivePlan:
    """A plan under way: what was agreed, the schedule that counts, and how much of it the borrower has left unpaid."""

    terms: ev.PlanActivated
    schedule: tuple[ev.PlanInstalment, ...]
    behind: int = 0


@dataclass(slots=True)
class Trouble:
    """An account in trouble. arrears: what its collectors say is overdue, minor units."""

    arrears: int = 0
    since: int = 0
    stopped: bool = False
    plan: ActivePlan | None = None
    settled: bool = False
    bad_debt: ev.BadDebtStatus = "none"


@dataclass(slots=True)
class OpenOffer:
    """An offer that waits for an answer, and what was owed when it was made."""

    offer: ev.OfferPublished
    owed: int = 0


@dataclass(slots=True)
class Memory:
    """Troubled accounts by account id, open offers by borrower id, what accounts owe by account id.

    indices: the borrowers who have a troubled account.
    """

    troubles: dict[str, Trouble] = field(default_factory=dict)
    offers: dict[str, OpenOffer] = field(default_factory=dict)
    debts: dict[str, ev.Debt] = field(default_factory=dict)
    indices: set[int] = field(default_factory=set)

    def of(self, account_id: str) -> Trouble:
        """Return what is remembered of an account, noting it where it is new."""
        trouble = self.troubles.get(account_id)
        if trouble is None:
            trouble = self.troubles[account_id] = Trouble()
            self.indices.add(index_of(account_id))
        return trouble

    def take(self, outputs: Iterable[ev.Event]) -> list[ev.Event]:
        """Note what was said; return what a borrower or a department will act on."""
        acted: list[ev.Event] = []
        for said in outputs:
            match said:
                case ev.InstalmentMissed():
                    trouble = self.of(said.account_id)
                    trouble.arrears += said.overdue_amount
                    trouble.since = trouble.since or said.business_date.toordinal()
                case ev.ChargeAccrued():
                    self.of(said.account_id).arrears += said.amount
                case ev.DelinquencyChanged():
                    trouble = self.of(said.account_id)
                    trouble.arrears = said.overdue_amount
                    if said.to == "current":
                        trouble.since = 0
                case ev.CollectionStopped():
                    self.of(said.account_id).stopped = True
                case ev.CollectionResumed():
                    self.of(said.account_id).stopped = False
                case ev.BadDebtChanged():
                    self.of(said.account_id).bad_debt = said.to
                    acted.append(said)
                case ev.PlanActivated():
                    trouble = self.of(said.account_id)
                    trouble.plan = ActivePlan(said, said.instalments)
                    if said.arrangement == "repayment":
                        trouble.arrears = trouble.since = 0
                    acted.append(said)
                case ev.PlanScheduleAdjusted():
                    plan = self.of(said.account_id).plan
                    if plan is not None and plan.terms.plan_id == said.plan_id:
                        plan.schedule = said.instalments
                        acted.append(said)
                case ev.PlanBroken() | ev.PlanEnded():
                    self.of(said.account_id).plan = None
                case ev.PlanInstalmentMissed():
                    plan = self.of(said.account_id).plan
                    if plan is not None:
                        plan.behind += said.unpaid
                        acted.append(said)
                case ev.PlanCompleted():
                    trouble = self.of(said.account_id)
                    trouble.plan, trouble.settled = None, True
                    acted.append(said)
                case ev.AccountEnded():
                    ended = self.troubles.get(said.account_id)
                    if ended is not None:
                        ended.plan, ended.arrears, ended.since = None, 0, 0
                case ev.WorkoutRequested():
                    self.debts[said.account_id] = said.debt
                case ev.WorkoutEnded():
                    self.debts.pop(said.account_id, None)
                case ev.OfferPublished():
                    owed = sum(_owed(self.debts[a]) for a in said.account_ids if a in self.debts)
                    self.offers[said.borrower_id] = OpenOffer(said, owed)
                    acted.append(said)
                case ev.OfferWithdrawn() | ev.OfferExpired():
                    held = self.offers.get(said.borrower_id)
                    if held is not None and held.offer.offer_id == said.offer_id:
                        del self.offers[said.borrower_id]
        return acted

    def forget_calm(self) -> None:
        """Drop accounts of which nothing is left to remember."""
        calm = Trouble()
        for account_id in [name for name, trouble in self.troubles.items() if trouble == calm]:
            del self.troubles[account_id]
        self.indices = {index_of(account_id) for account_id in self.troubles}


def _owed(debt: ev.Debt) -> int:
    o = debt.outstanding
    return o.principal + o.interest + o.fees + o.penalty
