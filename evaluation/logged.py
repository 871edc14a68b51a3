"""What logged decisions, and the evidence of what came of them, say: as figures that can be printed or drawn."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from statistics import fmean

from msgspec import Struct

from evaluation.estimators import Decision, Estimated, OffPolicy, difference, estimate
from schemas import events as ev
from state.learning import FEATURES, MILLI

_BURDEN, _COST = FEATURES.index("burden"), FEATURES.index("cost")
# Leads that chance had a part in: only of these anything can be said of another way to lead.
_BY_CHANCE = ("learned", "challenger")
_BINS = 5


class Judged(Struct, frozen=True):
    """A decision with what came of its offer. reward, accepted: 0 to 1; None while nothing is known yet."""

    logged: ev.DecisionLogged
    accepted: float
    reward: float
    kept: int
    missed: int


class Share(Struct, frozen=True):
    """Offers of one kind: how many, the share accepted, the mean reward, and instalments of their plans."""

    name: str
    offers: int
    accepted: float
    reward: float
    kept: int
    missed: int


class Bin(Struct, frozen=True):
    """Offers for which about the same was foretold: the mean of what was, and what came."""

    offers: int
    foretold: float
    came: float


class Report(Struct, frozen=True):
    """An evaluation. estimates: by way to lead; empty where chance had no part in any lead.

    model_versions: decisions by what chose the lead, estimate_versions: by what valued the options; each told as often
    as it was, whichever update of the model it went by. updates: the first and the last `ModelUpdated.version` that
    decided, None where nothing that was learned did.
    """

    decisions: int
    answered: int
    first: str
    last: str
    groups: tuple[Share, ...]
    leads: tuple[Share, ...]
    months: tuple[Share, ...]
    estimates: dict[str, OffPolicy]
    against_fixed: Estimated | None
    acceptance_ratio: float | None
    acceptance: tuple[Bin, ...]
    keeping: tuple[Bin, ...]
    model_versions: dict[str, int]
    estimate_versions: dict[str, int]
    updates: tuple[int, int] | None
    notes: tuple[str, ...]


def judged(events: Iterable[ev.Event]) -> tuple[list[ev.DecisionLogged], list[Judged]]:
    """Return all decisions with options, and those of which it is known what came, joined by offer id."""
    decisions: dict[str, ev.DecisionLogged] = {}
    told: dict[str, list[int]] = {}
    for event in events:
        if isinstance(event, ev.DecisionLogged) and event.shown:
            decisions[event.offer_id] = event
        elif isinstance(event, ev.EvidenceGathered):
            sums = told.setdefault(event.offer_id, [0, 0, 0, 0])
            for row in event.rows:
                sums[0] += row.accepted
                sums[1] += row.reward
            for cell in event.cells:
                sums[2] += cell.kept
                sums[3] += cell.missed
    found = [
        Judged(decisions[offer], sums[0] / MILLI, sums[1] / MILLI, sums[2], sums[3])
        for offer, sums in told.items()
        if offer in decisions
    ]
    return list(decisions.values()), found


def report(events: Iterable[ev.Event]) -> Report:
    """Return what can be said of logged decisions. Raises ValueError where none was logged."""
    decisions, found = judged(events)
    if not decisions:
        raise ValueError("no decision with options was logged")
    days = sorted(d.business_date for d in decisions)
    notes = []
    by_chance = [j for j in found if j.logged.group in _BY_CHANCE and all(o.propensity > 0 for o in j.logged.shown)]
    estimates: dict[str, OffPolicy] = {}
    if len(by_chance) >= 2:
        logged = [_decision(j) for j in by_chance]
        estimates = {name: estimate(logged, [way(j.logged) for j in by_chance]) for name, way in WAYS.items()}
    else:
        notes.append("Chance had no part in any lead, so nothing can be said of another way to lead.")
    learned = [j for j in found if j.logged.group == "learned"]
    control = [j for j in found if j.logged.group in ("fixed", "holdout")]
    against, ratio = None, None
    if min(len(learned), len(control)) >= 2:
        against = difference([j.reward for j in learned], [j.reward for j in control])
        base = fmean(j.accepted for j in control)
        ratio = fmean(j.accepted for j in learned) / base if base else None
    else:
        notes.append("Learned leads and the fixed order were not both at work, so they are not compared.")
    told = [name for d in decisions for name in (d.model_version, d.estimate_version)]
    updates = [int(number) for _, at, number in (name.rpartition("@") for name in told) if at and number.isdigit()]
    return Report(
        decisions=len(decisions),
        answered=len(found),
        first=days[0].isoformat(),
        last=days[-1].isoformat(),
        groups=_shares(found, lambda j: j.logged.group),
        leads=_shares(found, lambda j: j.logged.chosen or ""),
        months=_shares(found, lambda j: j.logged.business_date.strftime("%Y-%m")),
        estimates=estimates,
        against_fixed=against,
        acceptance_ratio=ratio,
        acceptance=_bins([(_foretold(j)[0], j.accepted) for j in found if _foretold(j)[0] >= 0]),
        keeping=_bins(
            [
                (_foretold(j)[1], j.kept / (j.kept + j.missed))
                for j in found
                if j.kept + j.missed > 0 and _foretold(j)[1] >= 0
            ]
        ),
        model_versions=_named(d.model_version for d in decisions),
        estimate_versions=_named(d.estimate_version for d in decisions if d.estimate_version),
        updates=(min(updates), max(updates)) if updates else None,
        notes=tuple(notes),
    )


def _named(versions: Iterable[str]) -> dict[str, int]:
    """Return how often each is named, without the update of the model, of which there is one a day."""
    return dict(sorted(Counter(version.partition("@")[0] for version in versions).items()))


def by_fixed_order(d: ev.DecisionLogged) -> list[float]:
    """Return the probabilities with which the fixed order leads: the lowest instalment, then the lowest cost."""
    first = min(d.shown, key=lambda o: (o.x[_BURDEN], o.x[_COST], o.option_id))
    return [1.0 if o is first else 0.0 for o in d.shown]


WAYS: dict[str, Callable[[ev.DecisionLogged], list[float]]] = {
    "as it was": lambda d: [o.propensity for o in d.shown],
    "fixed order": by_fixed_order,
    "uniform": lambda d: [1 / len(d.shown)] * len(d.shown),
}


def _decision(j: Judged) -> Decision:
    names = [o.option_id for o in j.logged.shown]
    return Decision(
        # The first feature is a constant and the last says what led; the estimator knows both.
        tuple(tuple(v / MILLI for v in o.x[1:-1]) for o in j.logged.shown),
        names.index(j.logged.chosen or ""),
        tuple(o.propensity for o in j.logged.shown),
        j.reward,
    )


def _foretold(j: Judged) -> tuple[float, float]:
    """Return P(accept) and P(keep) as they were estimated of the lead, −1 where they were not."""
    for candidate in j.logged.candidates:
        if candidate.option_id == j.logged.chosen:
            return candidate.accept_bps / 10_000, candidate.keep_bps / 10_000
    return -1.0, -1.0


def _shares(found: Sequence[Judged], kind: Callable[[Judged], str]) -> tuple[Share, ...]:
    parts: dict[str, list[Judged]] = defaultdict(list)
    for j in found:
        parts[kind(j)].append(j)
    return tuple(
        Share(
            name,
            len(part),
            fmean(j.accepted for j in part),
            fmean(j.reward for j in part),
            sum(j.kept for j in part),
            sum(j.missed for j in part),
        )
        for name, part in sorted(parts.items())
    )


def _bins(pairs: Sequence[tuple[float, float]]) -> tuple[Bin, ...]:
    """Return pairs of foretold and came in bins of about the same size, by what was foretold."""
    ordered = sorted(pairs)
    edges = [len(ordered) * n // _BINS for n in range(_BINS + 1)]
    parts = [ordered[a:b] for a, b in pairwise(edges) if b > a]
    return tuple(Bin(len(part), fmean(f for f, _ in part), fmean(c for _, c in part)) for part in parts)
