"""What is true of one model: all evidence so far, and what was told of it."""

from __future__ import annotations

from msgspec import Struct, field

from state.learning import Sums
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

    cells: kept and missed instalments by cell, in millionths (`state.keeping.UNIT`). counts: offers, acceptances,
    instalments due, broken plans and complaints by how the lead was chosen, since the beginning. version: how often it
    was told. through: the day through which it is told and faded. tell_on: the day at whose close it is told next.
    tripped: the guardrail that was breached, empty for none. learned, control: what guardrails look at, by the day on
    which it was told. trial: the policy's highest so far. since: the day on which learned leads were let in again after
    a breach.
    """

    model: str
    sums: Sums = field(default_factory=Sums)
    cells: dict[str, tuple[int, int]] = {}
    counts: dict[str, int] = {}
    version: int = 0
    through: int = 0
    tell_on: int = 0
    tripped: str = ""
    learned: dict[int, Tally] = {}
    control: dict[int, Tally] = {}
    trial: int = 1
    since: int = 0
