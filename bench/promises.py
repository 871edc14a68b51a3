"""What every option promises, checked on many simulated offers by means that are not Reprieve's own.

`python -m bench.promises [--offers 100000] [--seed 1]`: borrowers of three countries with one to three debts, from a
few cents to millions, met with the real packs. Schedules are worked out again in exact fractions, present values by
numpy-financial. Prints what was offered, and fails where an option breaks a promise.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from fractions import Fraction
from random import Random

import numpy_financial as npf
from msgspec import Struct

from agents.planner.options import OptionSet, build_options
from schemas import events as ev
from state.affordability import RepaymentCapacity
from state.policy import Policy
from state.policy_packs.loader import default_book

DUE = date(2026, 5, 31)
KINDS = (
    ("CN", "credit_card", "CNY"),
    ("CN", "personal_loan", "CNY"),
    ("US", "personal_loan", "USD"),
    ("EU", "loan", "EUR"),
)
CHUNK = 1_000


class OfferCase(Struct):
    """What an offer is made for."""

    debts: list[ev.Debt]
    means: RepaymentCapacity
    policy: Policy


def offer_cases(offers: int, seed: int) -> Iterator[OfferCase]:
    """Yield so many borrowers in trouble."""
    dice, book = Random(seed), default_book()
    for _ in range(offers):
        jurisdiction, product, currency = dice.choice(KINDS)
        debts = [_debt(dice, n, jurisdiction, product, currency) for n in range(dice.choice((1, 1, 1, 2, 3)))]
        surplus = round(10 ** dice.uniform(3.5, 6.8))
        means = RepaymentCapacity(
            disposable_income=surplus,
            max_instalment=surplus * 4 // 10,
            currency=currency,
            max_term_months=dice.choice((None, None, 12, 24, 36)),
            credit_score=dice.choice((None, dice.randint(300, 850))),
        )
        yield OfferCase(debts, means, book.policy_for(jurisdiction, product))


def _debt(dice: Random, number: int, jurisdiction: str, product: str, currency: str) -> ev.Debt:
    principal = 0 if dice.random() < 0.05 else round(10 ** dice.uniform(0, 7.3))
    owed = ev.Amounts(
        principal=principal,
        interest=dice.randint(0, max(1, principal // 5)),
        fees=dice.choice((0, dice.randint(0, 5_000))),
        penalty=dice.randint(0 if principal else 1, max(1, principal // 10)),
    )
    return ev.Debt(
        account_id=f"A{number}",
        product=product,
        jurisdiction=jurisdiction,
        currency=currency,
        annual_rate_bps=dice.choice((0, dice.randint(1, 3_600))),
        outstanding=owed,
        overdue_amount=max(1, principal // 4),
        days_past_due=dice.randint(31, 400),
        missed=3,
        bucket="dpd_61_90",
        bad_debt="none",
        stage=2,
        remaining_months=dice.randint(0, 48),
        contract_instalment=principal // 12,
        contract_total=owed.principal + owed.interest + owed.fees + owed.penalty + principal // 7,
    )


def broken(case: OfferCase, found: OptionSet) -> list[str]:
    """Return the promises that an offer breaks, each with what it found."""
    said = []
    chosen = found.kind in ("plan", "token", "moratorium")
    if chosen != bool(found.options) or len(found.options) > case.policy.options.max_published:
        said.append(f"{found.kind} with {len(found.options)} options")
    for option in found.options:
        promises = _option if option.arrangement == "repayment" else _arrangement
        said += [f"{option.option_id}: {why}" for why in promises(case, option)]
    return said


def _option(case: OfferCase, option: ev.Option) -> Iterator[str]:
    means, policy, rules = case.means, case.policy, case.policy.options
    months: dict[date, int] = {}
    value = exposure = forgiven = 0.0
    for debt, share in zip(case.debts, option.shares, strict=True):
        o, w = debt.outstanding, share.waived
        owed = o.principal + o.interest + o.fees + o.penalty
        exposure += owed
        forgiven += w.interest + w.penalty
        if w.principal or w.fees or w.interest not in (0, o.interest) or w.penalty not in (0, o.penalty):
            yield f"waives {w}"
        if share.financed != owed - w.interest - w.penalty:
            yield f"finances {share.financed} of {owed}"
        yield from _schedule(share)
        cut = 1 - share.annual_rate_bps / debt.annual_rate_bps if debt.annual_rate_bps else 0.0
        allowed = 1.0 if (means.credit_score or 0) >= rules.rate_relief_score else rules.authority_rate_cut_bps / 1e4
        if cut < 0 or cut > allowed + 1 / max(debt.annual_rate_bps, 1):
            yield f"cuts {debt.annual_rate_bps} to {share.annual_rate_bps}"
        amounts = [i.amount for i in share.instalments]
        value += npf.npv(debt.annual_rate_bps / 120_000, [0, *amounts])
        for i in share.instalments:
            months[i.due_on] = months.get(i.due_on, 0) + i.amount
    if months != {i.due_on: i.amount for i in option.instalments}:
        yield "the sum of its shares is another schedule"
    if max(months.values()) > means.max_instalment:
        yield f"asks for {max(months.values())} of {means.max_instalment}"
    if len(months) > min(policy.plans.max_term_months, means.max_term_months or 10**6):
        yield f"takes {len(months)} months"
    if forgiven * 10_000 > exposure * rules.authority_waiver_bps:
        yield f"forgives {forgiven} of {exposure}"
    if option.total_cost != sum(months.values()) or option.instalment_amount != max(months.values()):
        yield "states another cost or instalment than it has"
    if option.saves != sum(d.contract_total or 0 for d in case.debts) - option.total_cost:
        yield f"states a saving of {option.saves}"
    if option.annual_rate_bps != max(s.annual_rate_bps for s in option.shares):
        yield f"states a rate of {option.annual_rate_bps}"
    if abs(option.npv - value) > 1:
        yield f"states a value of {option.npv}, numpy-financial {value:.2f}"
    if (exposure - value) / exposure * 10_000 > rules.max_npv_loss_bps + 1:
        yield f"loses {(exposure - value) / exposure:.2%}"
    if not option.reasons:
        yield "gives no reason"


def _arrangement(case: OfferCase, option: ev.Option) -> Iterator[str]:
    months: dict[date, int] = {}
    loss = exposure = 0.0
    last = (option.ends_on.year - DUE.year) * 12 + option.ends_on.month - DUE.month + 1 if option.ends_on else 0
    for debt, share in zip(case.debts, option.shares, strict=True):
        o = debt.outstanding
        owed = o.principal + o.interest + o.fees + o.penalty
        exposure += owed
        due = [debt.overdue_amount]
        for _ in range(last):
            due.append(min(debt.contract_instalment, max(0, owed - sum(due))))
        asked = [i.amount for i in share.instalments]
        paid = [0, *asked, *(0 for _ in range(last - len(asked)))]
        paid[last] += max(0, sum(due) - sum(paid))
        loss += max(0, npf.npv(debt.annual_rate_bps / 120_000, due) - npf.npv(debt.annual_rate_bps / 120_000, paid))
        if sum(asked) > owed or share.waived != ev.Amounts() or share.annual_rate_bps != debt.annual_rate_bps:
            yield f"asks for {sum(asked)} of {owed}, waives {share.waived}"
        for i in share.instalments:
            months[i.due_on] = months.get(i.due_on, 0) + i.amount
    most = max(months.values(), default=0)
    if months != {i.due_on: i.amount for i in option.instalments} or most > case.means.max_instalment:
        yield f"asks for {months} of {case.means.max_instalment}"
    if (option.instalment_amount, option.total_cost) != (most, sum(months.values())):
        yield "states another cost or instalment than it has"
    if abs(option.npv - (exposure - loss)) > 1:
        yield f"states a value of {option.npv}, numpy-financial {exposure - loss:.2f}"
    if not option.reasons:
        yield "gives no reason"


def _schedule(share: ev.Share) -> Iterator[str]:
    balance, due = share.financed, None
    for i in share.instalments:
        exact = Fraction(balance * share.annual_rate_bps, 120_000)
        if abs(i.interest - exact) > Fraction(1, 2) or i.principal < 0 or i.amount != i.principal + i.interest:
            yield f"asks for interest {i.interest} on {balance} at {share.annual_rate_bps}"
        if due is not None and not 28 <= (i.due_on - due).days <= 31:
            yield f"is due on {due} and {i.due_on}"
        balance, due = balance - i.principal, i.due_on
    if balance:
        yield f"leaves {balance}"


def check(offers: int, seed: int) -> tuple[Counter[str], list[str], list[float]]:
    """Make and check so many offers; return their kinds, what is broken, and the milliseconds that each took."""
    kinds: Counter[str] = Counter()
    said: list[str] = []
    times = []
    for number, case in enumerate(offer_cases(offers, seed)):
        began = time.perf_counter()
        found = build_options(case.debts, case.means, case.policy, DUE)
        times.append((time.perf_counter() - began) * 1_000)
        kinds[found.kind] += 1
        kinds["options"] += len(found.options)
        said += [f"seed {seed}, offer {number}: {why}" for why in broken(case, found)]
    return kinds, said, times


def main() -> int:
    """Check and print; return 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--offers", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    kinds: Counter[str] = Counter()
    said: list[str] = []
    times: list[float] = []
    parts = range(given.seed, given.seed + -(-given.offers // CHUNK))
    with ProcessPoolExecutor() as pool:
        for found in pool.map(check, [CHUNK] * len(parts), parts):
            kinds += found[0]
            said += found[1]
            times += found[2]
    times.sort()
    made = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()) if kind != "options")
    print(f"{len(times):,} offers ({made}) with {kinds['options']:,} options: {len(said):,} promises broken")
    print(f"an offer took {times[len(times) // 2]:.2f} ms (median), {times[len(times) * 99 // 100]:.2f} ms (p99)")
    for line in said[:20]:
        print(line)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
