"""What is learned from answers to offers: sufficient statistics that add up in any order, and what they predict.

Every number that is stored is an integer, so that the same evidence gives the same sums to the last bit however it
was ordered, split among workers or replayed. Features are thousandths.

The recommended option of an offer is chosen by linear Thompson sampling (Agrawal & Goyal 2013; Chapelle & Li 2011).
Each option that was shown is one row: what it is like, whether it was the one that was accepted, and the reward that
came of it. So one answer tells something of every option that was shown, not only of the recommended one.

Whether an instalment will be paid is a logistic model, fitted to counts of kept and missed plan instalments by cell:
bins of burden, term, relief and arrears. It starts from the prior of `agents.learner.estimates` (public credit data)
and moves away from it as instalments are kept and missed: a ridge regression on the log odds, by Newton's method.

Linear algebra is on lists: a dozen features need no library, and plain Python gives the same bits anywhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import exp, log, log1p, sqrt
from typing import NamedTuple

from msgspec import Struct, field

from schemas import events as ev
from state.storage import stored


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the sum of products."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def cholesky(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the lower triangular factor of a symmetric matrix; a direction without any variance gets none."""
    size = len(matrix)
    factor = [[0.0] * size for _ in range(size)]
    for i in range(size):
        row = factor[i]
        for j in range(i + 1):
            rest = matrix[i][j] - sum(row[k] * factor[j][k] for k in range(j))
            if i == j:
                row[i] = sqrt(rest) if rest > 0 else 0.0
            else:
                row[j] = rest / factor[j][j] if factor[j][j] else 0.0
    return factor


def forward(factor: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Return x of factor · x = right."""
    x: list[float] = []
    for i, row in enumerate(factor):
        x.append((right[i] - sum(row[k] * x[k] for k in range(i))) / row[i])
    return x


def solve(factor: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Return x of factor · factorᵀ · x = right."""
    size = len(factor)
    x = forward(factor, right)
    for i in reversed(range(size)):
        x[i] = (x[i] - sum(factor[k][i] * x[k] for k in range(i + 1, size))) / factor[i][i]
    return x


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
_WEIGHT_DEVIATION = 1.0
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
        return logistic(offset + dot(_scaled(burden, term, relief, arrears), self._weights))

    def plan(self, burden: float, term: int, relief: float, arrears: int) -> float:
        """Return the probability that a plan's first instalments are all kept, 0 to 1."""
        return self.instalment(burden, term, relief, arrears) ** FIRST_INSTALMENTS


def _fitted(found: Sequence[Counted]) -> list[float]:
    """Return the weights of greatest posterior density: Newton's method, with steps halved until they help."""
    weights = [0.0] * _SIZE
    best = _density(found, weights)
    for _ in range(_STEPS if found else 0):
        gradient = [-w / _WEIGHT_DEVIATION**2 for w in weights]
        curvature = [[1 / _WEIGHT_DEVIATION**2 if i == j else 0.0 for j in range(_SIZE)] for i in range(_SIZE)]
        for offset, x, kept, missed in found:
            p = logistic(offset + dot(x, weights))
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
    density = -sum(w * w for w in weights) / 2 / _WEIGHT_DEVIATION**2
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
    p = logistic(plan_odds) ** (1 / FIRST_INSTALMENTS)
    return log(p / (1 - p))


def logistic(x: float) -> float:
    """Return 1 / (1 + e^−x), for any x."""
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))


MILLI = 1_000
# What a row of an option says, in this order, each in thousandths. None of it is about who the borrower is.
FEATURES = (
    "one",
    "prior",
    "burden",
    "term",
    "relief",
    "waived",
    "cost",
    "gentle_start",
    "arrears",
    "plans_broken",
    "rivals",
    "recommended",
)
WIDTH = len(FEATURES)
_PRIOR, _RECOMMENDED = FEATURES.index("prior"), FEATURES.index("recommended")
_TRIANGLE = WIDTH * (WIDTH + 1) // 2

# Before there is evidence the reward is what the prior estimate says; it weighs as much as this many rows, and a
# row's reward varies about that by this standard deviation (internal assumptions).
_PRIOR_ROWS = 3.0
_REWARD_DEVIATION = 0.15

Row = tuple[int, ...]


class SufficientStatistics(Struct, array_like=True, gc=False):
    """Sums over rows, millionths. outer: the upper triangle of row × rowᵀ; accepted, reward: row × these."""

    rows: int = 0
    outer: list[int] = []
    accepted: list[int] = []
    reward: list[int] = []

    def add(self, seen: ev.EvidenceRow) -> None:
        """Add evidence, in place."""
        if not self.outer:
            self.outer = [0] * _TRIANGLE
            self.accepted, self.reward = [0] * WIDTH, [0] * WIDTH
        row = seen.x
        if seen.shown:
            self.rows += seen.shown
            at = 0
            for i, x in enumerate(row):
                for y in row[i:]:
                    self.outer[at] += seen.shown * x * y
                    at += 1
        for i, x in enumerate(row):
            self.accepted[i] += x * seen.accepted
            self.reward[i] += x * seen.reward

    def fade(self, keep_bps: int) -> None:
        """Keep only a share of all statistics, in basis points, so that what is long past counts for less."""
        self.rows = share(self.rows, keep_bps)
        self.outer = [share(v, keep_bps) for v in self.outer]
        self.accepted = [share(v, keep_bps) for v in self.accepted]
        self.reward = [share(v, keep_bps) for v in self.reward]


def share(value: int, bps: int) -> int:
    """Return so many basis points of a sum, rounded toward zero."""
    # Toward zero, so that faded sums end at zero from either side.
    return value * bps // 10_000 if value >= 0 else -(-value * bps // 10_000)


class Prediction(NamedTuple):
    """What is predicted of options: their expected acceptance and reward, and the covariance of the rewards."""

    accepted: list[float]
    reward: list[float]
    covariance: list[list[float]]


class Posterior:
    """What statistics say of any option: normal beliefs about a linear reward (Bayesian ridge regression)."""

    __slots__ = ("_accepted", "_factor", "_reward")

    def __init__(self, statistics: SufficientStatistics) -> None:
        matrix = [[0.0] * WIDTH for _ in range(WIDTH)]
        reward, accepted = [0.0] * WIDTH, [0.0] * WIDTH
        if statistics.outer:
            at = 0
            for i in range(WIDTH):
                for j in range(i, WIDTH):
                    matrix[i][j] = matrix[j][i] = statistics.outer[at] / MILLI**2
                    at += 1
            reward = [v / MILLI**2 for v in statistics.reward]
            accepted = [v / MILLI**2 for v in statistics.accepted]
        for i in range(WIDTH):
            matrix[i][i] += _PRIOR_ROWS
        # The prior mean: reward and acceptance are what the prior estimate says of the option.
        reward[_PRIOR] += _PRIOR_ROWS
        accepted[_PRIOR] += _PRIOR_ROWS
        self._factor = cholesky(matrix)
        self._reward = solve(self._factor, reward)
        self._accepted = solve(self._factor, accepted)

    def weights(self) -> list[tuple[float, float]]:
        """Return the posterior mean of each feature's weight in the reward, and its standard deviation."""
        found = []
        for i, mean in enumerate(self._reward):
            spread = forward(self._factor, [float(i == j) for j in range(WIDTH)])
            found.append((mean, _REWARD_DEVIATION * dot(spread, spread) ** 0.5))
        return found

    def predict(self, rows: Sequence[Row]) -> Prediction:
        """Return the prediction for options, each as it would do if none of them were recommended."""
        plain = [[x / MILLI for x in row] for row in rows]
        for row in plain:
            row[_RECOMMENDED] = 0.0
        spread = [forward(self._factor, row) for row in plain]
        return Prediction(
            [dot(row, self._accepted) for row in plain],
            [dot(row, self._reward) for row in plain],
            [[_REWARD_DEVIATION**2 * dot(a, b) for b in spread] for a in spread],
        )


class ModelSnapshot:
    """The model by which planners decide until the next update, computed when it is first used."""

    def __init__(self, update: ev.ModelUpdated) -> None:
        self.update = update

    @property
    def tripped(self) -> bool:
        """Whether a guardrail has put the fixed order back."""
        return self.update.tripped is not None

    @cached_property
    def posterior(self) -> Posterior:
        """The posterior of the reward."""
        update = self.update
        return Posterior(
            SufficientStatistics(update.rows, list(update.outer), list(update.accepted), list(update.reward))
        )

    @cached_property
    def repayment_model(self) -> RepaymentModel:
        """The model of how likely an instalment is paid."""
        unit = self.update.unit
        return RepaymentModel({c.cell: (c.kept / unit, c.missed / unit) for c in self.update.cells})


class OfferOutcomes(Struct, frozen=True, array_like=True, gc=False):
    """What became of offers of one kind; what is taken back counts against it.

    due: instalments of their plans that were kept or missed. broken: plans.
    """

    offers: int = 0
    accepted: int = 0
    due: int = 0
    broken: int = 0
    complaints: int = 0

    def __add__(self, other: OfferOutcomes) -> OfferOutcomes:
        """Return both together."""
        return OfferOutcomes(
            self.offers + other.offers,
            self.accepted + other.accepted,
            self.due + other.due,
            self.broken + other.broken,
            self.complaints + other.complaints,
        )

    def floored(self) -> OfferOutcomes:
        """Return this with nothing below nothing: what was counted before may be taken back in a later time."""
        return OfferOutcomes(*(max(0, getattr(self, name)) for name in self.__struct_fields__))


@stored(version=1)
class LearnerState(Struct, array_like=True):
    """One model. Days are proleptic ordinals, 0 for none.

    statistics: of the option rows. cells: kept and missed instalments by cell, in millionths
    (`state.learning.UNIT`). counts: offers, acceptances, instalments due, broken plans and complaints by
    treatment arm, since the beginning. version: how often it was published. through: the day through which it is
    published and faded. publish_on: the day at whose close it is published next. tripped: the guardrail that was
    breached, empty for none. learned, control: what guardrails compare, by the day on which it was reported.
    guardrail_reset_id: the highest one of the policy so far. since: the day on which learned recommendations were
    let in again after a breach.
    """

    model: str
    statistics: SufficientStatistics = field(default_factory=SufficientStatistics)
    cells: dict[str, tuple[int, int]] = {}
    counts: dict[str, int] = {}
    version: int = 0
    through: int = 0
    publish_on: int = 0
    tripped: str = ""
    learned: dict[int, OfferOutcomes] = {}
    control: dict[int, OfferOutcomes] = {}
    guardrail_reset_id: int = 1
    since: int = 0
