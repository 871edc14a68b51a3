"""Parity: do offers do about as well for all groups that the log can tell apart?

Each group is measured by the one with the highest rate, as the four-fifths rule has it (29 CFR § 1607.4 D): a ratio
below 0.8 is where to look, not a verdict. No protected attribute is logged, so none can be compared here.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from evaluation.estimators import Estimated, ratio, share
from evaluation.joined import Judged

FOUR_FIFTHS = 0.8
# Smaller groups get no ratio: it would mostly be chance.
LEAST_GROUP = 30
ATTRIBUTES = ("jurisdiction", "product", "language", "tone", "accounts")


class Group(Struct, frozen=True):
    """A group's rate, and its ratio to the group with the highest.

    offers: of how many it is the rate. rate, ratio: None where they are too few. reading: highest, within four fifths,
    look here or too small.
    """

    attribute: str
    name: str
    offers: int
    rate: Estimated | None
    ratio: Estimated | None
    reading: str


def acceptance_parity(judged: Sequence[Judged]) -> tuple[Group, ...]:
    """Return the acceptance of groups: the share of offers, their time to be answered over, that were accepted."""
    return _parity([(j.traits, j.accepted) for j in judged if j.answered])


def keeping_parity(judged: Sequence[Judged]) -> tuple[Group, ...]:
    """Return the keeping of groups: the share of mature plans whose first three instalments were all kept."""
    return _parity([(j.traits, j.first_kept) for j in judged if j.mature and j.accepted and j.first_kept is not None])


def _parity(found: Sequence[tuple[dict[str, str], bool]]) -> tuple[Group, ...]:
    groups: list[Group] = []
    for attribute in ATTRIBUTES:
        counts: dict[str, tuple[int, int]] = {}
        for traits, counted in found:
            if attribute in traits:
                count, of = counts.get(traits[attribute], (0, 0))
                counts[traits[attribute]] = count + counted, of + 1
        large = {name: (count, of) for name, (count, of) in counts.items() if of >= LEAST_GROUP}
        highest = max(large, key=lambda name: (large[name][0] / large[name][1], large[name][1], name), default=None)
        for name, (count, of) in sorted(counts.items()):
            if name not in large or highest is None:
                groups.append(Group(attribute, name, of, None, None, "too small"))
            elif name == highest or not large[highest][0]:
                # Where none of any group is counted, all are alike.
                groups.append(Group(attribute, name, of, share(count, of), None, "highest"))
            else:
                against = ratio(count, of, *large[highest])
                reading = "look here" if against.value < FOUR_FIFTHS else "within four fifths"
                groups.append(Group(attribute, name, of, share(count, of), against, reading))
    return tuple(groups)
