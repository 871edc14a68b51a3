"""A plan: the schedule that counts, and what has become of it so far (docs/rules.md, 6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from schemas import events as ev
from state.policy import Policy
from tests.recomputation.days import rounded
from tests.recomputation.money import Instalment, nothing

# What is forgiven, in this order.
FORGIVEN = ("penalty", "fees", "interest", "principal")


@dataclass
class Ask:
    """What an arrangement for a time asks for beside the contract."""

    number: int
    due: int
    amount: int
    paid: int = 0
    settled: bool = False


@dataclass
class Plan:
    """A plan in force. replaced: what is owed again if it breaks. waived: what it forgave, by component.

    paid, counted: what was paid of it (by component), and of plans that it replaced by agreement, before this schedule.
    dropped: interest that early settlement spared. months: further months that were counted after the last instalment.
    """

    plan_id: str
    offer_id: str
    activated: int
    rate: int
    schedule: list[Instalment]
    replaced: list[Instalment]
    waived: dict[str, int] = field(default_factory=nothing)
    paid: dict[str, int] = field(default_factory=nothing)
    counted: int = 0
    kept: int = 0
    missed: int = 0
    row: int = 0
    months: int = 0
    dropped: int = 0
    review: bool = False
    paused_from: int | None = None
    # The due date before the first instalment of a plan that was taken over without it, 0 for the activation.
    before_first: int = 0
    # The day of month of the schedule as it counted at the plan's beginning.
    anchor: int = 0
    # Of an arrangement for a time: its last day, what it asks for, and what it put off (docs/rules.md, 6).
    until: int = 0
    asks: list[Ask] = field(default_factory=list)
    defers: bool = False
    deferred_before: int = 0


@dataclass(frozen=True)
class Row:
    """One payment of a schedule."""

    due: int
    principal: int
    interest: int

    @property
    def amount(self) -> int:
        """What it asks for."""
        return self.principal + self.interest


def anchor_of(schedule: list[int], policy: Policy) -> int:
    """Return the day of month to which a schedule is anchored, month ends and rolled days included."""
    if not schedule:
        return 1
    return policy.due_days.anchor_of([date.fromordinal(day) for day in schedule])


def month_on(due: int, months: int, anchor: int, policy: Policy) -> int:
    """Return a due date so many months on, on the anchor's day, kept clear of days on which banks do not work."""
    return policy.due_days.months_on(date.fromordinal(due), months, anchor).toordinal()


def tolerance(amount: int, policy: Policy) -> int:
    """Return what may be unpaid of an instalment that still counts as paid."""
    return max(policy.delinquency.tolerance_absolute, amount * policy.delinquency.tolerance_bps // 10_000)


def further_dates(anchor: int, last: int, limit: int, policy: Policy) -> list[int]:
    """Return the monthly dates after one of a schedule's, up to a limit."""
    dates: list[int] = []
    while (due := month_on(last, len(dates) + 1, anchor, policy)) <= limit:
        dates.append(due)
    return dates


def capacity(agreed: tuple[ev.PlanInstalment, ...], limit: int, policy: Policy) -> int:
    """Return how much principal the agreed instalments within the limit, lengthened to it, can repay."""
    within = [i for i in agreed if i.due_on.toordinal() <= limit]
    dues = [i.due_on.toordinal() for i in agreed]
    last = max((i.due_on.toordinal() for i in within), default=None)
    more = further_dates(anchor_of(dues, policy), last, limit, policy) if last is not None else []
    return sum(i.principal for i in within) + len(more) * max(i.amount for i in agreed)


def fit(
    agreed: tuple[ev.PlanInstalment, ...], financed: int, rate: int, limit: int, policy: Policy
) -> tuple[list[Row], int]:
    """Return the schedule that counts for what is financed, and what of it is forgiven."""
    largest = max(i.amount for i in agreed)
    dues = [i.due_on.toordinal() for i in agreed]
    rows = [Row(i.due_on.toordinal(), i.principal, i.interest) for i in agreed]
    terms = {r.due: r.interest for r in rows}
    gap = financed - sum(r.principal for r in rows)
    how = policy.options.rounding
    if gap < 0:
        rows = _shortened(rows, financed, rate, how)
    within = [r for r in rows if r.due <= limit]
    went = len(within) < len(rows)
    rows = within
    forgiven = 0
    rest = financed - sum(r.principal for r in rows)
    if rest > 0:
        rows, forgiven = _last_takes(rows, rest, largest, policy)
        if forgiven > tolerance(rows[-1].amount, policy):
            forgiven = 0
            rows = _lengthened(rows, rest, largest, further_dates(anchor_of(dues, policy), rows[-1].due, limit, policy))
    if went:
        rows = _cheaper(rows, financed, rate, how, terms)
    elif gap < 0 and rows and rows[-1].amount <= tolerance(rows[-1].amount, policy):
        last = rows.pop()
        rows, forgiven = _last_takes(rows, last.principal, largest, policy) if rows else ([], last.principal)
    return rows, forgiven


def _shortened(rows: list[Row], financed: int, rate: int, how: str) -> list[Row]:
    """Let each instalment keep its amount while the balance lasts."""
    balance, kept = financed, []
    for r in rows:
        if balance <= 0:
            break
        interest = min(r.interest, rounded(Fraction(balance * rate, 120_000), how))
        principal = min(r.amount - interest, balance)
        balance -= principal
        kept.append(Row(r.due, principal, interest))
    return kept


def _last_takes(rows: list[Row], rest: int, largest: int, policy: Policy) -> tuple[list[Row], int]:
    """Put a small rest onto the last instalment if that stays within the largest; else return it as forgiven."""
    last = rows[-1]
    if rest <= tolerance(last.amount, policy) and last.amount + rest <= largest:
        return [*rows[:-1], Row(last.due, last.principal + rest, last.interest)], 0
    return rows, rest


def _lengthened(rows: list[Row], rest: int, largest: int, dates: list[int]) -> list[Row]:
    """Ask for a rest in further instalments without interest; what does not fit is spread over all."""
    number = min(-(-rest // largest), len(dates))
    fits = min(rest, number * largest)
    rows = rows + [Row(due, part, 0) for due, part in zip(dates, _even(fits, number), strict=False)]
    over = rest - fits
    asking = [n for n, r in enumerate(rows) if r.amount] or [*range(len(rows))]
    for n, part in zip(asking, _even(over, len(asking)), strict=True):
        rows[n] = Row(rows[n].due, rows[n].principal + part, rows[n].interest)
    return rows


def _even(amount: int, number: int) -> list[int]:
    """Return parts that are equal but for one minor unit, the larger ones first."""
    if not number:
        return []
    part, larger = divmod(amount, number)
    return [part + (n < larger) for n in range(number)]


def _cheaper(rows: list[Row], financed: int, rate: int, how: str, terms: dict[int, int]) -> list[Row]:
    """Work out the interest anew on a balance that falls faster."""
    balance, anew = financed, []
    for r in rows:
        anew.append(Row(r.due, r.principal, min(terms.get(r.due, 0), rounded(Fraction(balance * rate, 120_000), how))))
        balance -= r.principal
    return anew
