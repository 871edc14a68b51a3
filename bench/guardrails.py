"""`python -m bench.guardrails [--runs N]`: how often chance alone trips a guardrail, and how soon what goes wrong does.

Days of offers are drawn with known shares, the hold-out has the house's share of them, and guardrails are looked at
each day as the learner does it. First nothing is wrong for three years; then, after a good year, none of
the learned recommendations is accepted, eight times as many plans break, or one in five offers meets a complaint.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product

import numpy as np

from agents.learner.guardrails import breach_of, recent
from bench.measure import machine
from state.learning import LearnerState, OfferOutcomes
from state.policy import Learning
from state.policy_packs.loader import default_book

A_DAY, ACCEPTED = (20, 140, 1_000), (0.2, 0.35, 0.6)
DUE, BROKEN, COMPLAINTS = 3.0, 0.03, 0.01
GOOD_DAYS, LATER = 3 * 365, 365
WRONG = {
    "none accepted": {"accepted": 0.0},
    "plans break": {"broken": 8 * BROKEN},
    "complaints": {"complaints": 0.2},
}


def drawn(
    chance: np.random.Generator,
    mean: float,
    accepted: float,
    broken: float = BROKEN,
    complaints: float = COMPLAINTS,
    due: float = 0.0,
) -> OfferOutcomes:
    """Return a day of so many offers in the mean, with chance in all of it. due: the mean of what falls due."""
    offers, fell = int(chance.poisson(mean)), int(chance.poisson(due))
    return OfferOutcomes(
        offers,
        int(chance.binomial(offers, accepted)),
        fell,
        int(chance.binomial(fell, broken)),
        int(chance.binomial(offers, complaints)),
    )


def noticed(
    seed: int, a_day: int, accepted: float, rules: Learning, days: int, wrong: str = ""
) -> tuple[str, int, int] | None:
    """Return the guardrail that trips, and after how many days and learned offers behind the good ones, if one does."""
    chance, state, offers = np.random.default_rng(seed), LearnerState("lead"), 0
    held = rules.holdout_bps / 10_000
    good = days if not wrong else LATER
    for day in range(1, days + 1):
        of = {"accepted": accepted} | (WRONG[wrong] if day > good else {})
        # What falls due is of plans that were accepted before, so it stays as it was.
        due = DUE * accepted * a_day
        state.learned[day] = drawn(chance, (1 - held) * a_day, **of, due=(1 - held) * due)
        state.control[day] = drawn(chance, held * a_day, accepted, due=held * due)
        offers += state.learned[day].offers if day > good else 0
        breach = breach_of(*recent(state, rules, day), rules)
        if breach is not None:
            return breach.guardrail, day - good, offers
    return None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=24)
    asked = parser.parse_args()
    rules = default_book().policy_for("", "").learning
    print(machine())
    print(
        "\n| offers a day | accepted | years without a cause | trips |",
        *[f" {w}: days, offers |" for w in WRONG],
        sep="",
    )
    print("|---:|---:|---:|---:|---|---|---|")
    with ProcessPoolExecutor(2) as pool:
        for a_day, accepted in product(A_DAY, ACCEPTED):
            said = partial(noticed, a_day=a_day, accepted=accepted, rules=rules)
            trips = list(pool.map(partial(said, days=GOOD_DAYS), range(asked.runs)))
            line = f"| {a_day:,} | {accepted:.0%} | {asked.runs * 3} | {sum(t is not None for t in trips)} |"
            for wrong in WRONG:
                found = list(pool.map(partial(said, days=LATER + 365, wrong=wrong), range(1_000, 1_000 + asked.runs)))
                after = [t for t in found if t is not None and t[1] > 0]
                most = f"{max(t[1] for t in after)}, {max(t[2] for t in after):,}" if len(after) == len(found) else "-"
                line += f" {most} |"
            print(line, flush=True)


if __name__ == "__main__":
    main()
