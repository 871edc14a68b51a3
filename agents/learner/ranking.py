"""Which of the feasible options is recommended, and in which order they stand; never at what price.

A learner is a Ranker. Until it has learned, and whenever it is switched off, the fixed order is used. The learned model
draws the recommended option with probabilities that are known and never zero. Chance follows from a seed alone, and is
the same on every machine.

A borrower stays in their treatment arm: it follows from a hash of their id, so that the hold-out is permanent. Who is
held out is held out of all that was learned: of the recommendation, and of the estimate by which options are made and
weighed.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from statistics import NormalDist
from typing import Protocol

from msgspec import Struct, json

from agents.amounts import whole
from agents.learner.estimates import Estimate, Features, LearnedEstimate, PriorEstimate
from schemas import events as ev
from state.learning import MILLI, ModelSnapshot, Posterior, Prediction, Row, cholesky, dot
from state.policy import Learning

_WORD = 8


def unit(seed: int, number: int = 0) -> float:
    """Return the `number`th number of a seed (63 bits), uniform in [0, 1)."""
    digest = sha256(seed.to_bytes(_WORD, "big") + number.to_bytes(_WORD, "big")).digest()
    return (int.from_bytes(digest[:_WORD], "big") >> 11) / (1 << 53)


def normals(seed: int, count: int) -> list[float]:
    """Return numbers of a seed that are normal with mean 0 and deviation 1."""
    quantile = NormalDist().inv_cdf
    return [quantile(unit(seed, n) or 0.5) for n in range(count)]


VERSION = "linear-thompson-1"
UNIFORM = "uniform-1"
# Draws by which the probability of each option to be recommended is counted. They are the same for every offer, so that
# a probability follows from what was known alone; an offer has at most ten options.
_DRAWS = [normals(number, 10) for number in range(64)]
_PRIOR = PriorEstimate()


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
    """The order of the options, the recommended one, and the probability with which it was recommended.

    propensities: the same of every option, where chance had a part in it.
    """

    order: tuple[str, ...]
    recommended: str | None
    propensity: float
    model_version: str
    seed: int
    propensities: dict[str, float] = {}

    def propensity_of(self, option_id: str) -> float:
        """Return the probability with which an option was to be recommended."""
        if self.propensities:
            return self.propensities[option_id]
        return 1.0 if option_id == self.recommended else 0.0


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


def recommending(ranking: Ranking, option_id: str) -> Ranking:
    """Return a ranking that recommends, with certainty, the option that the borrower proposed or chose."""
    order = (option_id, *(o for o in ranking.order if o != option_id))
    return Ranking(order, option_id, 1.0, "borrower-choice-1", ranking.seed)


def first_by_reason(options: Sequence[ev.Option], proposed: ev.Option | None, codes: Sequence[str]) -> ev.Option | None:
    """Return the option that the reasons of an offer say comes first, None where none of them says so.

    proposed: the option that meets what the borrower proposed.
    """
    if proposed is not None or not options:
        return proposed
    if "lowest_possible" in codes:
        return min(options, key=lambda o: (o.instalment_amount, o.total_cost, o.option_id))
    return min(options, key=lambda o: (o.total_cost, o.instalment_amount, o.option_id)) if "rate" in codes else None


def true_of(
    first: ev.Option | None, options: Sequence[ev.Option], proposed: ev.Option | None, codes: Sequence[str]
) -> list[str]:
    """Return reasons without those that speak of the first option and are not true of it."""
    untrue = set()
    if first is not None and first.total_cost > min(o.total_cost for o in options):
        untrue.add("rate")
    if proposed is not None and proposed.instalment_amount > min(o.instalment_amount for o in options):
        untrue.add("lowest_possible")
    return [c for c in codes if c not in untrue]


def row_of(option: ev.Option, context: RankingContext, recommended: bool) -> Row:
    """Return what an option is like for whom it is offered, in thousandths, as `state.learning.FEATURES` names it."""
    owed = max(1, context.owed)
    waived = whole(option.waived)
    relief = min(MILLI, max(0, option.distressed_obligation_bps // 10))
    burden = min(3 * MILLI, option.instalment_amount * MILLI // max(1, context.surplus))
    features = Features(
        burden=burden / MILLI,
        term_months=option.term_months,
        relief=relief / MILLI,
        shape=option.shape,
        arrears=context.days_past_due,
    )
    return (
        MILLI,
        round(MILLI * _PRIOR.accept(features) * _PRIOR.perform(features)),
        burden,
        option.term_months * MILLI // 60,
        relief,
        min(MILLI, waived * MILLI // owed),
        min(2 * MILLI, max(0, (option.total_cost - owed) * MILLI // owed)),
        0 if option.shape == "level" else MILLI,
        min(MILLI, context.days_past_due * MILLI // 360),
        min(3, context.plans_broken) * MILLI // 3,
        (len(context.options) - 1) * MILLI // 3,
        MILLI if recommended else 0,
    )


def chances(prediction: Prediction, exploration: float) -> list[float]:
    """Return the probability with which each option is to be recommended.

    A recommended option is accepted more often, at the cost of the others and of silence; so what recommending it is
    worth grows with how often it is accepted, times how much better it does than the offer as a whole. The reward is
    drawn from the prediction; how often an option is best in so many draws is its probability, mixed with chance alone.
    """
    count = len(prediction.reward)
    accepted = [min(1.0, max(0.01, a)) for a in prediction.accepted]
    whole = max(0.0, sum(prediction.reward))
    sure = [mean - whole * a for mean, a in zip(prediction.reward, accepted, strict=True)]
    factor = cholesky(prediction.covariance)
    wins = [0] * count
    for z in _DRAWS:
        worth = [s + dot(row, z[:count]) for s, row in zip(sure, factor, strict=True)]
        wins[max(range(count), key=worth.__getitem__)] += 1
    return [(1 - exploration) * w / len(_DRAWS) + exploration / count for w in wins]


class LearnedOrder:
    """The recommended option is drawn by the learned model; the others follow in the fixed order.

    exploration: the share of recommendations that are left to chance alone, 0 to 1.
    """

    def __init__(self, posterior: Posterior, exploration: float, version: str = VERSION) -> None:
        self._posterior = posterior
        self._exploration = exploration
        self._version = version

    def rank(self, context: RankingContext) -> Ranking:
        """Return the order of the context's options; the same context gives the same order."""
        if len(context.options) < 2:
            return FixedOrder().rank(context)
        prediction = self._posterior.predict([row_of(o, context, recommended=False) for o in context.options])
        return drawn(context, chances(prediction, self._exploration), self._version)


class Uniform:
    """Recommends every option equally often: what a learner has to beat, and what an evaluation learns most from."""

    def rank(self, context: RankingContext) -> Ranking:
        """Return the options with one of them recommended, each as likely."""
        count = len(context.options)
        if count < 2:
            return FixedOrder().rank(context)
        return drawn(context, [1 / count] * count, UNIFORM)


def drawn(context: RankingContext, probabilities: Sequence[float], version: str) -> Ranking:
    """Return a ranking whose recommended option is drawn with these probabilities, by option of the context."""
    at, chosen = unit(context.seed), len(probabilities) - 1
    for number, probability in enumerate(probabilities):
        if at < probability:
            chosen = number
            break
        at -= probability
    name = context.options[chosen].option_id
    rest = tuple(o for o in FixedOrder().rank(context).order if o != name)
    known = {o.option_id: p for o, p in zip(context.options, probabilities, strict=True)}
    return Ranking((name, *rest), name, probabilities[chosen], version, context.seed, known)


BPS = 10_000
_SALT = "lead/"


def place_in_trial(borrower_id: str) -> int:
    """Return where a borrower stands among all, 0 to 9,999, each as likely."""
    return int.from_bytes(sha256((_SALT + borrower_id).encode()).digest()[:8], "big") % BPS


def arm_of(rules: Learning, borrower_id: str, learned: ModelSnapshot | None) -> str:
    """Return the arm that a borrower is in, under which his offers are logged: fixed, holdout, challenger or learned.

    All are in `fixed` unless learning is on, before anything was learned, or once a guardrail tripped.
    """
    if rules.mode != "on" or learned is None or learned.tripped:
        return "fixed"
    share = place_in_trial(borrower_id)
    if share < rules.holdout_bps:
        return "holdout"
    if rules.challenger != "none" and share < rules.holdout_bps + rules.challenger_bps:
        return "challenger"
    return "learned"


def ranker_for(rules: Learning, borrower_id: str, learned: ModelSnapshot | None) -> tuple[Ranker, str]:
    """Return who orders a borrower's options, and the arm under which it is logged.

    What was learned says in its version by which `ModelUpdated.version` it decides.
    """
    arm = arm_of(rules, borrower_id, learned)
    if arm == "learned" and learned is not None:
        version = f"{VERSION}@{learned.update.version}"
        return LearnedOrder(learned.posterior, rules.exploration_bps / BPS, version), arm
    return (Uniform() if arm == "challenger" and rules.challenger == "uniform" else FixedOrder()), arm


def estimate_for(rules: Learning, borrower_id: str, learned: ModelSnapshot | None) -> Estimate:
    """Return what values a borrower's options: what was learned of keeping plans, or the prior where that is held out.

    A challenger that recommends by chance differs from the learner in the recommendation alone; one by the fixed order
    is what would be without a learner, as the hold-out is.
    """
    arm = arm_of(rules, borrower_id, learned)
    is_learned = arm == "learned" or (arm == "challenger" and rules.challenger == "uniform")
    return (
        LearnedEstimate(learned.repayment_model, learned.update.version)
        if is_learned and learned is not None
        else PriorEstimate()
    )
