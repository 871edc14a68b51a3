"""What is owed and what was asked: instalments, the waterfall, and the count of what was paid toward each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PRINCIPAL, INTEREST, FEES, PENALTY = "principal", "interest", "fees", "penalty"
ASKED = (PRINCIPAL, INTEREST, FEES)
COMPONENTS = (*ASKED, PENALTY)


def nothing() -> dict[str, int]:
    """Return amounts of 0."""
    return dict.fromkeys(COMPONENTS, 0)


@dataclass(slots=True, eq=False)
class Instalment:
    """One payment that was asked for. `due` is an ordinal, amounts are minor units.

    plan: id of the plan of which it is, None for the contract's and statements'. unpaid: what the ledger still owes.
    allocated: what the ledger has paid of it. amount_due, paid: what it asked for, and what was paid toward it.
    missed: it is reported as missed. kept: it is reported as kept (of a plan). interest: a plan's, as it was agreed.
    """

    number: int
    due: int
    unpaid: dict[str, int]
    amount_due: int
    paid: int = 0
    plan: str | None = None
    billed: bool = False
    missed: bool = False
    kept: bool = False
    interest: int = 0
    allocated: dict[str, int] = field(default_factory=nothing)

    @property
    def order(self) -> tuple[int, bool, int]:
        """By due date; on one date those of no plan first, then by number."""
        return self.due, self.plan is not None, self.number

    @property
    def short(self) -> int:
        """What was asked for and not paid."""
        return max(0, self.amount_due - self.paid)

    @property
    def owed(self) -> int:
        """All that the ledger owes of it."""
        return sum(self.unpaid.values())

    def copy(self) -> Instalment:
        """Return another like it."""
        return Instalment(
            self.number, self.due, dict(self.unpaid), self.amount_due, self.paid, self.plan, self.billed, self.missed,
            self.kept, self.interest, dict(self.allocated),
        )  # fmt: skip


def asked(
    number: int, due: int, principal: int, interest: int, fees: int, *, billed: bool = False, plan: str | None = None
) -> Instalment:
    """Return an instalment of which nothing is paid."""
    unpaid = {PRINCIPAL: principal, INTEREST: interest, FEES: fees, PENALTY: 0}
    amount = principal + interest + fees
    return Instalment(number, due, unpaid, amount, plan=plan, billed=billed, interest=interest)


class Money:
    """All instalments of an account, and its credit."""

    def __init__(self) -> None:
        self.instalments: list[Instalment] = []
        self.gone: list[Instalment] = []
        self.credit = 0
        # What was ever asked for under a number, by component: an adjustment can lower it to 0.
        self.ever: dict[int, dict[str, int]] = {}
        # What was paid on the account, less what was given back.
        self.paid = nothing()

    def give_back(self, amounts: Mapping[str, int]) -> int:
        """Note that amounts are not paid any more; return their sum."""
        for component, amount in amounts.items():
            self.paid[component] -= amount
        return sum(amounts.values())

    def add(self, instalment: Instalment) -> None:
        """Put an instalment into its place."""
        self.instalments.append(instalment)
        self.instalments.sort(key=lambda i: i.order)

    def ask(self, instalment: Instalment) -> None:
        """Add an instalment of the contract or of a statement, which may be adjusted later."""
        self.add(instalment)
        ever = self.ever.setdefault(instalment.number, nothing())
        for c in ASKED:
            ever[c] += instalment.unpaid[c]

    def leave(self, day: int) -> None:
        """Take out what is paid in both views, due, and not reported as missed."""
        stays = []
        for i in self.instalments:
            if i.due <= day and not i.missed and not i.owed and not i.short:
                self.gone.append(i)
            else:
                stays.append(i)
        self.instalments = stays

    def owed(self, day: int) -> dict[str, int]:
        """Return what is owed on a day: all principal and penalty; interest and fees that are due or were billed."""
        total = nothing()
        for i in self.instalments:
            total[PRINCIPAL] += i.unpaid[PRINCIPAL]
            total[PENALTY] += i.unpaid[PENALTY]
            if i.billed or i.due <= day:
                total[INTEREST] += i.unpaid[INTEREST]
                total[FEES] += i.unpaid[FEES]
        return total

    def allocate(self, amount: int, day: int, steps: Iterable[str], sweep: str) -> int:
        """Pay by the waterfall; return what is left."""
        left = amount

        def take(i: Instalment, component: str) -> None:
            nonlocal left
            part = min(left, i.unpaid[component])
            i.unpaid[component] -= part
            i.allocated[component] += part
            self.paid[component] += part
            left -= part

        of = {"past_due": [], "due": [], "advance": []}  # type: dict[str, list[Instalment]]
        for i in self.instalments:
            of["past_due" if i.due < day else "due" if i.due == day else "advance"].append(i)
        plan = [tuple(step.split(".")) for step in steps]
        now = [(timing, component) for timing, component in plan if timing != "advance"]
        if sweep == "component":
            for timing, component in now:
                for i in of[timing]:
                    take(i, component)
        else:
            for timing in dict.fromkeys(timing for timing, _ in now):
                for i in of[timing]:
                    for t, component in now:
                        if t == timing:
                            take(i, component)
        for i in of["advance"]:
            for t, component in plan:
                if t == "advance":
                    take(i, component)
        return left

    def count(self, amount: int) -> None:
        """Count money toward instalments by due date; what exceeds all amounts due is counted toward nothing."""
        for i in self.instalments:
            part = min(amount, i.short)
            i.paid += part
            amount -= part
