"""One offer: the grid of options of a borrower weighed, chosen and amortised.

`python -m bench.offers [--borrowers N]`: random borrowers from a seed with one to three debts, each met for the
first time, so that nothing of their rates is computed before.
"""

from __future__ import annotations

import argparse
import statistics
import time
from datetime import date
from random import Random

from agents.planner.options import build_options
from bench.measure import machine
from schemas import events as ev
from state.affordability import RepaymentCapacity
from state.learning import Posterior
from state.policy_packs.loader import default_book
from tests.support.choices import learned, opportunities, play


def debt(dice: Random, number: int) -> ev.Debt:
    """Return a card debt of a random size and rate."""
    principal = dice.randint(200_000, 8_000_000)
    return ev.Debt(
        account_id=f"A{number}",
        product="credit_card",
        jurisdiction="CN",
        currency="CNY",
        annual_rate_bps=dice.randint(600, 2_400),
        outstanding=ev.Amounts(principal=principal, interest=principal // 30, fees=500, penalty=principal // 60),
        overdue_amount=principal // 6,
        days_past_due=dice.randint(31, 120),
        missed=3,
        bucket="dpd_61_90",
        bad_debt="none",
        stage=2,
        remaining_months=24,
        contract_instalment=principal // 20,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--borrowers", type=int, default=400)
    borrowers = parser.parse_args().borrowers
    policy = default_book().policy_for("CN", "credit_card")
    print(machine())
    for count in (1, 2, 3):
        dice = Random(count)
        times, plans = [], 0
        for _ in range(borrowers):
            debts = [debt(dice, n) for n in range(count)]
            surplus = dice.randint(50_000, 900_000)
            means = RepaymentCapacity(
                disposable_income=surplus,
                max_instalment=surplus * 4 // 10,
                currency="CNY",
                credit_score=dice.randint(500, 800),
            )
            began = time.perf_counter()
            plans += bool(build_options(debts, means, policy, date(2026, 5, 31)).options)
            times.append((time.perf_counter() - began) * 1000)
        times.sort()
        print(
            f"{count} debts: median {statistics.median(times):.2f} ms, p95 {times[len(times) * 95 // 100]:.2f} ms, "
            f"{plans} of {borrowers} with a plan; target < 5 ms"
        )
    learned_recommendations(borrowers)


def learned_recommendations(offers: int) -> None:
    """Measure a recommendation by what was learned from as many offers before, with its propensities."""
    chances = list(opportunities(2 * offers, 1, default_book().policy_for("CN", "personal_loan")))
    ranker = learned(Posterior(play(chances[:offers], learned).statistics))
    times = []
    for chance in chances[offers:]:
        began = time.perf_counter()
        ranker.rank(chance.context)
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    median, p95 = statistics.median(times), times[len(times) * 95 // 100]
    print(f"a learned recommendation: median {median:.2f} ms, p95 {p95:.2f} ms more")


if __name__ == "__main__":
    main()
