"""Arrangements for a time, for a borrower who can afford no plan: token payments and payment holidays as options.

The contracts stay as they are, so an arrangement repays only what it asks for, and nothing is charged for the delay.
Its loss is that of what falls due later than the contracts say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from agents.amounts import exposure_of, owed, summed
from agents.planner.offer_texts import Locale, arrangement_label, arrangement_reasons
from schemas import events as ev
from state.affordability import RepaymentCapacity
from state.calendars import add_months
from state.policy import Policy
from state.schedules import discount_factors, due_dates, loss_bps

# What an arrangement is called in the offer that recommends it.
KINDS: dict[ev.Arrangement, str] = {"token": "token", "payment_holiday": "moratorium"}


def arrangements(
    debts: Sequence[ev.Debt], capacity: RepaymentCapacity, policy: Policy, first_due: date, locale: Locale
) -> tuple[tuple[ev.Option, ...], tuple[ev.Candidate, ...]]:
    """Return the arrangements that may be offered, best first, and why others are not."""
    options: list[ev.Option] = []
    candidates: list[ev.Candidate] = []
    for kind in policy.arrangements.offered:
        months = policy.arrangements.token_months if kind == "token" else policy.options.moratorium_months
        verdict = _rejection(kind, months, debts, capacity, policy)
        name = f"{kind}-{months}m"
        if verdict == "kept":
            options.append(_option(name, kind, months, debts, policy, first_due, locale))
        candidates.append(ev.Candidate(option_id=name, value=0.0, accept_bps=0, keep_bps=0, verdict=verdict))
    return tuple(options), tuple(candidates)


def _rejection(kind: str, months: int, debts: Sequence[ev.Debt], capacity: RepaymentCapacity, policy: Policy) -> str:
    if months >= policy.plans.max_term_months:
        return "over_legal_term"
    if kind == "token":
        amount = policy.options.token_payment
        if not amount:
            return "not_permitted"
        if sum(min(amount, owed(d)) for d in debts) > capacity.max_instalment:
            return "not_affordable"
    return "kept"


def _option(
    name: str,
    kind: ev.Arrangement,
    months: int,
    debts: Sequence[ev.Debt],
    policy: Policy,
    first_due: date,
    locale: Locale,
) -> ev.Option:
    amount = policy.options.token_payment if kind == "token" else 0
    dues = due_dates(first_due, months, policy.due_days) if amount else ()
    # A month behind the last payment, so that it can still be made; a holiday asks again at the end of its last month.
    ends_on = add_months(first_due, months if amount else months - 1)
    review_on = max(ends_on - timedelta(days=policy.arrangements.review_days), first_due - timedelta(days=1))
    asks = [_asks(dues, amount, owed(d)) for d in debts]
    shares = tuple(
        ev.Share(
            account_id=d.account_id,
            financed=sum(i.amount for i in due),
            waived=ev.Amounts(),
            annual_rate_bps=d.annual_rate_bps,
            instalments=due,
        )
        for d, due in zip(debts, asks, strict=True)
    )
    together = summed(shares)
    most, exposure = max((i.amount for i in together), default=0), exposure_of(debts)
    delay = sum(_loss(d, [i.amount for i in due], months) for d, due in zip(debts, asks, strict=True))
    messages = policy.messages(locale, debts[0].jurisdiction)
    currency = debts[0].currency
    return ev.Option(
        option_id=name,
        label=arrangement_label(kind, max(1, len(together)), most, ends_on, currency, messages),
        instalments=together,
        term_months=months,
        instalment_amount=most,
        annual_rate_bps=max(d.annual_rate_bps for d in debts),
        waived=ev.Amounts(),
        total_cost=sum(i.amount for i in together),
        saves=0,
        npv=round(exposure - delay),
        distressed_obligation_bps=loss_bps(exposure, exposure - delay),
        shares=shares,
        reasons=arrangement_reasons(kind, ends_on, review_on, messages),
        arrangement=kind,
        review_on=review_on,
        ends_on=ends_on,
    )


def _asks(dues: Sequence[date], amount: int, owed_: int) -> tuple[ev.PlanInstalment, ...]:
    """Return payments of an amount, or of what is left where that is less, as long as something is."""
    parts = [min(amount, owed_ - n * amount) for n in range(len(dues))]
    return tuple(
        ev.PlanInstalment(number=n, due_on=due, amount=part, principal=part, interest=0)
        for n, (due, part) in enumerate(zip(dues, parts, strict=True), 1)
        if part > 0
    )


def _loss(debt: ev.Debt, paid: Sequence[int], months: int) -> float:
    """Return what the delay of a debt loses of its present value: what falls due meanwhile comes at the end.

    paid: month by month. The contract's instalments of these months are taken for what it asks for next.
    """
    factors = discount_factors(debt.annual_rate_bps)
    last = months + 1 if paid else months
    due = [debt.overdue_amount]
    for _ in range(last):
        due.append(min(max(0, owed(debt) - sum(due)), debt.contract_instalment))
    before = sum(part * factors[n] for n, part in enumerate(due))
    after = sum(part * factors[n] for n, part in enumerate(paid, 1))
    return max(0.0, before - after - max(0, sum(due) - sum(paid)) * factors[last])
