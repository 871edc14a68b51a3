"""Disputes: what a borrower says not to owe is not offered ways to be paid, until somebody has settled the dispute.

A borrower disputes a debt in an answer to an offer (OfferAnswered, reason dispute) or in a contact (ContactAttempted,
outcome disputed). From then on the planner offers nothing to them. A hold of kind dispute (HoldPlaced, HoldReleased) on
one of the accounts that the dispute is about settles it: one that is in force on the day of the dispute or later, and
ends. The lender's complaints desk places it when it takes the dispute up, and releases it when that is decided; a hold
of one day will do. Accepting an offer of these accounts takes the dispute back, and nothing is left to dispute of an
account that is closed or terminated.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from msgspec.structs import replace

from schemas import events as ev
from state.borrower import BorrowerState, Case, Dispute


def disputed(s: BorrowerState, accounts: Iterable[str], since: int) -> None:
    """Note that accounts were disputed on a day (ordinal), unless that was settled before it was heard of."""
    about = tuple(sorted(set(accounts)))
    if any(s.disputes_ended.get(a, 0) > since for a in about):
        return
    since = max([since, *(d.since for d in s.disputes if d.accounts == about)])
    s.disputes = tuple(sorted({*(d for d in s.disputes if d.accounts != about), Dispute(since, about)}, key=_order))


def settle(s: BorrowerState, account: str, ended_on: date | None) -> bool:
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


def drop(s: BorrowerState, accounts: Iterable[str], until: int) -> None:
    """End what was disputed of accounts until a day (ordinal): it was agreed, or there is no such debt any more."""
    gone = set(accounts)
    left = (
        d if d.since > until else replace(d, accounts=tuple(a for a in d.accounts if a not in gone)) for d in s.disputes
    )
    s.disputes = tuple(d for d in left if d.accounts)


def _order(d: Dispute) -> tuple[int, tuple[str, ...]]:
    return (d.since, d.accounts)
