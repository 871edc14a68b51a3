"""What logged decisions, and the evidence of what came of them, say: as figures that can be printed or drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from msgspec import Struct

from evaluation.calibration import Calibration, acceptance, calibration, keeping, month_of
from evaluation.drift import Stability, stability
from evaluation.estimators import Decision, Estimated, OffPolicy, difference, estimate, ratio
from evaluation.joined import Ages, Joined, Judged, joined
from evaluation.parity import LEAST_GROUP, Group, acceptance_parity, keeping_parity
from schemas import events as ev
from state.learning import FEATURES, MILLI

_BURDEN, _COST = FEATURES.index("burden"), FEATURES.index("cost")
# Recommendations that chance had a part in: only of these anything can be said of another way to recommend.
_BY_CHANCE = ("learned", "challenger")
_CONTROL = ("fixed", "holdout")


class OfferResults(Struct, frozen=True):
    """Offers of one kind.

    offers: those whose time to be answered is over; accepted: the share of them of which any option was. mature: those
    of which nothing more counts; reward: their mean. plans: mature plans of which the first three instalments are
    known; plans_kept: the share where all were kept. kept, missed: single instalments of mature offers. None: of none.
    """

    name: str
    offers: int
    accepted: float | None
    mature: int
    reward: float | None
    plans: int
    plans_kept: float | None
    kept: int
    missed: int


class OptionShare(Struct, frozen=True):
    """One option, over offers whose time to be answered is over.

    shown, recommended: in how many it was. chosen: in how many it was accepted. chosen_recommended: the share of those
    that recommended it in which it was. mature_recommended, reward_recommended: mature offers that recommended it, and
    their mean reward, whatever was accepted.
    plans, plans_kept: mature plans under it, and the share whose first three instalments were kept.
    """

    name: str
    shown: int
    recommended: int
    chosen: int
    chosen_recommended: float | None
    mature_recommended: int
    reward_recommended: float | None
    plans: int
    plans_kept: float | None


class Model(Struct, frozen=True):
    """A model by its name, how many versions of it decided, and how many decisions they made."""

    name: str
    versions: int
    decisions: int


class Report(Struct, frozen=True):
    """An evaluation.

    answered: offers whose time to be answered is over and of which it is known what came. mature: of these, those of
    which nothing more counts, so that their rewards are final. unresolved: mature plans of which too few instalments
    are known, paused ones mostly. estimates: by way to recommend; empty where chance had no part in any.
    against_fixed, acceptance_ratio: learned recommendations against the fixed order. acceptance_alone: of offers with a
    single option.
    """

    decisions: int
    answered: int
    mature: int
    unresolved: int
    first: str
    last: str
    through: str
    maturity_days: int
    estimates: dict[str, OffPolicy]
    against_fixed: Estimated | None
    acceptance_ratio: Estimated | None
    groups: tuple[OfferResults, ...]
    options: tuple[OptionShare, ...]
    months: tuple[OfferResults, ...]
    acceptance: Calibration | None
    acceptance_alone: Calibration | None
    keeping: Calibration | None
    drift: tuple[Stability, ...]
    acceptance_parity: tuple[Group, ...]
    keeping_parity: tuple[Group, ...]
    models: tuple[Model, ...]
    valued_by: tuple[Model, ...]
    notes: tuple[str, ...]


def report(events: Iterable[ev.Event], ages: Ages) -> Report:
    """Return what can be said of logged decisions. Raises ValueError where none was logged."""
    log = joined(events, ages)
    judged, days = log.judged, sorted(d.business_date for d in log.decisions)
    answered = [j for j in judged if j.answered]
    mature = [j for j in judged if j.mature]
    estimates = _estimates(mature)
    against, accepted = _against_fixed(answered, mature)
    return Report(
        decisions=len(log.decisions),
        answered=len(answered),
        mature=len(mature),
        unresolved=sum(j.accepted and j.first_kept is None for j in mature),
        first=days[0].isoformat(),
        last=days[-1].isoformat(),
        through=log.through.isoformat(),
        maturity_days=ages.maturity,
        estimates=estimates,
        against_fixed=against,
        acceptance_ratio=accepted,
        groups=_results_by(judged, lambda j: j.logged.arm),
        options=_option_shares(answered),
        months=_results_by(judged, month_of),
        acceptance=calibration(acceptance(judged)),
        acceptance_alone=calibration(acceptance([j for j in judged if len(j.logged.shown) == 1])),
        keeping=calibration(keeping(judged)),
        drift=stability(log.decisions),
        acceptance_parity=acceptance_parity(judged),
        keeping_parity=keeping_parity(judged),
        models=_models(d.model_version for d in log.decisions),
        valued_by=_models(d.estimate_version for d in log.decisions if d.estimate_version),
        notes=_notes(log, mature, estimates, against, accepted),
    )


def _notes(
    log: Joined,
    mature: Sequence[Judged],
    estimates: dict[str, OffPolicy],
    against: Estimated | None,
    accepted: Estimated | None,
) -> tuple[str, ...]:
    notes = []
    if not mature:
        notes.append("No offer is mature yet, so nothing is said of rewards, and nothing of plans that were kept.")
    elif not estimates:
        notes.append(
            "Chance had no part in the recommendation of any mature offer, so nothing can be said of another way."
        )
    if against is None:
        notes.append("Learned and fixed recommendations do not both have two mature offers: rewards are not compared.")
    if accepted is None:
        notes.append(
            f"Learned and fixed recommendations do not both have {LEAST_GROUP} answered offers, or nothing that the "
            "fixed order recommended was accepted: acceptance is not compared."
        )
    if any("jurisdiction" not in j.traits for j in log.judged):
        notes.append(
            "The log does not say the jurisdiction and the product of every offer: give OfferPublished, and "
            "WorkoutRequested or AccountOpened, too."
        )
    return tuple(notes)


def _estimates(mature: Sequence[Judged]) -> dict[str, OffPolicy]:
    drawn = [j for j in mature if j.logged.arm in _BY_CHANCE and all(o.propensity > 0 for o in j.logged.shown)]
    if len(drawn) < 2:
        return {}
    logged = [_decision(j) for j in drawn]
    return {name: estimate(logged, [way(j.logged) for j in drawn]) for name, way in WAYS.items()}


def _against_fixed(answered: Sequence[Judged], mature: Sequence[Judged]) -> tuple[Estimated | None, Estimated | None]:
    """Return by how much the reward of learned offers differs, and how many times as often they are accepted."""
    rewards = [[j.reward for j in mature if j.logged.arm in groups] for groups in (("learned",), _CONTROL)]
    learned, control = ([j.accepted for j in answered if j.logged.arm in groups] for groups in (("learned",), _CONTROL))
    compared = min(len(learned), len(control)) >= LEAST_GROUP and any(control)
    return (
        difference(*rewards) if min(map(len, rewards)) >= 2 else None,
        ratio(sum(learned), len(learned), sum(control), len(control)) if compared else None,
    )


def by_fixed_order(d: ev.DecisionLogged) -> list[float]:
    """Return the probabilities with which the fixed order recommends: the lowest instalment, then the lowest cost."""
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
        # The first feature is a constant and the last says what was recommended; the estimator knows both.
        tuple(tuple(v / MILLI for v in o.x[1:-1]) for o in j.logged.shown),
        names.index(j.logged.chosen or ""),
        tuple(o.propensity for o in j.logged.shown),
        j.reward,
    )


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _results_by(judged: Sequence[Judged], kind: Callable[[Judged], str]) -> tuple[OfferResults, ...]:
    parts: dict[str, list[Judged]] = defaultdict(list)
    for j in judged:
        parts[kind(j)].append(j)
    return tuple(_results(name, part) for name, part in sorted(parts.items()))


def _results(name: str, part: Sequence[Judged]) -> OfferResults:
    answered = [j.accepted for j in part if j.answered]
    mature = [j for j in part if j.mature]
    plans = _plans(part)
    return OfferResults(
        name,
        len(answered),
        _mean(answered),
        len(mature),
        _mean([j.reward for j in mature]),
        len(plans),
        _mean(plans),
        sum(j.kept for j in mature),
        sum(j.missed for j in mature),
    )


def _plans(part: Sequence[Judged]) -> list[bool]:
    return [j.first_kept for j in part if j.mature and j.accepted and j.first_kept is not None]


def _option_shares(answered: Sequence[Judged]) -> tuple[OptionShare, ...]:
    parts: dict[str, list[Judged]] = defaultdict(list)
    for j in answered:
        for option in j.logged.shown:
            parts[option.option_id].append(j)
    found = []
    for name, part in sorted(parts.items()):
        recommended = [j for j in part if j.logged.chosen == name]
        rewards = [j.reward for j in recommended if j.mature]
        plans = _plans([j for j in part if j.option == name])
        found.append(
            OptionShare(
                name,
                len(part),
                len(recommended),
                sum(j.option == name for j in part),
                _mean([j.option == name for j in recommended]),
                len(rewards),
                _mean(rewards),
                len(plans),
                _mean(plans),
            )
        )
    return tuple(found)


def _models(versions: Iterable[str]) -> tuple[Model, ...]:
    """Return models by the name before the @ of a version; behind it stands the update of what was learned."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for version in versions:
        counts[version.partition("@")[0]][version] += 1
    return tuple(Model(name, len(of), sum(of.values())) for name, of in sorted(counts.items()))
