"""Plans to which a borrower agrees: near what is owed or far from it, level, deferred, with interest or waivers."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

from msgspec.structs import replace

from schemas import events as ev
from tests.recomputation.account import Account
from tests.recomputation.conduct import payments, release
from tests.recomputation.days import rounded
from tests.recomputation.facts import Facts
from tests.recomputation.histories import Author
from tests.recomputation.life import Life, zone_of
from tests.recomputation.rules import HOLDS


def look(a: Author, day: int) -> Account:
    """Return the account at the close of a day, as far as it is written."""
    events = [e for _, e in a.history.facts]
    life = Life(Facts(events, zone_of(events, a.history.book)), a.history.book)
    life.through((a.start + timedelta(days=day)).toordinal())
    return life.account


def agree(a: Author) -> None:
    """Agree on up to three plans, and pay for them."""
    rng = a.rng
    day = rng.randrange(1, a.days)
    for n in range(rng.choice((1, 1, 1, 2, 3))):
        if day >= a.days:
            return
        if rng.random() < 0.25:
            _for_a_time(a, day)
            day += rng.randint(0, 120)
            continue
        if n and a.plan_ids and rng.random() < 0.5:
            a.put(
                day,
                ev.PlanReviewRequested(
                    **a.base(day),
                    account_id="A1",
                    borrower_id="B1",
                    plan_id=a.plan_ids[-1],
                    requested_on=a.on(day),
                    caused_by="close",
                ),
            )
            day = min(a.days - 1, day + rng.randrange(5))
        if not _plan(a, day):
            return
        day += rng.randint(1, 150)


def _agreed(a: Author, day: int, instalments: tuple[ev.PlanInstalment, ...]) -> ev.PlanActivated:
    """Return what is agreed on a day, at no rate and without a waiver."""
    base = a.base(day)
    plan_id = f"plan{a.ids}"
    a.plan_ids.append(plan_id)
    return ev.PlanActivated(
        **base,
        account_id="A1",
        borrower_id="B1",
        plan_id=plan_id,
        offer_id="o1",
        option_id="op1",
        currency=a.currency,
        activated_on=a.on(day),
        annual_rate_bps=0,
        waived=ev.Amounts(),
        instalments=instalments,
        caused_by="answer",
    )


def _for_a_time(a: Author, day: int) -> None:
    """Agree on token payments or a payment holiday, which are kept or not."""
    rng = a.rng
    days = rng.choice((1, 28, 60, 91))
    dues = sorted(rng.sample(range(day, day + days + 1), rng.choice((0, 1, 2)))) if days > 2 else []
    amounts = [rng.choice((500, 5_000)) for _ in dues]
    asks = tuple(
        ev.PlanInstalment(number=n, due_on=a.on(due), amount=part, principal=part, interest=0)
        for n, (due, part) in enumerate(zip(dues, amounts, strict=True), 1)
    )
    a.put(
        day,
        replace(
            _agreed(a, day, asks),
            distressed_obligation_bps=rng.choice((0, 0, 101)),
            arrangement="token" if dues else "payment_holiday",
            review_on=a.on(day + rng.randint(0, days)),
            ends_on=a.on(day + days),
        ),
    )
    payments(a, [*zip(dues, amounts, strict=True)][: rng.choice((2, 2, 1, 0))])


def _plan(a: Author, day: int) -> bool:
    rng = a.rng
    account = look(a, day)
    owed = account.owed()
    if account.ended or not sum(owed.values()):
        return False
    waived = {
        c: rng.choice((owed[c], owed[c] // 2, owed[c] + 50))
        for c in rng.sample(("penalty", "interest", "fees", "principal"), rng.choice((0, 0, 1, 2)))
        if c != "principal" or rng.random() < 0.3
    }
    financed = sum(owed.values()) - sum(min(owed[c], waived.get(c, 0)) for c in owed)
    today = (a.start + timedelta(days=day)).toordinal()
    billed = sum(i.owed for i in account.money.instalments if i.billed and i.due > today)
    # Where a statement came after the offer, the plan was agreed without it.
    principal = financed - (billed if rng.random() < 0.6 else 0)
    principal += rng.choice(
        (0, 0, 0, 0, 1, -1, 90, -90, financed // 10, -financed // 10, financed // 2, -financed // 2)
    )
    if principal <= 0:
        return False
    rate = rng.choice((0, 0, 900, 1825))
    number = rng.choice((1, 2, 3, 3, 4, 6, 10))
    dues = a.dates(day + rng.choice((1, 15, 28, 30, 31)), number)
    if rng.random() < 0.7:
        # The planner's own dates keep clear of days on which banks do not work.
        rolled = [(account.policy.due_days.roll(a.on(due)) - a.start).days for due in dues]
        dues = rolled if rolled[0] > day else dues
    rows = _rows(a, principal, rate, dues)
    a.put(
        day,
        replace(
            _agreed(a, day, tuple(rows)),
            annual_rate_bps=rate,
            waived=ev.Amounts(**waived),
            distressed_obligation_bps=rng.choice((0, 0, 50, 101)),
        ),
    )
    # The plan's instalments are paid on top of what was paid anyway, all of them or all but the last ones.
    asked = [((i.due_on - a.start).days, i.amount) for i in rows]
    payments(a, asked[: rng.choice((len(asked), len(asked), len(asked), -1, 1))])
    if rng.random() < 0.35:
        _pause(a, account, day)
    if rng.random() < 0.15:
        on = day + rng.randint(1, 60)
        if on < a.days:
            a.pay(on, sum(i.owed for i in look(a, on).money.instalments) + rng.choice((0, 0, -1)))
    return True


def _pause(a: Author, account: Account, day: int) -> None:
    """Place a hold that pauses the plan, or another, which may overlap another still."""
    rng = a.rng
    kinds = account.policy.delinquency.pausing_holds or HOLDS
    for _ in range(rng.choice((1, 1, 2))):
        start = day + rng.randint(-5, 70)
        if not 0 <= start < a.days:
            continue
        base = a.base(start)
        end = rng.choice((None, start + rng.choice((0, 10, 35, 90))))
        a.put(
            start,
            ev.HoldPlaced(
                **base,
                hold_id=f"h{a.ids}",
                account_id="A1",
                kind=rng.choice(kinds),
                from_on=a.on(start),
                until_on=None if end is None else a.on(end),
            ),
        )
        if end is None or rng.random() < 0.3:
            release(a, start + rng.choice((1, 20, 31, 100)), f"h{a.ids}")


def _rows(a: Author, principal: int, rate: int, dues: list[int]) -> list[ev.PlanInstalment]:
    deferred = a.rng.choice((0, 0, 0, 1, 2)) if len(dues) > 2 else 0
    balance = principal
    rows = []
    for n, due in enumerate(dues, 1):
        interest = rounded(Fraction(balance * rate, 120_000), "half_up")
        left = len(dues) - n + 1
        part = 0 if n <= deferred else balance if left == 1 else balance // left
        if n <= deferred and a.rng.random() < 0.5:
            interest = 0
        balance -= part
        rows.append(
            ev.PlanInstalment(number=n, due_on=a.on(due), amount=part + interest, principal=part, interest=interest)
        )
    return rows
