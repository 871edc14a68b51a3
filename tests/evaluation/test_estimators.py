"""Off-policy estimates against a known truth."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.learner.ranking import FixedOrder, Uniform
from bench.learning import by_fixed_order, decisions
from evaluation.estimators import Decision, Estimated, difference, estimate
from state.policy_packs.loader import default_book
from tests.support.choices import Opportunity, learned, opportunities, play


@cache
def chances(seed: int) -> list[Opportunity]:
    """Return a seed's offers."""
    return list(opportunities(300, seed, default_book().policy_for("CN", "personal_loan")))


def test_the_true_value_is_within_the_randomised_estimate() -> None:
    held = {"ips": 0, "snips": 0, "doubly_robust": 0}
    seeds = range(12)
    for seed in seeds:
        found = chances(seed)
        target = [by_fixed_order(c) for c in found]
        truth = sum(c.expected(t.index(1.0)) for c, t in zip(found, target, strict=True)) / len(found)
        estimated = estimate(decisions(found, play(found, Uniform())), target)
        for name in held:
            held[name] += getattr(estimated, name).holds(truth)
    # The whole run of 50 seeds is `python -m bench.learning`.
    assert min(held.values()) >= 10, held


def test_what_was_logged_estimates_itself_exactly() -> None:
    found = chances(3)
    played = play(found, learned)
    logged = decisions(found, played)
    estimated = estimate(logged, played.propensities)
    mean = sum(d.reward for d in logged) / len(logged)
    assert estimated.ips.value == pytest.approx(mean)
    assert estimated.snips.value == pytest.approx(mean)
    assert estimated.effective_sample_size == pytest.approx(len(logged))
    assert estimated.doubly_robust.holds(mean)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.05, 0.95), st.booleans(), st.floats(0, 1)), min_size=2, max_size=30),
    st.floats(0.01, 0.99),
)
def test_weights_shift_what_is_estimated_as_they_should(logged: list[tuple[float, bool, float]], wanted: float) -> None:
    given_ = [Decision(((0.0,), (1.0,)), int(second), (p, 1 - p), r) for p, second, r in logged]
    estimated = estimate(given_, [(wanted, 1 - wanted)] * len(given_))
    weights = [(1 - wanted) / (1 - p) if second else wanted / p for p, second, _ in logged]
    assert estimated.ips.value == pytest.approx(
        sum(w * r for w, (*_, r) in zip(weights, logged, strict=True)) / len(logged)
    )
    assert min(r for *_, r in logged) - 1e-9 <= estimated.snips.value <= max(r for *_, r in logged) + 1e-9
    assert 1 - 1e-9 <= estimated.effective_sample_size <= len(logged) + 1e-9
    assert estimated.ips.low <= estimated.ips.value <= estimated.ips.high


def test_shares_that_are_treated_alike_do_not_differ() -> None:
    found = 0
    for seed in range(12):
        rewards = [r / 1000 for r in play(chances(seed), FixedOrder()).rewards]
        found += not difference(rewards[::2], rewards[1::2]).holds(0.0)
    assert found <= 2


def test_a_difference_that_is_there_is_found() -> None:
    assert difference([1.0, 0.9, 1.1] * 20, [0.5, 0.6, 0.4] * 20) == Estimated(
        pytest.approx(0.5), pytest.approx(0.4708, abs=1e-3), pytest.approx(0.5292, abs=1e-3)
    )


def test_what_cannot_be_estimated_is_refused() -> None:
    one = Decision(((0.0,), (1.0,)), 0, (1.0, 0.0), 1.0)
    with pytest.raises(ValueError, match="at least two decisions"):
        estimate([one], [(1.0, 0.0)])
    with pytest.raises(ValueError, match="decision 1 could never have recommended"):
        estimate([one, one], [(1.0, 0.0), (0.0, 1.0)])
    with pytest.raises(ValueError, match="at least two values"):
        difference([1.0], [1.0, 2.0])
