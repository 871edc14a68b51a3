"""The end of an account, and its return (docs/rules.md, 11)."""

from __future__ import annotations

from datetime import date

from schemas import events as ev
from tests.recomputation.account import Account
from tests.recomputation.money import COMPONENTS, INTEREST, Money, nothing


def end(a: Account, fact: ev.AccountClosed) -> bool:
    """Close the account, unless it is said to be repaid and something is open; say whether it is closed."""
    owed = a.owed()
    if fact.reason == "repaid":
        in_advance = sum(i.allocated[INTEREST] for i in a.money.instalments if i.due > a.today and not i.billed)
        if sum(owed.values()) - in_advance > a.policy.delinquency.tolerance_absolute:
            a.not_applied(fact, date.fromordinal(a.today).isoformat(), "closed_with_balance")
            return False
        owed = nothing()
    a.ended = fact.reason
    a.before_the_end = {
        "outstanding": owed,
        "money": a.money,
        "plan": a.plan,
        "bad_debt": a.bad_debt,
        "allowance": a.allowance,
    }
    a.plan = None
    kept = a.money
    a.money = Money()
    a.money.ever = kept.ever
    a.promises = {}
    return True


def restore(a: Account, reason: str) -> None:
    """Bring the account back with all that was owed before."""
    before = a.before_the_end
    came = a.money.credit
    a.money, a.plan = before["money"], before["plan"]
    a.ended, a.before_the_end, a.restored = "", {}, True
    a.money.credit += came
    a.run, a.counter_days = False, 0
    owed = a.owed()
    a.say("AccountRestored", reason=reason, outstanding=tuple((c, owed[c]) for c in COMPONENTS), currency=a.currency)
    if a.bad_debt != before["bad_debt"]:
        a.back_to = before["bad_debt"]
    a.spend_credit()
