"""What is true of one model: the statistics of all evidence so far, and what was published of them."""

from __future__ import annotations

from msgspec import Struct, field

from state.learning import SufficientStatistics
from state.storage import stored


class Tally(Struct, frozen=True, array_like=True, gc=False):
    """What became of offers of one kind; what is taken back counts against it.

    due: instalments of their plans that were kept or missed. broken: plans.
    """

    offers: int = 0
    accepted: int = 0
    due: int = 0
    broken: int = 0
    complaints: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Return both together."""
        return Tally(
            self.offers + other.offers,
            self.accepted + other.accepted,
            self.due + other.due,
            self.broken + other.broken,
            self.complaints + other.complaints,
        )

    def floored(self) -> Tally:
        """Return this with nothing below nothing: what was counted before may be taken back in a later time."""
        return Tally(*(max(0, getattr(self, name)) for name in self.__struct_fields__))


@stored(version=1)
class LearnerState(Struct, array_like=True):
    """One model. Days are proleptic ordinals, 0 for none.

    statistics: of the option rows. cells: kept and missed instalments by cell, in millionths
    (`state.repayment_model.UNIT`). counts: offers, acceptances, instalments due, broken plans and complaints by
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
    learned: dict[int, Tally] = {}
    control: dict[int, Tally] = {}
    guardrail_reset_id: int = 1
    since: int = 0
