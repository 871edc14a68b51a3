"""A whole history that the simulator never produces, drawn from a seed."""

from __future__ import annotations

from tests.recomputation.agreements import agree
from tests.recomputation.changes import adjust, contradict, finish, repeat_schedule, reverse
from tests.recomputation.conduct import contacts, failures, holds, payments, promises, reviews
from tests.recomputation.histories import Author, History
from tests.recomputation.migrations import take_over
from tests.recomputation.openings import opening, revise_schedule, statements
from tests.recomputation.restated import FIRST_SEED, restate
from tests.recomputation.several import join


def drawn(seed: int) -> History:
    """Return the history of a seed: the same for ever."""
    a = Author(seed)
    opening(a)
    if a.product == "credit_card" or a.rng.random() < 0.1:
        statements(a)
    if a.rng.random() < 0.3:
        revise_schedule(a)
    payments(a)
    for write, chance in (
        (holds, 0.5),
        (contacts, 0.6),
        (promises, 0.4),
        (reviews, 0.4),
        (adjust, 0.3),
        (failures, 0.2),
        (reverse, 0.4),
        (agree, 0.65),
        (finish, 0.25),
        (repeat_schedule, 0.2),
        (take_over, 0.2),
    ):
        if a.rng.random() < chance:
            write(a)
    contradict(a)
    join(a.history)
    if seed >= FIRST_SEED:
        restate(a.history)
    return a.history
