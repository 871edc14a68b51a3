"""Penalty interest and late fees, under their cap (docs/rules.md, 3 and 4)."""

from __future__ import annotations

from fractions import Fraction

from state.policy import Policy
from tests.recomputation.days import half_up
from tests.recomputation.money import INTEREST, PENALTY, PRINCIPAL, Instalment, Money


class Charges:
    """What accrued, what of it was put on the account, and all that was ever charged.

    principal: the original one. statements: what statements asked for so far. settled: whole minor units of what
    accrued that were put on, or lost under the cap.
    """

    def __init__(self, principal: int, charged: int = 0, statements: int = 0) -> None:
        self.principal = principal
        self.statements = statements
        self.charged = charged
        self.accrued = Fraction(0)
        self.settled = 0

    def accrue(self, money: Money, day: int, policy: Policy, contract_rate_bps: int) -> None:
        """Accrue a day's penalty interest."""
        rules = policy.charges
        markup = rules.penalty_markup_bps
        rate = Fraction(contract_rate_bps * (10_000 + markup), 10_000) if markup else Fraction(rules.penalty_rate_bps)
        if not rate:
            return
        for i in money.instalments:
            if i.due < day and i.plan is None:
                base = i.unpaid[PRINCIPAL] + (i.unpaid[INTEREST] if rules.penalty_on_interest else 0)
                self.accrued += min(base, i.short) * rate / 3_650_000

    def room(self, policy: Policy) -> int:
        """Return what may still be charged."""
        cap = max(self.principal, self.statements) * policy.charges.cap_bps // 10_000
        return max(0, cap - self.charged)

    def put_on(self, money: Money, day: int, policy: Policy) -> int:
        """Put on the account what accrued, if there is an instalment that can bear it; return how much."""
        bears = oldest_past_due(money, day)
        owed = half_up(self.accrued) - self.settled
        if bears is None or owed <= 0:
            return 0
        self.settled += owed
        return self._charge(bears, min(owed, self.room(policy)))

    def late_fee(self, missed: Instalment, policy: Policy) -> int:
        """Put a late fee on a missed instalment; return how much."""
        rules = policy.charges
        fee = rules.late_fee_flat + half_up(Fraction(missed.short * rules.late_fee_bps, 10_000))
        if rules.late_fee_cap:
            fee = min(fee, rules.late_fee_cap)
        return self._charge(missed, min(fee, self.room(policy)))

    def _charge(self, instalment: Instalment, amount: int) -> int:
        instalment.unpaid[PENALTY] += amount
        self.charged += amount
        return amount


def oldest_past_due(money: Money, day: int) -> Instalment | None:
    """Return the oldest instalment of no plan that is past due."""
    return next((i for i in money.instalments if i.due < day and i.plan is None), None)
