"""What is true of one model: all evidence so far, and what was told of it."""

from __future__ import annotations

from msgspec import Struct, field

from state.learning import Sums
from state.storage import stored


@stored(version=1)
class LearnerState(Struct, array_like=True):
    """One model. Days are proleptic ordinals, 0 for none.

    cells: kept and missed instalments by cell. counts: offers, acceptances, broken plans and complaints by how the
    lead was chosen. version: how often it was told. through: the day through which it is told and faded. tell_on: the
    day at whose close it is told next. tripped: the guardrail that was breached, empty for none.
    """

    model: str
    sums: Sums = field(default_factory=Sums)
    cells: dict[str, tuple[int, int]] = {}
    counts: dict[str, int] = {}
    version: int = 0
    through: int = 0
    tell_on: int = 0
    tripped: str = ""
