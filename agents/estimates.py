"""How likely an option is to be accepted and kept, before anything was learned.

The learner replaces these; its interface is the protocol here. No protected attribute is a feature.
"""

from __future__ import annotations

from math import exp, log
from typing import Protocol

from msgspec import Struct

from schemas.events import Shape


class Features(Struct, frozen=True, gc=False):
    """What an estimate may know of an option and of whom it is for.

    burden: largest instalment over monthly surplus. relief: share of the debt at contract terms that the
    borrower is spared by a lower rate or a waiver, 0 to 1. arrears: days past due.
    """

    burden: float
    term_months: int
    relief: float
    shape: Shape
    arrears: int


class Estimate(Protocol):
    """Probabilities, 0 to 1, that an option is accepted, and once accepted is kept."""

    def accept(self, features: Features) -> float:
        """Return P(accept)."""
        ...

    def keep(self, features: Features) -> float:
        """Return P(keep)."""
        ...


def logistic(x: float) -> float:
    """Return 1 / (1 + e^−x), for any x."""
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))


class PriorEstimate:
    """Priors until there is evidence of one's own.

    keep: the bad rate rises with the logarithm of instalment over surplus through 20.9 % at 30–40 %, 29.0 % at
    40–60 % and 48 % above 100 % (public credit data, 4,073 loans); a month more of term costs a little.
    accept: falls with the burden and the term, rises with relief; a house assumption, weak on purpose.
    """

    def keep(self, features: Features) -> float:
        """Return P(keep): falls as the burden or the term grows."""
        bad = -0.18 + 1.1 * log(min(max(features.burden, 0.01), 10.0)) + 0.004 * (features.term_months - 36)
        return 1 - logistic(bad)

    def accept(self, features: Features) -> float:
        """Return P(accept): falls as the burden or the term grows, rises with relief."""
        return logistic(0.9 - 1.6 * min(features.burden, 10.0) - 0.012 * features.term_months + 1.5 * features.relief)
