"""Which option leads, as answers have taught: by chance, with probabilities that are known and never zero."""

from __future__ import annotations

from collections.abc import Sequence

from agents.amounts import whole
from agents.chance import normals, unit
from agents.estimates import Features, PriorEstimate
from agents.ranking import FixedOrder, Ranking, RankingContext
from schemas import events as ev
from state.learning import MILLI, Beliefs, Posterior, Row
from state.linear import cholesky, dot

VERSION = "linear-thompson-1"
UNIFORM = "uniform-1"
# Draws by which the probability of each option to lead is counted. They are the same for every offer, so that a
# probability follows from what was known alone; an offer has at most ten options.
_DRAWS = [normals(number, 10) for number in range(64)]
_PRIOR = PriorEstimate()


def row_of(option: ev.Option, context: RankingContext, lead: bool) -> Row:
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
        round(MILLI * _PRIOR.accept(features) * _PRIOR.keep(features)),
        burden,
        option.term_months * MILLI // 60,
        relief,
        min(MILLI, waived * MILLI // owed),
        min(2 * MILLI, max(0, (option.total_cost - owed) * MILLI // owed)),
        0 if option.shape == "level" else MILLI,
        min(MILLI, context.days_past_due * MILLI // 360),
        min(3, context.plans_broken) * MILLI // 3,
        (len(context.options) - 1) * MILLI // 3,
        MILLI if lead else 0,
    )


def chances(beliefs: Beliefs, exploration: float) -> list[float]:
    """Return the probability with which each option is to lead.

    An option that leads is accepted more often, at the cost of the others and of silence; so what its lead is worth
    grows with how often it is accepted, times how much better it does than the offer as a whole. The reward is drawn
    from the beliefs; how often an option is best in so many draws is its probability, mixed with chance alone.
    """
    count = len(beliefs.reward)
    accepted = [min(1.0, max(0.01, a)) for a in beliefs.accepted]
    whole = max(0.0, sum(beliefs.reward))
    sure = [mean - whole * a for mean, a in zip(beliefs.reward, accepted, strict=True)]
    factor = cholesky(beliefs.covariance)
    wins = [0] * count
    for z in _DRAWS:
        worth = [s + dot(row, z[:count]) for s, row in zip(sure, factor, strict=True)]
        wins[max(range(count), key=worth.__getitem__)] += 1
    return [(1 - exploration) * w / len(_DRAWS) + exploration / count for w in wins]


class LearnedOrder:
    """The option that leads is drawn by what was learned; the others follow in the fixed order.

    exploration: the share of leads that are left to chance alone, 0 to 1.
    """

    def __init__(self, posterior: Posterior, exploration: float, version: str = VERSION) -> None:
        self._posterior = posterior
        self._exploration = exploration
        self._version = version

    def rank(self, context: RankingContext) -> Ranking:
        """Return the order of the context's options; the same context gives the same order."""
        if len(context.options) < 2:
            return FixedOrder().rank(context)
        beliefs = self._posterior.of([row_of(o, context, lead=False) for o in context.options])
        return drawn(context, chances(beliefs, self._exploration), self._version)


class Uniform:
    """Every option leads equally often: what a learner has to beat, and what an evaluation learns most from."""

    def rank(self, context: RankingContext) -> Ranking:
        """Return the options with one of them in the lead, each as likely."""
        count = len(context.options)
        if count < 2:
            return FixedOrder().rank(context)
        return drawn(context, [1 / count] * count, UNIFORM)


def drawn(context: RankingContext, probabilities: Sequence[float], version: str) -> Ranking:
    """Return a ranking whose lead is drawn with these probabilities, in the order of the context's options."""
    at, lead = unit(context.seed), len(probabilities) - 1
    for number, probability in enumerate(probabilities):
        if at < probability:
            lead = number
            break
        at -= probability
    name = context.options[lead].option_id
    rest = tuple(o for o in FixedOrder().rank(context).order if o != name)
    known = {o.option_id: p for o, p in zip(context.options, probabilities, strict=True)}
    return Ranking((name, *rest), name, probabilities[lead], version, context.seed, known)
