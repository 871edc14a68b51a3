"""What is true of one loan account: its ledger, its measures and statuses, and the facts that are not folded yet.

Days are proleptic ordinals (`date.toordinal()`), 0 for none; money is minor units. The state holds no history: the
runtime stores facts and published events beside it, and reads them only when a late event changes a day that was
already folded.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct as Packing
from typing import NamedTuple

from msgspec import Struct

from schemas import events as ev
from state.account_layouts import with_both_views
from state.storage import appended, stored

Ranges = tuple[tuple[int, int], ...]


def covering(numbers: Iterable[int], ranges: Ranges = ()) -> Ranges:
    """Return ranges (first, last) with more numbers in them, in order and apart."""
    found: list[tuple[int, int]] = []
    for first, last in sorted([*ranges, *((n, n) for n in numbers)]):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


AccountFact = (
    ev.AccountOpened
    | ev.OpeningPosition
    | ev.InstalmentBilled
    | ev.InstalmentAdjusted
    | ev.AdjustmentReversed
    | ev.ScheduleRevised
    | ev.AccountClosed
    | ev.AccountReopened
    | ev.PaymentReceived
    | ev.PaymentReversed
    | ev.PaymentFailed
    | ev.ContactAttempted
    | ev.PromiseMade
    | ev.HoldPlaced
    | ev.HoldReleased
    | ev.BadDebtReviewed
    | ev.PartyChanged
    | ev.PlanActivated
    | ev.PlanReviewRequested
)


class Receivable(Struct, frozen=True, array_like=True, gc=False):
    """One instalment: what is still owed of it in the ledger, its amount due and what was paid toward that.

    principal, interest, fees, penalty: unpaid in the ledger, by the waterfall; penalty is penalty interest and late
    fees. amount_due: before charges. paid_toward: what was paid toward the amount due, in whatever order.
    missed_reported: InstalmentMissed was published. plan: it belongs to a repayment plan. billed: a statement asks for
    it, so its interest and fees are charged and owed before they are due; those of a schedule are not yet.
    settled: a plan's instalment that was paid within tolerance; all events about that were published.
    interest_due, fees_due: the parts of the amount due that are not principal.
    """

    number: int
    due: int
    principal: int
    interest: int
    fees: int
    penalty: int
    amount_due: int
    missed_reported: bool = False
    plan: bool = False
    billed: bool = False
    settled: bool = False
    paid_toward: int = 0
    interest_due: int = 0
    fees_due: int = 0

    def unpaid(self) -> int:
        """Return what is unpaid of what was asked for; charges do not make an instalment unpaid."""
        return self.amount_due - self.paid_toward

    def owed(self) -> int:
        """Return all that is still owed of it, charges included."""
        return self.principal + self.interest + self.fees + self.penalty

    def is_gone(self, day: int) -> bool:
        """Return whether it has left the account by the close of a day (ordinal): due, and paid in both views."""
        return self.due <= day and not (self.owed() or self.unpaid() or self.missed_reported)


class Hold(Struct, frozen=True, array_like=True, gc=False):
    """A hold from `start` to `end`, both included; end 0 is open."""

    hold_id: str
    kind: ev.HoldKind
    start: int
    end: int = 0

    def shortened(self, last: int) -> Hold:
        """Return it as it is where `last` is its last day, if it does not end before."""
        return Hold(self.hold_id, self.kind, self.start, min(self.end, last) if self.end else last)

    def covers(self, day: int) -> bool:
        """Return whether the hold is in force on a day."""
        return self.start <= day and (self.end == 0 or day <= self.end)


class Promise(Struct, frozen=True, array_like=True, gc=False):
    """A promise to pay `amount` from `made` to `due`, of which `paid` came in."""

    promise_id: str
    made: int
    due: int
    amount: int
    paid: int = 0


class Reversal(Struct, frozen=True, array_like=True, gc=False):
    """A reversal of a fact that is not folded yet, or that is not known.

    target: fact key of what it reverses. amount: the part of a payment that did not stand, 0 for all of it.
    report_on: day (ordinal) at whose close `code` is reported, 0 where the target waits for its day, -1 once reported.
    """

    target: str
    reversal_id: str = ""
    amount: int = 0
    report_on: int = 0
    code: str = "unknown_payment"


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


class Ask(Struct, frozen=True, array_like=True, gc=False):
    """What an arrangement for a time asks for on a day, beside the contract: `paid` of `amount` came in since it began.

    kept, missed: that was reported of it.
    """

    number: int
    due: int
    amount: int
    paid: int = 0
    kept: bool = False
    missed: bool = False

    def unpaid(self) -> int:
        """Return what has not come in of it."""
        return self.amount - self.paid


class Plan(Struct, frozen=True, array_like=True, gc=False):
    """An active repayment plan, and what it replaced, which is owed again if it breaks.

    An arrangement for a time (`is_temporary`) replaces nothing: the contract's instalments stand, and `asks` is what
    the borrower agreed to pay until `ends_on`. At `review_on` the next arrangement is offered. defers: what falls due
    until then is due on its last day; deferred_before: to which day payments were deferred before it, which counts
    again if it breaks.

    paid: what was paid of it. settled_through: number of the last instalment up to which all are settled. settled_due:
    due date of the last one that left the account.
    paused_from: first day of the hold that pauses it, 0 for none. review: day on which it was said that the means no
    longer carry it, 0 for none. saved: interest that an early payment spared. counted: what was counted toward what it
    asked for, by payments. anchor: day of the month of its due dates, 0 where it is not known. months: further months
    that passed since its last instalment was missed.
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
    counted: int = 0
    anchor: int = 0
    months: int = 0
    arrangement: ev.Arrangement = "repayment"
    review_on: int = 0
    ends_on: int = 0
    asks: tuple[Ask, ...] = ()
    defers: bool = False
    deferred_before: int = 0

    @property
    def is_temporary(self) -> bool:
        """Return whether it is an arrangement for a time, beside the contract."""
        return self.ends_on > 0


class DistressedRestructuring(Struct, frozen=True, array_like=True, gc=False):
    """A plan whose loss was over the policy's limit, and the day (ordinal) from which it counts.

    diminished_obligation_bps: loss of present value at the original effective rate, basis points, rounded up. served:
    classifications under which its probation was served.
    """

    since: int
    diminished_obligation_bps: int
    served: tuple[str, ...] = ()


class Pending(Struct, frozen=True, array_like=True, gc=False):
    """A fact that counts from a day which is not folded yet."""

    day: int
    fact: AccountFact


class AccountTerms(NamedTuple):
    """What stands of an account before its stored state. No fact that waits changes it.

    folded_through, opened_on: ordinals. entries: `entries_beside_waiting`, of which at most 65,535 are counted.
    unreversed: no reversal waits for the fact that it undoes. current: no arrears and no plan. currency: its own, ""
    where it has not three letters.
    """

    folded_through: int
    opened_on: int
    entries: int
    unreversed: bool
    current: bool
    currency: str

    @staticmethod
    def read(data: bytes) -> AccountTerms:
        """Return the terms that bytes hold."""
        folded_through, opened_on, entries, unreversed, current, currency = _TERMS.unpack(data)
        return AccountTerms(folded_through, opened_on, entries, unreversed, current, currency.rstrip(b"\0").decode())


_TERMS = Packing(">IIH??3s")


def entries_beside_waiting(s: AccountState) -> int:
    """Return how many things a state keeps whose number nothing else bounds, without the facts that wait."""
    kept = len(s.receivables) + len(s.holds) + len(s.releases) + len(s.promises)
    return kept + len(s.reversals) + len(s.parties) + len(s.party_holds)


def terms_of(s: AccountState) -> AccountTerms:
    """Return the terms of an account."""
    return AccountTerms(
        s.folded_through,
        s.opened_on,
        min(entries_beside_waiting(s), 0xFFFF),
        not s.reversals,
        s.bucket == "current" and s.plan is None,
        s.currency if len(s.currency) == 3 else "",
    )


def packed_terms(s: AccountState) -> bytes:
    """Return the terms of an account as they stand before its stored state."""
    folded_through, opened_on, entries, unreversed, current, currency = terms_of(s)
    return _TERMS.pack(folded_through, opened_on, entries, unreversed, current, currency.encode())


class AccountHead(Struct, array_like=True, frozen=True, gc=False):
    """The first fields of an account's stored state, which are the same in every layout."""

    account_id: str
    borrower_id: str
    product: str
    jurisdiction: str
    currency: str
    annual_rate_bps: int
    original_principal: int
    opened_on: int
    folded_through: int


# Since layout 3 the facts that wait are rows of their own, and `pending` is empty in the bytes.
@stored(version=3, upgrades={1: with_both_views, 2: appended}, terms=packed_terms, terms_since=3, head=AccountHead)
class AccountState(Struct, array_like=True, kw_only=True):
    """One account.

    folded_through: the last day that was folded. next_fold_on: the next day whose close matters, 0 for never.
    overdue_since: first day of the present arrears, 0 if none. arrears_free_since: first day without arrears since the
    last ones (or of a plan, where there were none), 0 while in arrears or if there never were any.
    materiality_since: first day of the run of days above both materiality thresholds; days_past_due_material: the days
    past due counted from it (EBA/GL/2016/07).
    accrued: penalty interest earned, in parts of a minor unit (`state.ledger.ACCRUAL_UNIT`), so that no rounding
    depends on which days were visited; penalty_posted: whole minor units of it that were put on the account, less those
    that `accrued` was relieved of. What is to be put on it is the rounded accrued less penalty_posted.
    charged: charges put on the account, all in all.
    billed_principal: principal of all statements; the cap of charges uses it where a card has no original principal.
    provisional_events: events of a day that were published before its close. last_workout_signal: what the account last
    reported of its debt to the planner; last_party_signals: what it last reported of each party.
    distressed_restructuring: the last one, until its probation is served under every classification. It stands whatever
    becomes of the plan.
    instalment_numbers: of all instalments so far, as ranges (first, last). scheduled: the account has a contract's
    schedule. position_on: the day of its opening position, 0 without one. reported_from: first day of which anything is
    published. forborne_on: day from which a probation after the last plan runs at the earliest.
    class_since: by classification, the day on which the present class began. failed_payments: failures since the
    last payment. revision: the last revision of the schedule. closed_reason: reason of AccountClosed while the account
    is closed. ifrs9_stage_by_days: the stage by days past due alone, without bad debt. debt_at_end: the status of bad
    debt that the end of the account terminated. dispute_ended_on: first day without the last dispute hold that ended.
    parties: joint borrowers and guarantors, by id. party_holds: holds that concern one of them alone.
    payments_deferred_to: the day on which all that was due by it counts as due, since an arrangement deferred it.
    """

    account_id: str
    borrower_id: str
    product: str
    jurisdiction: str
    currency: str
    annual_rate_bps: int
    original_principal: int
    opened_on: int

    folded_through: int
    next_fold_on: int = 0
    pending: tuple[Pending, ...] = ()
    receivables: tuple[Receivable, ...] = ()

    received: int = 0
    credit: int = 0
    paid: Paid = Paid()
    waived: Paid = Paid()
    accrued: int = 0
    penalty_posted: int = 0
    charged: int = 0
    billed_principal: int = 0
    accrued_to: int = 0
    last_payment_on: int = 0

    days_past_due: int = 0
    days_past_due_material: int = 0
    missed: int = 0
    overdue_amount: int = 0
    bucket: ev.Bucket = "current"
    overdue_since: int = 0
    arrears_free_since: int = 0
    materiality_since: int = 0

    classes: dict[str, int] = {}
    ifrs9_stage: int = 1
    allowance: int = 0

    bad_debt: ev.BadDebtStatus = "none"
    bad_debt_on: int = 0
    bad_debt_rejected: bool = False
    failed_contact_attempts: int = 0
    bad_debt_evidence: tuple[str, ...] = ()
    promises: tuple[Promise, ...] = ()

    plan: Plan | None = None
    plans_broken: int = 0
    had_plan: bool = False

    holds: tuple[Hold, ...] = ()
    releases: dict[str, int] = {}
    reversals: tuple[Reversal, ...] = ()
    collection_stopped: bool = False
    credit_standing: ev.CreditStanding = "good"
    closed_on: int = 0

    provisional_events: tuple[ev.AnyEvent, ...] = ()
    last_workout_signal: str = ""
    distressed_restructuring: DistressedRestructuring | None = None
    instalment_numbers: tuple[tuple[int, int], ...] = ()
    scheduled: bool = False
    position_on: int = 0
    reported_from: int = 0
    forborne_on: int = 0
    class_since: dict[str, int] = {}
    failed_payments: int = 0
    revision: int = 0
    closed_reason: str = ""
    ifrs9_stage_by_days: int = 1
    debt_at_end: ev.BadDebtStatus = "none"
    dispute_ended_on: int = 0
    parties: tuple[ev.Party, ...] = ()
    party_holds: tuple[tuple[str, Hold], ...] = ()
    last_party_signals: dict[str, str] = {}
    payments_deferred_to: int = 0

    def was_asked_for(self, number: int) -> bool:
        """Return whether an instalment of a number was asked for so far."""
        return any(first <= number <= last for first, last in self.instalment_numbers)

    def owed(self) -> Paid:
        """Return all that the schedule asks for, due or not, by component."""
        principal = interest = fees = penalty = 0
        for r in self.receivables:
            principal += r.principal
            interest += r.interest
            fees += r.fees
            penalty += r.penalty
        return Paid(principal, interest, fees, penalty)
