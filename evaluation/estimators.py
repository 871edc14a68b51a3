"""Estimates with their intervals: shares, ratios, and off-policy ones, from decisions that were logged.

Off-policy estimates say what reward another way to recommend would have had. IPS weighs each reward by how much
likelier the other way was to recommend the same option (Horvitz & Thompson 1952), SNIPS divides by the sum of the
weights (Swaminathan & Joachims 2015), and the doubly robust estimate adds a model of the reward, which only has to be
right where the weights are not (Dudík, Langford & Li 2011). Intervals are 95 %, by the normal approximation; the model
is fitted on the other half of the decisions (Chernozhukov et al. 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, sqrt
from statistics import fmean

from msgspec import Struct

from state.intervals import Z, wilson
from state.learning import cholesky, dot, solve

# Weighs as much as this many decisions against a model that follows chance.
_RIDGE = 1.0


class Decision(Struct, frozen=True):
    """A decision that was logged, and what came of it.

    rows: by option what it is like, any scale. recommended: number of the recommended option. propensities: by option,
    the probability with which it was to be recommended. reward: 0 to 1.
    """

    rows: tuple[tuple[float, ...], ...]
    recommended: int
    propensities: tuple[float, ...]
    reward: float


class Estimated(Struct, frozen=True):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float

    def holds(self, truth: float) -> bool:
        """Say whether the interval holds a value."""
        return self.low <= truth <= self.high


class OffPolicy(Struct, frozen=True):
    """What is estimated of another way to recommend, and on how many decisions' worth of evidence."""

    ips: Estimated
    snips: Estimated
    doubly_robust: Estimated
    effective_sample_size: float
    decisions: int


def estimate(decisions: Sequence[Decision], target: Sequence[Sequence[float]]) -> OffPolicy:
    """Return what the reward would have been had options been recommended with the target's probabilities.

    Raises ValueError with less than two decisions, or where the target recommends an option that never could be.
    """
    if len(decisions) < 2:
        raise ValueError("an estimate needs at least two decisions")
    weights = []
    for number, (d, wanted) in enumerate(zip(decisions, target, strict=True)):
        if any(w > 0 and p <= 0 for w, p in zip(wanted, d.propensities, strict=True)):
            raise ValueError(f"decision {number} could never have recommended as the target does")
        weights.append(wanted[d.recommended] / d.propensities[d.recommended])
    rewards = [d.reward for d in decisions]
    weighted = [w * r for w, r in zip(weights, rewards, strict=True)]
    mean_weight = fmean(weights)
    value = sum(weighted) / sum(weights) if mean_weight else 0.0
    spread = [w * (r - value) / mean_weight if mean_weight else 0.0 for w, r in zip(weights, rewards, strict=True)]
    total = sum(weights)
    return OffPolicy(
        ips=_interval_of_mean(weighted),
        snips=_around(value, spread),
        doubly_robust=_interval_of_mean(_doubly_robust(decisions, target, weights)),
        effective_sample_size=total * total / sum(w * w for w in weights) if total else 0.0,
        decisions=len(decisions),
    )


def _interval_of_mean(values: Sequence[float]) -> Estimated:
    mean = fmean(values)
    return _around(mean, [v - mean for v in values])


def _around(value: float, deviations: Sequence[float]) -> Estimated:
    count = len(deviations)
    half = Z * sqrt(sum(d * d for d in deviations) / (count - 1) / count)
    return Estimated(value, value - half, value + half)


def difference(one: Sequence[float], other: Sequence[float]) -> Estimated:
    """Return the difference of two means, `one` less `other`. Raises ValueError with less than two values of either."""
    if min(len(one), len(other)) < 2:
        raise ValueError("a difference needs at least two values on each side")
    a, b = _interval_of_mean(one), _interval_of_mean(other)
    half = sqrt((a.high - a.value) ** 2 + (b.high - b.value) ** 2)
    value = a.value - b.value
    return Estimated(value, value - half, value + half)


def share(count: int, of: int) -> Estimated:
    """Return a share with its 95 % interval (Wilson 1927). Raises ValueError where it is a share of nothing."""
    interval = wilson(count, of)
    if interval is None:
        raise ValueError("a share needs at least one case")
    return Estimated(count / of, *interval)


def ratio(count: int, of: int, base: int, base_of: int) -> Estimated:
    """Return one share over another with its 95 % interval, normal in the logarithm (Katz et al. 1978).

    Where a share is none, half a case stands for it in the interval. Raises ValueError where the ratio is not defined.
    """
    if of < 1 or base < 1:
        raise ValueError("a ratio needs cases, and a share to be measured by that is not zero")
    value, seen = count / of * base_of / base, max(count, 0.5)
    middle = log(seen / of * base_of / base)
    half = Z * sqrt(max(0.0, 1 / seen - 1 / of + 1 / base - 1 / base_of))
    return Estimated(value, exp(middle - half) if count else 0.0, exp(middle + half))


def _doubly_robust(
    decisions: Sequence[Decision], target: Sequence[Sequence[float]], weights: Sequence[float]
) -> list[float]:
    scores = [0.0] * len(decisions)
    for half in (0, 1):
        fitted = _fit([d for n, d in enumerate(decisions) if n % 2 != half])
        for n in range(half, len(decisions), 2):
            d = decisions[n]
            said = [dot(fitted, _inputs(d, option)) for option in range(len(d.rows))]
            scores[n] = dot(target[n], said) + weights[n] * (d.reward - said[d.recommended])
    return scores


def _inputs(d: Decision, option: int) -> list[float]:
    """Return what the reward is modelled by: what the recommended option is like, and the offer on average."""
    count = len(d.rows)
    return [1.0, *d.rows[option], *(sum(column) / count for column in zip(*d.rows, strict=True))]


def _fit(decisions: Sequence[Decision]) -> list[float]:
    """Return the weights of a ridge regression of the reward."""
    size = 1 + 2 * len(decisions[0].rows[0]) if decisions else 1
    matrix = [[_RIDGE if i == j else 0.0 for j in range(size)] for i in range(size)]
    right = [0.0] * size
    for d in decisions:
        x = _inputs(d, d.recommended)
        for i, a in enumerate(x):
            if a:
                row = matrix[i]
                right[i] += a * d.reward
                for j, b in enumerate(x):
                    row[j] += a * b
    return solve(cholesky(matrix), right)
