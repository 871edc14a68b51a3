"""What is learned from answers to offers: sufficient statistics that add up in any order, and what they predict.

Every number that is stored is an integer, so that the same evidence gives the same sums to the last bit however it
was ordered, split among workers or replayed. Features are thousandths.

The recommended option of an offer is chosen by linear Thompson sampling (Agrawal & Goyal 2013; Chapelle & Li 2011).
Each option that was shown is one row: what it is like, whether it was the one that was accepted, and the reward that
came of it. So one answer tells something of every option that was shown, not only of the recommended one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from msgspec import Struct

from schemas import events as ev
from state.linear import cholesky, dot, forward, solve
from state.repayment_model import RepaymentModel

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
_DEVIATION = 0.15

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
            found.append((mean, _DEVIATION * dot(spread, spread) ** 0.5))
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
            [[_DEVIATION**2 * dot(a, b) for b in spread] for a in spread],
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
