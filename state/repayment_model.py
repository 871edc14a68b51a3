"""Will an instalment be paid? A logistic model, fitted to counts of kept and missed plan instalments.

Counts are kept by cell: bins of burden, term, relief and arrears. They add up in any order, so the model is the same
to the last bit wherever it is fitted. It starts from the prior of `agents.learner.estimates` (public credit data) and
moves away from it as instalments are kept and missed: a ridge regression on the log odds, by Newton's method.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from math import exp, log, log1p

from state.linear import cholesky, dot, solve

# Upper edges of the bins, and what stands for each bin. burden: largest instalment over surplus.
_EDGES = {
    "burden": (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0),
    "term": (6, 12, 24, 36, 48),
    "relief": (0.02, 0.1, 0.25),
    "arrears": (30, 60, 90, 180),
}
_CENTRES = {
    "burden": (0.07, 0.15, 0.25, 0.35, 0.45, 0.6, 0.85, 1.5),
    "term": (4, 10, 18, 30, 42, 54),
    "relief": (0.0, 0.05, 0.17, 0.35),
    "arrears": (15, 45, 75, 130, 270),
}
# Of a plan's first instalments as many have to be kept before it counts as kept.
FIRST_INSTALMENTS = 3
# The weights' prior standard deviation, in log odds (internal assumption).
_DEVIATION = 1.0
_STEPS, _HALVINGS = 25, 20
_SIZE = 5

# One instalment counts as this many, so that counts that fade stay whole numbers and a single one is not gone at once.
UNIT = 1_000_000

# Prior log odds and inputs of a cell, and its counts.
Counted = tuple[float, list[float], float, float]


def cell_of(burden: float, term: int, relief: float, arrears: int) -> str:
    """Return the cell of an option for whom it is offered."""
    values = {"burden": burden, "term": term, "relief": relief, "arrears": arrears}
    return "".join(f"{name[0]}{bisect_right(_EDGES[name], value)}" for name, value in values.items())


def prior_log_odds(burden: float, term: int) -> float:
    """Return the log odds that a plan is kept, before there is evidence of one's own.

    The bad rate rises with the logarithm of instalment over surplus through 20.9 % at 30–40 %, 29.0 % at 40–60 % and
    48 % above 100 % (public credit data, 4,073 loans); a month more of term costs a little.
    """
    return 0.18 - 1.1 * log(min(max(burden, 0.01), 10.0)) - 0.004 * (term - 36)


class RepaymentModel:
    """P(an instalment is kept) of options, from counts (kept, missed) by cell, in instalments."""

    __slots__ = ("_weights",)

    def __init__(self, cells: Mapping[str, tuple[float, float]]) -> None:
        known = [(cell, kept, missed) for cell, (kept, missed) in sorted(cells.items()) if kept > 0 or missed > 0]
        self._weights = _fitted([(*_inputs(cell), max(kept, 0), max(missed, 0)) for cell, kept, missed in known])

    def instalment(self, burden: float, term: int, relief: float, arrears: int) -> float:
        """Return the probability that an instalment is kept, 0 to 1."""
        offset = _instalment_odds(prior_log_odds(burden, term))
        return _logistic(offset + dot(_scaled(burden, term, relief, arrears), self._weights))

    def plan(self, burden: float, term: int, relief: float, arrears: int) -> float:
        """Return the probability that a plan's first instalments are all kept, 0 to 1."""
        return self.instalment(burden, term, relief, arrears) ** FIRST_INSTALMENTS


def _fitted(found: Sequence[Counted]) -> list[float]:
    """Return the weights of greatest posterior density: Newton's method, with steps halved until they help."""
    weights = [0.0] * _SIZE
    best = _density(found, weights)
    for _ in range(_STEPS if found else 0):
        gradient = [-w / _DEVIATION**2 for w in weights]
        curvature = [[1 / _DEVIATION**2 if i == j else 0.0 for j in range(_SIZE)] for i in range(_SIZE)]
        for offset, x, kept, missed in found:
            p = _logistic(offset + dot(x, weights))
            n = kept + missed
            for i in range(_SIZE):
                gradient[i] += (kept - n * p) * x[i]
                for j in range(_SIZE):
                    curvature[i][j] += n * p * (1 - p) * x[i] * x[j]
        step = solve(cholesky(curvature), gradient)
        for halvings in range(_HALVINGS):
            tried = [w + d / 2**halvings for w, d in zip(weights, step, strict=True)]
            density = _density(found, tried)
            if density >= best:
                weights, best = tried, density
                break
        else:
            break
    return weights


def _density(found: Sequence[Counted], weights: Sequence[float]) -> float:
    """Return the logarithm of the posterior density, up to a constant."""
    density = -sum(w * w for w in weights) / 2 / _DEVIATION**2
    for offset, x, kept, missed in found:
        odds = offset + dot(x, weights)
        density -= kept * _softplus(-odds) + missed * _softplus(odds)
    return density


def _softplus(x: float) -> float:
    return max(x, 0.0) + log1p(exp(-abs(x)))


def _inputs(cell: str) -> tuple[float, list[float]]:
    """Return the prior log odds of a cell's instalments, and its inputs."""
    bins = [int(cell[i + 1]) for i in range(0, 8, 2)]
    burden, term, relief, arrears = (_CENTRES[name][b] for name, b in zip(_CENTRES, bins, strict=True))
    return _instalment_odds(prior_log_odds(burden, int(term))), _scaled(burden, int(term), relief, int(arrears))


def _scaled(burden: float, term: int, relief: float, arrears: int) -> list[float]:
    return [1.0, log(min(max(burden, 0.05), 5.0) / 0.35), (term - 30) / 30, relief * 4, min(arrears, 360) / 120 - 1]


def _instalment_odds(plan_odds: float) -> float:
    """Return the log odds of one instalment, where a plan is kept if its first instalments are."""
    p = _logistic(plan_odds) ** (1 / FIRST_INSTALMENTS)
    return log(p / (1 - p))


def _logistic(x: float) -> float:
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))
