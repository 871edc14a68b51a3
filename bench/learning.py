"""`python -m bench.learning [--seeds N] [--offers N] [--plot FILE]`: what learning is worth, against a known truth.

By seed options are recommended by uniform choice, by the fixed order, by what was learned, and by the best in
truth. Regret is the reward that was to be expected less than under the best. Estimates from logged decisions are
held against the truth, and two shares of borrowers that are treated alike are compared, where nothing may be found.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import accumulate
from pathlib import Path
from statistics import fmean as mean
from typing import NamedTuple

from agents.learner.ranking import FixedOrder, Uniform, row_of
from bench.measure import chart, machine
from evaluation.estimators import Decision, Estimated, OffPolicy, difference, estimate
from state.learning import MILLI
from state.policy_packs.loader import default_book
from tests.support.choices import Opportunity, Played, best, learned, opportunities, play

_POINTS = 200
WAYS = ("uniform", "fixed order", "learned", "best")


class Trial(NamedTuple):
    """What one seed gave, by way to recommend."""

    regrets: dict[str, list[float]]
    rewards: dict[str, float]
    recovered: dict[str, float]
    cured: dict[str, float]


def given(seed: int, offers: int) -> list[Opportunity]:
    """Return a seed's offers."""
    return list(opportunities(offers, seed, default_book().policy_for("CN", "personal_loan")))


def trial(seed: int, offers: int) -> Trial:
    """Recommend options of a seed's offers in each way."""
    chances = given(seed, offers)
    played = {
        "uniform": play(chances, Uniform()),
        "fixed order": play(chances, FixedOrder()),
        "learned": play(chances, learned),
        "best": play(chances, FixedOrder(), best),
    }
    return Trial(
        {way: list(accumulate(p.regrets)) for way, p in played.items()},
        {way: sum(p.rewards) / MILLI / offers for way, p in played.items()},
        {
            way: mean(c.recovered(option) for c, option in zip(chances, p.recommended, strict=True))
            for way, p in played.items()
        },
        {
            way: mean(c.cured(option) for c, option in zip(chances, p.recommended, strict=True))
            for way, p in played.items()
        },
    )


def decisions(chances: Sequence[Opportunity], played: Played) -> list[Decision]:
    """Return what a log holds of offers."""
    return [
        Decision(
            # Without the constant and the recommendation, of which the estimator has its own.
            tuple(tuple(v / MILLI for v in row_of(o, c.context, recommended=False)[1:-1]) for o in c.context.options),
            recommended,
            tuple(propensities),
            reward / MILLI,
        )
        for c, recommended, propensities, reward in zip(
            chances, played.recommended, played.propensities, played.rewards, strict=True
        )
    ]


def by_fixed_order(chance: Opportunity) -> list[float]:
    """Return the probabilities with which the fixed order recommends: certainty."""
    recommended = FixedOrder().rank(chance.context).recommended
    return [1.0 if o.option_id == recommended else 0.0 for o in chance.context.options]


def judged(seed: int, offers: int) -> tuple[OffPolicy, float]:
    """Return what is estimated of the fixed order from recommendations by chance, and the truth."""
    chances = given(seed, offers)
    target = [by_fixed_order(c) for c in chances]
    truth = sum(c.expected(t.index(1.0)) for c, t in zip(chances, target, strict=True)) / offers
    return estimate(decisions(chances, play(chances, Uniform())), target), truth


def alike(seed: int, offers: int) -> Estimated:
    """Return the difference in reward between two halves of borrowers that are treated alike."""
    rewards = [r / MILLI for r in play(given(seed, offers), FixedOrder()).rewards]
    return difference(rewards[::2], rewards[1::2])


def interval(values: Sequence[float]) -> str:
    """Return a mean over seeds with its 95 % interval."""
    mean = statistics.fmean(values)
    half = 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{mean:.4f} ± {half:.4f}"


def plot(trials: Sequence[Trial], file: Path) -> None:
    """Draw the regret, offer by offer: the mean over seeds and the range of the middle nine tenths."""
    with chart(file, 4.5) as axes:
        offers = len(trials[0].regrets[WAYS[0]])
        shown = range(0, offers, max(1, offers // _POINTS))
        outside = len(trials) // 20
        for way in WAYS[:3]:
            curves = [sorted(t.regrets[way][n] for t in trials) for n in shown]
            (line,) = axes.plot(shown, [statistics.fmean(c) for c in curves], label=way)
            low, high = [c[outside] for c in curves], [c[-1 - outside] for c in curves]
            axes.fill_between(shown, low, high, alpha=0.2, color=line.get_color())
        axes.set_xlabel("offers")
        axes.set_ylabel("cumulative regret (kept plans)")
        axes.legend()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--offers", type=int, default=4_000)
    parser.add_argument("--judged", type=int, default=50)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    print(machine())
    with ProcessPoolExecutor(2) as pool:
        trials = list(pool.map(partial(trial, offers=asked.offers), range(asked.seeds)))
        estimates = list(pool.map(partial(judged, offers=1_000), range(100, 100 + asked.judged)))
        nulls = list(pool.map(partial(alike, offers=1_000), range(200, 200 + asked.judged)))
    uniform = statistics.fmean(t.regrets["uniform"][-1] for t in trials)
    print(f"{asked.seeds} seeds of {asked.offers:,} offers\n")
    print(
        "| recommended by | cumulative regret | of uniform's | reward an offer | recovered by plans | cured by plans |"
    )
    print("|---|---|---:|---|---|---|")
    for way in WAYS:
        regret = statistics.fmean(t.regrets[way][-1] for t in trials)
        print(
            f"| {way} | {interval([t.regrets[way][-1] for t in trials])} | {regret / uniform:.0%} | "
            f"{interval([t.rewards[way] for t in trials])} | {interval([t.recovered[way] for t in trials])} | "
            f"{interval([t.cured[way] for t in trials])} |"
        )
    for name in ("ips", "snips", "doubly_robust"):
        held = sum(getattr(e, name).holds(truth) for e, truth in estimates)
        print(f"{name}: the truth is inside the 95 % interval in {held} of {len(estimates)} runs")
    print(
        f"two shares treated alike: 0 is inside the 95 % interval in {sum(n.holds(0.0) for n in nulls)} of {len(nulls)}"
    )
    if asked.plot is not None:
        plot(trials, asked.plot)


if __name__ == "__main__":
    main()
