"""The truth of offers, and a learner of another house on the same offers."""

from __future__ import annotations

from functools import cache
from itertools import product
from statistics import fmean

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.learner.ranking import Uniform, row_of
from state.learning import MILLI
from state.policy_packs.loader import default_book
from tests.support.choices import Opportunity, best, fate, learned, opportunities, play

COUNT = 1_500


# Not when this file is read, which each process of the suite does.
@cache
def chances() -> list[Opportunity]:
    return list(opportunities(COUNT, 11, default_book().policy_for("CN", "personal_loan")))


def test_what_comes_of_offers_is_what_is_expected_of_them() -> None:
    rewards, expected = [], []
    for n, chance in enumerate(chances()):
        recommended = n % len(chance.accepted)
        assert sum(chance.accepted[recommended]) < 1
        rewards.append(chance.outcome(recommended)[1] / MILLI)
        expected.append(chance.expected(recommended))
    error = float(np.std(np.array(rewards) - np.array(expected))) / COUNT**0.5
    assert abs(fmean(rewards) - fmean(expected)) < 3 * error


def test_the_best_recommendation_has_no_regret_and_sells_more() -> None:
    assert play(chances(), Uniform(), best).regret() == 0
    for chance in chances()[:50]:
        for option in range(len(chance.kept)):
            assert chance.accepted[option][option] == max(
                chance.accepted[recommended][option] for recommended in range(len(chance.kept))
            )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 10_000), min_size=1, max_size=9),
    st.floats(0, 1),
    st.integers(1, 4),
    st.integers(1, 60_000),
)
def test_the_fate_of_a_plan_is_the_sum_over_all_that_may_come(
    amounts: list[int], kept: float, ends: int, owed: int
) -> None:
    brought = completed = 0.0
    for story in product((True, False), repeat=len(amounts)):
        probability, paid, missed = 1.0, 0.0, 0
        for amount, keeps in zip(amounts, story, strict=True):
            probability *= kept if keeps else 1 - kept
            if missed < ends:
                paid += amount if keeps else 0
                missed = 0 if keeps else missed + 1
        brought += probability * paid
        completed += probability * (missed < ends)
    share, whole = fate(amounts, kept, owed, ends)
    assert abs(share - min(1.0, brought / owed)) < 1e-9
    assert abs(whole - completed) < 1e-9


def of_mabwiser(given: list[Opportunity]) -> float:
    """Return the regret of mabwiser's linear Thompson sampling, which is told as often as ours: an arm a place."""
    # It brings scikit-learn and pandas.
    from mabwiser.mab import MAB, LearningPolicy

    arms = list(range(4))
    policy = LearningPolicy.LinTS(alpha=0.15)
    mab = MAB(arms, policy, seed=5)
    start = [[0.0] * len(_context(given[0]))] * len(arms)
    mab.fit(arms, [0.0] * len(arms), start)
    waiting: list[tuple[int, float, list[float]]] = []
    regret = 0.0
    for number, chance in enumerate(given):
        context = _context(chance)
        expected = mab.predict_expectations([context])
        recommended = max(range(len(chance.kept)), key=expected.__getitem__)
        waiting.append((recommended, chance.outcome(recommended)[1] / MILLI, context))
        if number % 20 == 19 and len(waiting) > 50:
            told, waiting = waiting[:-50], waiting[-50:]
            mab.partial_fit([a for a, _, _ in told], [r for _, r, _ in told], [c for _, _, c in told])
        regret += max(map(chance.expected, range(len(chance.kept)))) - chance.expected(recommended)
    return regret


def _context(chance: Opportunity) -> list[float]:
    rows = [row_of(o, chance.context, recommended=False) for o in chance.context.options]
    rows += [(0,) * len(rows[0])] * (4 - len(rows))
    return [1.0, *(v / MILLI for row in rows for v in row[1:-1])]


def test_it_is_not_worse_than_another_librarys_learner() -> None:
    assert play(chances(), learned).regret() <= of_mabwiser(chances())
