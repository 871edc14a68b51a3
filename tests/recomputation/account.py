"""What is true of an account on one day, and what is measured of it (docs/rules.md, 3, 5 and 7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from schemas import events as ev
from state.policy import Classification, Policy
from tests.recomputation.charges import Charges
from tests.recomputation.days import half_up_of, months_after
from tests.recomputation.money import ASKED, Instalment, Money
from tests.recomputation.plans import Plan, tolerance
from tests.recomputation.said import Record, record


@dataclass
class Hold:
    """A hold. `released` is the first day without it."""

    kind: str
    first: int
    until: int | None
    released: int | None = None

    def covers(self, day: int) -> bool:
        """Say whether it is in force on a day."""
        return (
            self.first <= day
            and (self.until is None or day <= self.until)
            and (self.released is None or day < self.released)
        )

    def ended(self, day: int) -> bool:
        """Say whether it has ended before a day."""
        return any(end is not None and end < day for end in (self.until, self.released and self.released - 1))


@dataclass
class Promise:
    """An open promise to pay."""

    promise_id: str
    due: int
    amount: int
    paid: int = 0


@dataclass
class Class:
    """The class under one classification. begun: the day on which it began. reported: somebody was told of it."""

    name: str
    from_days: int
    begun: int
    reported: bool = False
    distressed: bool = False


@dataclass
class Account:
    """One account at one moment; days are ordinals, amounts minor units.

    clean_since: the day from which probations run: 0 where there is nothing to be served, -1 in arrears.
    """

    opening: Any
    policy: Policy
    money: Money = field(default_factory=Money)
    charges: Charges = field(default_factory=lambda: Charges(0))
    rate: int = 0
    plan: Plan | None = None
    deferred_to: int = 0
    parties: dict[str, str] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    known_holds: dict[str, int | None] = field(default_factory=dict)
    paused_by: dict[int, set[str]] = field(default_factory=dict)
    promises: dict[str, Promise] = field(default_factory=dict)
    attempts: int = 0
    failures: int = 0
    last_payment: int | None = None
    paid_today: int = 0
    revision: int = 0
    reviews: list[ev.BadDebtReviewed] = field(default_factory=list)
    bucket: str = "current"
    counter_days: int = 0
    run: bool = False
    clean_since: int = 0
    dpd: int = 0
    missed: int = 0
    overdue: int = 0
    arrears: bool = False
    material: bool = False
    stage_by_days: int = 1
    stage: int = 1
    allowance: int = 0
    bad_debt: str = "none"
    bad_debt_on: int = 0
    charged_off_on: int = 0
    rejected: bool = False
    had_plan: bool = False
    plan_from: int = 0
    distressed_from: int = 0
    moved: bool = False
    classes: dict[str, Class] = field(default_factory=dict)
    standing: str = "good"
    stopped: bool = False
    ended: str = ""
    restored: bool = False
    back_to: str = ""
    closing: ev.AccountClosed | None = None
    reopening: ev.AccountReopened | None = None
    before_the_end: dict[str, Any] = field(default_factory=dict)
    said: list[Record] = field(default_factory=list)
    today: int = 0

    def say(self, name: str, **fields: Any) -> None:
        """Report something of today."""
        if self.ended != "opened_in_error" or name == "AccountEnded":
            self.said.append(record(date.fromordinal(self.today), name, **fields))

    def not_applied(self, fact: ev.Event, fact_id: str, code: str) -> None:
        """Answer a fact that has no effect."""
        self.say("InputNotApplied", fact_type=type(fact).__name__, fact_id=fact_id, code=code)

    @property
    def currency(self) -> str:
        """The account's currency."""
        return str(self.opening.currency)

    def owed_by(self, person: str | None) -> bool:
        """Say whether a person owes the debt: the borrower, or a joint borrower."""
        return person in (None, self.opening.borrower_id) or self.parties.get(person or "") == "joint"

    def takes(self, hold: ev.HoldPlaced, policy: Policy) -> bool:
        """Say whether a hold concerns the account, and not one other person alone. policy: of its first day."""
        if hold.borrower_id in (None, self.opening.borrower_id):
            return True
        return self.owed_by(hold.borrower_id) and hold.kind in policy.parties.holds_for_all

    def last_day(self, hold: ev.HoldPlaced, policy: Policy) -> int | None:
        """Return the last day of a hold as placed, None where it is open. policy: of its first day."""
        days = policy.delinquency.hold_days.get(hold.kind)
        if hold.until_on is None and days is not None and not hold.crisis:
            return hold.from_on.toordinal() + days - 1
        return hold.until_on.toordinal() if hold.until_on else None

    def hold_in_force(self, kinds: tuple[str, ...] | None = None) -> bool:
        """Say whether a hold, or one of these kinds, is in force today."""
        return any(h.covers(self.today) and (kinds is None or h.kind in kinds) for h in self.holds.values())

    @property
    def paused(self) -> set[int]:
        """Return the days that are paused."""
        return set(self.paused_by)

    def pause(self) -> bool:
        """Note which holds pause today; say whether one does."""
        kinds = self.policy.delinquency.pausing_holds
        by = {name for name, h in self.holds.items() if h.kind in kinds and h.covers(self.today)}
        if by:
            self.paused_by[self.today] = by
        return bool(by)

    def forget_holds(self) -> None:
        """Forget holds that have ended, and the days that they alone paused."""
        over = {name for name, h in self.holds.items() if h.first <= self.today and h.ended(self.today)}
        self.holds = {name: h for name, h in self.holds.items() if name not in over}
        left = {day: by - over for day, by in self.paused_by.items()}
        self.paused_by = {day: by for day, by in left.items() if by}

    def days_late(self, due: int) -> int:
        """Return the days from a due date to today, less paused ones in between."""
        return self.today - due - sum(1 for day in self.paused_by if due < day <= self.today)

    def counts_as_paid(self, i: Instalment) -> bool:
        """Say whether what is unpaid of an instalment is within the tolerance."""
        return i.short <= tolerance(i.amount_due, self.policy)

    def due(self, i: Instalment) -> int:
        """Return the day on which an instalment counts as due: what was deferred, on the day to which it was."""
        return max(i.due, self.deferred_to)

    def late(self) -> list[Instalment]:
        """Return the instalments that are past due and do not count as paid, oldest first."""
        return [i for i in self.money.instalments if self.due(i) < self.today and not self.counts_as_paid(i)]

    @property
    def for_a_time(self) -> bool:
        """Say whether an arrangement for a time stands."""
        return self.plan is not None and self.plan.until > 0

    @property
    def deferring(self) -> bool:
        """Say whether one stands that defers what falls due."""
        return self.plan is not None and self.plan.defers

    def measure(self) -> None:
        """Take the day's measures."""
        late = self.late()
        self.arrears = bool(late)
        self.dpd = self.days_late(self.due(late[0])) if late else 0
        grace = self.policy.delinquency.grace_days
        self.missed = sum(1 for i in late if self.days_late(self.due(i)) > grace)
        self.overdue = sum(i.owed for i in self.money.instalments if self.due(i) < self.today)
        rules = self.policy.delinquency
        self.material = (
            self.arrears
            and self.overdue > rules.material_absolute
            and self.overdue * 10_000 > rules.material_relative_bps * self.exposure()
        )

    def owed(self) -> dict[str, int]:
        """Return what is owed today, by component."""
        return self.money.owed(self.today)

    def exposure(self) -> int:
        """Return all that is owed today."""
        return sum(self.owed().values())

    def served(self, since: int, days: int, months: int) -> bool:
        """Say whether a probation that began on a day is served today."""
        if since <= 0:
            return True
        return self.today >= (months_after(since, months) if months else since + days)

    def put_charges_on(self) -> None:
        """Put on the account the penalty interest that accrued so far."""
        amount = self.charges.put_on(self.money, self.today, self.policy)
        if amount:
            self.say("ChargeAccrued", kind="penalty_interest", amount=amount, currency=self.currency, number=None)

    def steps(self) -> tuple[str, ...]:
        """Return the waterfall that applies."""
        allocation = self.policy.allocation
        return allocation.non_performing if self.stage == 3 else allocation.performing

    def spend_credit(self, freed: int = 0, uncounted: int = 0) -> None:
        """Allocate credit to what is owed, and count it.

        freed: of the credit, what has just come out of the ledger. uncounted: what was taken from what had been paid
        toward instalments. No money counts twice, and none is lost.
        """
        before = self.money.credit
        self.early_settlement(before)
        left = self.money.allocate(before, self.today, self.steps(), self.policy.allocation.sweep)
        self.money.credit = left
        self.money.count(max(0, uncounted + (before - left) - freed))

    def early_settlement(self, money: int) -> None:
        """Drop a plan's interest that is not earned, if money then pays all that is owed on the account."""
        if self.plan is None or not money:
            return
        drops: list[tuple[Instalment, int]] = []
        rows = sorted(self.plan.schedule, key=lambda i: i.order)
        for n, i in enumerate(rows):
            if i.due <= self.today or i not in self.money.instalments:
                continue
            keeps = 0
            if not drops:
                start = rows[n - 1].due if n else self.plan.before_first or self.plan.activated
                keeps = (
                    half_up_of(i.interest * max(0, self.today - start), i.due - start) if i.due > start else i.interest
                )
            drops.append((i, min(i.unpaid["interest"], max(0, i.interest - keeps))))
        if drops and money >= sum(i.owed for i in self.money.instalments) - sum(drop for _, drop in drops):
            for i, drop in drops:
                i.unpaid["interest"] -= drop
                i.amount_due -= drop
                self.plan.dropped += drop

    def classification(self, name: str) -> Classification | None:
        """Return the rules of a classification."""
        return next((c for c in self.policy.classifications if c.policy == name), None)

    def counted_twice(self) -> bool:
        """Say whether more is counted toward an instalment than it asks for: never."""
        return any(i.paid > i.amount_due or min(i.unpaid[c] for c in ASKED) < 0 for i in self.money.instalments)
