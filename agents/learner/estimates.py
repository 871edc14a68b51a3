"""How likely an option is to be accepted and kept, before anything was learned.

The learner replaces these; its interface is the protocol here. No protected attribute is a feature.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from schemas.events import Shape
from state.learning import RepaymentModel, logistic, prior_log_odds


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
    """Probabilities, 0 to 1, that an option is accepted, and once accepted is kept.

    version: what is logged of it, so that a decision can be worked out again.
    """

    @property
    def version(self) -> str:
        """Return the name of the estimate, behind an @ the version of the model where one was learned."""
        ...

    def accept(self, features: Features) -> float:
        """Return P(accept)."""
        ...

    def perform(self, features: Features) -> float:
        """Return P(perform)."""
        ...


class PriorEstimate:
    """Priors until there is evidence of one's own.

    keep: what `state.learning` says of public credit data.
    accept: falls with the burden and the term, rises with relief; an internal assumption, weak on purpose.
    """

    @property
    def version(self) -> str:
        """Return the name of the estimate."""
        return "prior-1"

    def perform(self, features: Features) -> float:
        """Return P(perform): falls as the burden or the term grows."""
        return logistic(prior_log_odds(features.burden, features.term_months))

    def accept(self, features: Features) -> float:
        """Return P(accept): falls as the burden or the term grows, rises with relief."""
        return logistic(0.9 - 1.6 * min(features.burden, 10.0) - 0.012 * features.term_months + 1.5 * features.relief)


class LearnedEstimate(PriorEstimate):
    """What kept and missed plan instalments have taught of P(perform); P(accept) is the prior's.

    version: `ModelUpdated.version` of the model.
    """

    def __init__(self, model: RepaymentModel, version: int) -> None:
        self._model = model
        self._version = version

    @property
    def version(self) -> str:
        """Return the name of the estimate with the version of the model."""
        return f"keep-curve-1@{self._version}"

    def perform(self, features: Features) -> float:
        """Return P(perform): that a plan's first instalments are all kept."""
        return self._model.plan(features.burden, features.term_months, features.relief, features.arrears)
