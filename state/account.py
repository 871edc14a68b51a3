"""What is true of one loan account: its ledger, its five regions, and what has not been folded yet.

Days are proleptic ordinals (`date.toordinal()`), 0 for none; money is minor units. The state holds
no history: facts and what was said are kept beside it by the runtime and read only when a late
event changes a day that was already folded.
"""

from __future__ import annotations

from msgspec import Struct

from schemas import events as ev
from state.storage import stored

AccountFact = (
    ev.AccountOpened
    | ev.InstalmentBilled
    | ev.AccountClosed
    | ev.PaymentReceived
    | ev.PaymentReversed
    | ev.PaymentFailed
    | ev.ContactAttempted
    | ev.PromiseMade
    | ev.HoldPlaced
    | ev.HoldReleased
    | ev.BadDebtReviewed
    | ev.PlanActivated
    | ev.PlanReviewRequested
)


class Receivable(Struct, frozen=True, array_like=True, gc=False):
    """What is still owed of one instalment.

    asked: what it asked for, before charges. penalty: penalty interest and late fees put on it.
    reported: it has been said to be missed. plan: it belongs to a repayment plan. billed: a statement asked for it,
    so its interest and fees have been charged and are owed before they are due; those of a schedule are not yet.
    settled: of a plan's, it was paid within tolerance, and what is to be said of that has been said.
    """

    number: int
    due: int
    principal: int
    interest: int
    fees: int
    penalty: int
    asked: int
    reported: bool = False
    plan: bool = False
    billed: bool = False
    settled: bool = False

    def unpaid(self) -> int:
        """Return what is unpaid of what was asked for; charges do not make an instalment unpaid."""
        return self.principal + self.interest + self.fees

    def owed(self) -> int:
        """Return all that is still owed of it, charges included."""
        return self.principal + self.interest + self.fees + self.penalty


class Hold(Struct, frozen=True, array_like=True, gc=False):
    """A hold from `start` to `end`, both included; end 0 is open."""

    hold_id: str
    kind: ev.HoldKind
    start: int
    end: int = 0

    def covers(self, day: int) -> bool:
        """Say whether the hold is in force on a day."""
        return self.start <= day and (self.end == 0 or day <= self.end)


class Promise(Struct, frozen=True, array_like=True, gc=False):
    """A promise to pay `amount` from `made` to `due`, of which `paid` came in."""

    promise_id: str
    made: int
    due: int
    amount: int
    paid: int = 0


class Paid(Struct, frozen=True, array_like=True, gc=False):
    """What payments were allocated to, by component."""

    principal: int = 0
    interest: int = 0
    fees: int = 0
    penalty: int = 0

    def total(self) -> int:
        """Return the sum of the components."""
        return self.principal + self.interest + self.fees + self.penalty

    def plus(self, other: Paid) -> Paid:
        """Return the sum with another, component by component."""
        return Paid(
            self.principal + other.principal,
            self.interest + other.interest,
            self.fees + other.fees,
            self.penalty + other.penalty,
        )

    def minus(self, other: Paid) -> Paid:
        """Return the difference from another, component by component."""
        return Paid(
            self.principal - other.principal,
            self.interest - other.interest,
            self.fees - other.fees,
            self.penalty - other.penalty,
        )


class Plan(Struct, frozen=True, array_like=True, gc=False):
    """An active repayment plan, and what it replaced, which is owed again if it breaks.

    paid: what was paid of it. settled_through, settled_due: number and due date of the last instalment up to which all
    are settled.
    paused_from: first day of the hold that pauses it, 0 for none. review: day on which it was said that the means no
    longer carry it, 0 for none. saved: interest that an early payment spared. charged: penalty interest and late fees
    while it was active.
    """

    plan_id: str
    offer_id: str
    activated: int
    replaced: tuple[Receivable, ...]
    waived: Paid
    paid: Paid = Paid()
    kept: int = 0
    missed: int = 0
    missed_in_a_row: int = 0
    settled_through: int = 0
    settled_due: int = 0
    annual_rate_bps: int = 0
    paused_from: int = 0
    review: int = 0
    saved: int = 0
    charged: int = 0


class Distressed(Struct, frozen=True, array_like=True, gc=False):
    """A plan whose loss was over the policy's limit: the day (ordinal) from which it counts, and the loss.

    loss_bps: loss of present value at the original effective rate, basis points, rounded up.
    """

    since: int
    loss_bps: int


class Pending(Struct, frozen=True, array_like=True, gc=False):
    """A fact that counts from a day which is not folded yet."""

    day: int
    fact: AccountFact


@stored(version=1)
class AccountState(Struct, array_like=True, kw_only=True):
    """One account.

    through: the last day that was folded. due: the next day whose close matters, 0 for never.
    overdue_since: first day of the present arrears, 0 if none. clean_since: first day without arrears
    since the last ones (or of a plan, where there were none), 0 while in arrears or if there never were any.
    material_since: first day of the run of days above both materiality thresholds.
    accrued: penalty interest earned, in minor units × 3,650,000 (bps × 365 days), so that no rounding depends on
    which days were visited; penalty_posted: whole minor units of it that were put on the account, less those that
    `accrued` was relieved of. What is to be put on it is the rounded accrued less penalty_posted.
    charged: charges put on the account, all in all.
    billed: principal asked for by statements, which the cap of charges goes by where a card has no principal.
    early: what was said of a day before its close. requested: what the planner was last told.
    distressed: the last distressed restructuring, until its probation is served under every classification. It stands
    whatever becomes of the plan.
    """

    account_id: str
    borrower_id: str
    product: str
    jurisdiction: str
    currency: str
    annual_rate_bps: int
    original_principal: int
    opened: int

    through: int
    due: int = 0
    pending: tuple[Pending, ...] = ()
    receivables: tuple[Receivable, ...] = ()

    received: int = 0
    credit: int = 0
    paid: Paid = Paid()
    waived: Paid = Paid()
    accrued: int = 0
    penalty_posted: int = 0
    charged: int = 0
    billed: int = 0
    accrued_to: int = 0
    last_payment: int = 0

    days_past_due: int = 0
    counter_days: int = 0
    missed: int = 0
    overdue: int = 0
    bucket: ev.Bucket = "current"
    overdue_since: int = 0
    clean_since: int = 0
    material_since: int = 0

    classes: dict[str, int] = {}
    stage: int = 1
    allowance: int = 0

    bad_debt: ev.BadDebtStatus = "none"
    bad_debt_on: int = 0
    rejected: bool = False
    attempts: int = 0
    evidence: tuple[str, ...] = ()
    promises: tuple[Promise, ...] = ()

    plan: Plan | None = None
    plans_broken: int = 0
    had_plan: bool = False

    holds: tuple[Hold, ...] = ()
    releases: dict[str, int] = {}
    reversals: tuple[str, ...] = ()
    collection_stopped: bool = False
    standing: ev.CreditStanding = "good"
    closed: int = 0

    early: tuple[ev.AnyEvent, ...] = ()
    requested: str = ""
    distressed: Distressed | None = None

    def owed(self) -> Paid:
        """Return all that the schedule asks for, due or not, by component."""
        principal = interest = fees = penalty = 0
        for r in self.receivables:
            principal += r.principal
            interest += r.interest
            fees += r.fees
            penalty += r.penalty
        return Paid(principal, interest, fees, penalty)
