"""The end of an account, and its return: closed as repaid, settled, sold or in error; reopened."""

from __future__ import annotations

from datetime import date

from agents.account.bad_debt import change_bad_debt
from agents.account.classification import carry_over_classes
from agents.account.day import DayFold, event_amounts, outstanding_on
from schemas import events as ev
from state.account import AccountState, Paid

ERROR = "opened_in_error"
# Reasons with which nothing is owed to anybody any more.
PAID = ("repaid", "settled")


def close_account(d: DayFold, fact: ev.AccountClosed) -> None:
    """Let the account end with this day, after all else of it, unless it is reopened on the day itself."""
    if d.s.closed_on:
        d.not_applied(fact, _iso(d), "already_closed", f"The account is closed already: {d.s.closed_reason}.")
    elif d.reopening is not None:
        d.reopening = None
    else:
        d.closing = fact


def reopen_account(d: DayFold, fact: ev.AccountReopened) -> None:
    """Keep a closed account again, with what was owed before."""
    s = d.s
    if not s.closed_on:
        d.reopening = fact
        return
    s.classes, d.renamed = carry_over_classes(s.classes, d.history.in_force_on(s.closed_on).policy, d.policy)
    s.closed_on, s.closed_reason, d.restored = 0, "", True
    if s.debt_at_end != "none":
        # It is emitted after the measures of the day.
        s.bad_debt, s.debt_at_end, d.revived = s.debt_at_end, "none", True
    owed = outstanding_on(s, d.day)
    d.emit(ev.AccountRestored(**d.header, reason=fact.reason, outstanding=event_amounts(owed), currency=s.currency))
    d.allocate_credit()


def report_reopening(d: DayFold) -> None:
    """Answer a reopening of an account that is open, and was not closed on the day."""
    if d.reopening is not None:
        d.not_applied(d.reopening, str(d.reopening.reopened_on), "not_closed", "The account is open.")


def end_account(d: DayFold) -> None:
    """End the account at the close of its last day, where nothing stands against it."""
    s, fact = d.s, d.closing
    if fact is None:
        return
    owed = outstanding_on(s, d.day)
    if fact.reason == "repaid":
        left = max(0, owed.total() - _prepaid_interest(s, d.day))
        if left > d.policy.delinquency.tolerance_absolute:
            reason = (
                f"{left} minor units are open. Send the payment that counts from this day or before, close the account "
                "again from the day of a later one, or close it as settled."
            )
            d.not_applied(fact, _iso(d), "closed_with_balance", reason)
            return
        owed = Paid()
    if s.bad_debt in ("charged_off", "recovering") and fact.reason in PAID:
        s.debt_at_end = s.bad_debt
        change_bad_debt(d, "terminated", (fact.reason,), owed=owed)
    if s.allowance:
        d.emit(
            ev.ImpairmentChanged(
                **d.header,
                from_stage=s.ifrs9_stage,
                stage=s.ifrs9_stage,
                allowance=0,
                exposure=0,
                currency=s.currency,
            )
        )
        s.allowance = 0
    if not s.collection_stopped:
        s.collection_stopped = True
        d.emit(ev.CollectionStopped(**d.header, reason="closed"))
    d.emit(
        ev.AccountEnded(
            **d.header,
            reason=fact.reason,
            outstanding=event_amounts(owed),
            currency=s.currency,
            plan_id=s.plan.plan_id if s.plan is not None else "",
            offer_id=s.plan.offer_id if s.plan is not None else "",
        )
    )
    s.closed_on, s.closed_reason, s.promises = d.day, fact.reason, ()
    s.days_past_due = s.days_past_due_material = s.missed = s.overdue_amount = s.materiality_since = 0


def _prepaid_interest(s: AccountState, day: int) -> int:
    """Return the interest of months to come that was paid: on early settlement it is not owed."""
    return sum(r.interest_due - r.interest for r in s.receivables if r.due > day and not r.billed)


def _iso(d: DayFold) -> str:
    return date.fromordinal(d.day).isoformat()
