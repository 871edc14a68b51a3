"""Guardrails: do offers with learned recommendations do worse than those of the fixed order, of late?

Counts are kept a day and forgotten with it, so that a long good history does not hide what goes wrong now, and both
kinds are counted over the same days, so that a bad month is nobody's fault. All of it is integers: neither the order of
evidence nor where it was gathered changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from schemas import events as ev
from state.learning import LearnerState, OfferOutcomes
from state.policy import Learning

BPS = 10_000
# The arms with which the learned arm is compared.
CONTROLS = ("fixed", "holdout")
# Internal rule: counts older than this many days say nothing of today, even where later ones are too few.
LONGEST = 730


class Breach(NamedTuple):
    """A guardrail that does not hold: what was measured of the learned arm against the fixed order, in basis points.

    offers: how many learned offers it was measured on.
    """

    guardrail: str
    measured: int
    limit: int
    offers: int


def count(s: LearnerState, event: ev.OfferOutcomeReported) -> None:
    """Count evidence under the day on which it was told, in place.

    Outcomes of offers that were made before the learned arm was let in again are not counted: a person has looked at
    them.
    """
    if event.offered_on is not None and event.offered_on.toordinal() < s.since:
        return
    day = event.business_date.toordinal()
    for days, groups in ((s.learned, ("learned",)), (s.control, CONTROLS)):
        moved = _outcomes(event.counts, groups)
        if moved != OfferOutcomes():
            days[day] = days.get(day, OfferOutcomes()) + moved


def recent(s: LearnerState, rules: Learning, today: int) -> tuple[OfferOutcomes, OfferOutcomes]:
    """Return what became of learned offers and of the fixed order's of late, and forget in place what is older.

    Of late is the policy's `guardrail_days` through today (an ordinal); where these hold fewer than `guardrail_offers`
    of one kind, as many days more as it takes.
    """
    learned, control = OfferOutcomes(), OfferOutcomes()
    first = today + 1
    for day in sorted(s.learned.keys() | s.control.keys(), reverse=True):
        enough = min(learned.offers, control.offers) >= rules.guardrail_offers
        if day <= today - LONGEST or (enough and day <= today - rules.guardrail_days):
            break
        first = day
        if day <= today:
            learned += s.learned.get(day, OfferOutcomes())
            control += s.control.get(day, OfferOutcomes())
    s.learned = {day: counts for day, counts in s.learned.items() if day >= first}
    s.control = {day: counts for day, counts in s.control.items() if day >= first}
    return learned.floored(), control.floored()


def breach_of(learned: OfferOutcomes, control: OfferOutcomes, rules: Learning) -> Breach | None:
    """Return the first guardrail that is breached, once there are enough offers of both kinds to say so.

    It is where a share is beyond the policy's limit, and by more than chance explains. Plans that break are counted by
    the instalments that fell due, not by acceptances: those of today break months later.
    """
    if min(learned.offers, control.offers) < rules.guardrail_offers:
        return None
    # Ratios of shares, with both sides multiplied out; one more of each keeps them defined.
    acceptance = learned.accepted * control.offers * BPS // max(1, control.accepted * learned.offers)
    if acceptance < rules.least_acceptance_bps and _beyond_chance(
        control.accepted, control.offers, learned.accepted, learned.offers, rules.guardrail_deviations
    ):
        return Breach("acceptance", acceptance, rules.least_acceptance_bps, learned.offers)
    breaking = (learned.broken + 1) * max(1, control.due) * BPS // ((control.broken + 1) * max(1, learned.due))
    if breaking > rules.most_broken_bps and _beyond_chance(
        learned.broken, learned.due, control.broken, control.due, rules.guardrail_deviations
    ):
        return Breach("broken_plans", breaking, rules.most_broken_bps, learned.offers)
    complaining = (learned.complaints + 1) * control.offers * BPS // ((control.complaints + 1) * learned.offers)
    if complaining > rules.most_complaints_bps and _beyond_chance(
        learned.complaints, learned.offers, control.complaints, control.offers, rules.guardrail_deviations
    ):
        return Breach("complaints", complaining, rules.most_complaints_bps, learned.offers)
    return None


def _beyond_chance(many: int, of_many: int, few: int, of_few: int, deviations: int) -> bool:
    """Say whether the first share is above the second by so many standard deviations of their difference.

    The two-proportion z-test with a pooled share, squared and multiplied out: z² = d² n / (k (n − k) n₁ n₂), where d is
    k₁ n₂ − k₂ n₁.
    """
    apart = many * of_few - few * of_many
    both, of_both = many + few, of_many + of_few
    return apart > 0 and apart**2 * of_both >= deviations**2 * both * max(0, of_both - both) * of_many * of_few


def _outcomes(counts: Mapping[str, int], groups: tuple[str, ...]) -> OfferOutcomes:
    return OfferOutcomes(
        *(sum(counts.get(f"{g}.{what}", 0) for g in groups) for what in OfferOutcomes.__struct_fields__)
    )
