"""Offers and what would become of them, with the truth of `simulator.truth` known for every recommendation.

One by one, without accounts and days: borrowers of a population, each with a debt, are weighed by the agents' own code,
and of each option that could be recommended it is known how likely each option is then accepted and its plan kept. So
regret needs no guess, and a learner can be measured on more offers than a year of a whole portfolio brings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from msgspec.structs import replace

from agents.learner.ranking import LearnedOrder, Ranker, RankingContext, row_of
from agents.planner.offer_outcomes import ACCEPTED, FIRST_KEPT, THIRD_KEPT
from agents.planner.offers import seed_of
from agents.planner.options import build_options
from schemas import events as ev
from simulator.chance import keyed, unit
from simulator.population import Population
from simulator.truth import acceptance, deals_of, keeping, situation_of
from state.affordability import RepaymentCapacity
from state.learning import MILLI, Posterior, SufficientStatistics
from state.policy import Policy

SIZE, AGE, MONTH, HOPE, SCORE, BROKEN, CHOICE, KEPT = range(224, 232)
START = date(2026, 1, 1)
# An answer and the first instalments of a plan come this many offers later, and a model is updated that often.
DELAY, UPDATED_EVERY = 50, 20


@dataclass(frozen=True, slots=True)
class Opportunity:
    """An offer about to be made, and the truth of it.

    accepted: by the option that is recommended, the probability of each option to be accepted. kept: by option, the
    probability that an instalment is kept. reward: by option, what is expected of it once it is accepted. paid,
    completed: so too, the share of what is owed that its plan brings, and the probability that it never breaks.
    """

    context: RankingContext
    key: int
    accepted: tuple[tuple[float, ...], ...]
    kept: tuple[float, ...]
    reward: tuple[float, ...]
    paid: tuple[float, ...]
    completed: tuple[float, ...]

    def expected(self, recommended: int) -> float:
        """Return the reward, 0 to 1, that is to be expected where an option is recommended."""
        return sum(a * r for a, r in zip(self.accepted[recommended], self.reward, strict=True))

    def recovered(self, recommended: int) -> float:
        """Return the share of what is owed that a plan is expected to bring where an option is recommended."""
        return sum(a * p for a, p in zip(self.accepted[recommended], self.paid, strict=True))

    def cured(self, recommended: int) -> float:
        """Return the probability of a plan that is completed where an option is recommended."""
        return sum(a * c for a, c in zip(self.accepted[recommended], self.completed, strict=True))

    def outcome(self, recommended: int) -> tuple[int | None, int]:
        """Return which option is accepted where one is recommended, and the reward in thousandths."""
        at = unit(self.key, CHOICE)
        for number, probability in enumerate(self.accepted[recommended]):
            if at < probability:
                kept = [unit(self.key, KEPT, n) < self.kept[number] for n in range(3)]
                return number, ACCEPTED if not kept[0] else THIRD_KEPT if all(kept) else FIRST_KEPT
            at -= probability
        return None, 0


def opportunities(count: int, seed: int, policy: Policy) -> Iterator[Opportunity]:
    """Yield offers to borrowers of a population who have something to choose from."""
    people = Population(count, seed, START)
    index = made = 0
    while made < count:
        borrower = people.borrower(index % people.size)
        key = keyed(borrower.key, MONTH, index)
        index += 1
        of = situation_of(borrower, 1 + key % 24)
        if of.surplus <= 0:
            continue
        account = borrower.accounts[0]
        principal = max(1_000, int(of.surplus * (1 + 13 * unit(key, SIZE))))
        debt = ev.Debt(
            account_id=account.account_id,
            product="personal_loan",
            jurisdiction="CN",
            currency="CNY",
            annual_rate_bps=max(300, account.annual_rate_bps),
            outstanding=ev.Amounts(principal=principal, interest=principal // 20, fees=0, penalty=principal // 50),
            overdue_amount=principal // 6,
            days_past_due=31 + int(170 * unit(key, AGE)),
            missed=3,
            bucket="dpd_31_60",
            bad_debt="none",
            stage=2,
            remaining_months=12,
            contract_instalment=principal // 12,
            plans_broken=int(unit(key, BROKEN) < 0.25),
        )
        # What is known of the surplus is not quite what it is.
        surplus = int(of.surplus * (0.85 + 0.35 * unit(key, HOPE)))
        rules = policy.affordability
        score = 600 + int(200 * unit(key, SCORE))
        capacity = RepaymentCapacity(surplus, surplus * rules.alpha_bps // 10_000, "CNY", None, score)
        options = build_options([debt], capacity, policy, date(2026, 3, 1)).options
        if len(options) < 2:
            continue
        owed = principal + principal // 20 + principal // 50
        made += 1
        context = RankingContext(
            options=options,
            seed=seed_of(f"{seed}/{made}"),
            surplus=surplus,
            limit=capacity.max_instalment,
            owed=owed,
            overdue=debt.overdue_amount,
            days_past_due=debt.days_past_due,
            accounts=1,
            plans_broken=debt.plans_broken,
            sequence=1,
        )
        deals = deals_of(options, None, debt.annual_rate_bps, owed)
        kept = tuple(keeping(deal, of) for deal in deals)
        ends = policy.plans.broken_after_missed
        fates = [fate([i.amount for i in o.instalments], k, owed, ends) for o, k in zip(options, kept, strict=True)]
        yield Opportunity(
            context=context,
            key=key,
            accepted=tuple(
                acceptance([replace(d, recommended=n == recommended) for n, d in enumerate(deals)], of)
                for recommended in range(len(deals))
            ),
            kept=kept,
            paid=tuple(paid for paid, _ in fates),
            completed=tuple(completed for _, completed in fates),
            reward=tuple((ACCEPTED * (1 - k) + FIRST_KEPT * k * (1 - k * k) + THIRD_KEPT * k**3) / MILLI for k in kept),
        )


def fate(amounts: Sequence[int], kept: float, owed: int, broken_after_missed: int) -> tuple[float, float]:
    """Return what share of a debt a plan brings, at most 1, and how likely it never breaks.

    Each instalment is kept with the same probability; one that is missed is not made up for, and so many in a row
    break the plan, after which nothing is counted.
    """
    # By the number of instalments missed in a row, the probability that the plan has come so far.
    alive = [1.0] + [0.0] * (broken_after_missed - 1)
    brought = 0.0
    for amount in amounts:
        running = sum(alive)
        brought += running * kept * amount
        alive = [running * kept, *(p * (1 - kept) for p in alive[:-1])]
    return min(1.0, brought / owed), sum(alive)


@dataclass(slots=True)
class Played:
    """What became of offers under one way to recommend: by offer the option recommended, propensities, the outcome."""

    recommended: list[int]
    propensities: list[list[float]]
    rewards: list[int]
    regrets: list[float]
    statistics: SufficientStatistics

    def regret(self) -> float:
        """Return how much less reward was to be expected than under the best recommendations, all in all."""
        return sum(self.regrets)


def play(
    given: Sequence[Opportunity],
    ranker: Ranker | Callable[[Posterior], Ranker],
    order: Callable[[Opportunity], int] | None = None,
) -> Played:
    """Make offers one after the other, and learn from each some time later.

    ranker: one that never changes, or what makes one of all that was learned so far. order: recommends by the truth
    itself, in its place.
    """
    played = Played([], [], [], [], SufficientStatistics())
    waiting: list[list[ev.EvidenceRow]] = []
    current = ranker(Posterior(played.statistics)) if callable(ranker) else ranker
    for number, chance in enumerate(given):
        if callable(ranker) and number % UPDATED_EVERY == 0:
            current = ranker(Posterior(played.statistics))
        context = chance.context
        names = [o.option_id for o in context.options]
        if order is not None:
            recommended, propensities = order(chance), [0.0] * len(names)
            propensities[recommended] = 1.0
        else:
            ranking = current.rank(context)
            assert ranking.recommended is not None
            recommended, propensities = (
                names.index(ranking.recommended),
                [ranking.propensity_of(name) for name in names],
            )
        chosen, reward = chance.outcome(recommended)
        waiting.append(
            [
                ev.EvidenceRow(
                    x=row_of(option, context, n == recommended),
                    shown=1,
                    accepted=MILLI if n == chosen else 0,
                    reward=reward if n == chosen else 0,
                )
                for n, option in enumerate(context.options)
            ]
        )
        if len(waiting) > DELAY:
            for row in waiting.pop(0):
                played.statistics.add(row)
        played.recommended.append(recommended)
        played.propensities.append(propensities)
        played.rewards.append(reward)
        played.regrets.append(max(map(chance.expected, range(len(names)))) - chance.expected(recommended))
    return played


def learned(posterior: Posterior) -> Ranker:
    """Return what recommends by all that was learned so far, with the default policy's exploration."""
    return LearnedOrder(posterior, 0.05)


def best(chance: Opportunity) -> int:
    """Return the recommendation of which most is to be expected in truth."""
    return max(range(len(chance.accepted)), key=chance.expected)
