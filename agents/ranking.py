"""Which of the feasible options leads, and in which order they stand; never at what price.

A learner is a Ranker. Until it has learned, and whenever it is switched off, the fixed order is used.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Protocol

from msgspec import Struct, json

from schemas import events as ev


class RankingContext(Struct, frozen=True):
    """What a ranker may know: the options, figures of debt and means, and what was said of the rate.

    seed: 63 bits, the only source of chance. No identity and no protected attribute is here.
    """

    options: tuple[ev.Option, ...]
    seed: int
    surplus: int
    limit: int
    owed: int
    overdue: int
    days_past_due: int
    accounts: int
    plans_broken: int
    sequence: int
    rate_matters: bool = False
    supportive: bool = False

    def features(self) -> dict[str, int]:
        """Return the features by name."""
        return {name: int(getattr(self, name)) for name in self.__struct_fields__ if name not in ("options", "seed")}

    def features_hash(self) -> str:
        """Return the SHA-256 of the features and the options, by which a logged decision can be checked.

        Means are left out: whoever has a hash of few unknown figures can try them all.
        """
        known = {name: value for name, value in self.features().items() if name not in ("surplus", "limit")}
        content = {"features": known, "options": [o.option_id for o in self.options]}
        return sha256(json.encode(content, order="sorted")).hexdigest()


class Ranking(Struct, frozen=True):
    """The order of the options, the one that leads, and the probability with which it was made to lead.

    propensities: the same of every option, where chance had a part in it.
    """

    order: tuple[str, ...]
    lead: str | None
    propensity: float
    model_version: str
    seed: int
    propensities: dict[str, float] = {}

    def propensity_of(self, option_id: str) -> float:
        """Return the probability with which an option was to lead."""
        if self.propensities:
            return self.propensities[option_id]
        return 1.0 if option_id == self.lead else 0.0


class Ranker(Protocol):
    """Orders feasible options. The same context gives the same order."""

    def rank(self, context: RankingContext) -> Ranking:
        """Return the order of the context's options."""
        ...


class FixedOrder:
    """The lowest instalment first; for a borrower to whom the rate matters, the lowest total cost."""

    def rank(self, context: RankingContext) -> Ranking:
        """Return the options in the fixed order, with certainty."""
        if context.rate_matters:
            ordered = sorted(context.options, key=lambda o: (o.total_cost, o.instalment_amount, o.option_id))
        else:
            ordered = sorted(context.options, key=lambda o: (o.instalment_amount, o.total_cost, o.option_id))
        order = tuple(o.option_id for o in ordered)
        return Ranking(order, order[0] if order else None, 1.0, "fixed-order-1", context.seed)


def led_by(ranking: Ranking, option_id: str) -> Ranking:
    """Return a ranking in which the option that the borrower himself proposed or chose leads, with certainty."""
    order = (option_id, *(o for o in ranking.order if o != option_id))
    return Ranking(order, option_id, 1.0, "borrower-choice-1", ranking.seed)
