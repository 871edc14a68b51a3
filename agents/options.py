"""Which ways to repay a borrower is offered: what is feasible of the grid, and the choice among it.

The grid is term × rate cut × waiver × shape, alike for all of the borrower's troubled accounts, whose
instalments share one surplus. What is not affordable, not legal or beyond authority is dropped with its
reason; of the rest, at most a few are published that no other beats in instalment, total cost and value.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date

from msgspec import Struct

from agents.estimates import Estimate, PriorEstimate
from agents.option_words import Locale
from agents.weighing import Weighed, Weighing, grid
from schemas import events as ev
from state.affordability import Capacity
from state.policy import Options, Policy


class OptionSet(Struct, frozen=True):
    """What came of weighing the grid: the options to publish, all candidates, and the kind of offer."""

    options: tuple[ev.Option, ...]
    candidates: tuple[ev.Candidate, ...]
    kind: str
    reasons: tuple[str, ...]


def build_options(
    debts: Sequence[ev.Debt],
    capacity: Capacity,
    policy: Policy,
    first_due: date,
    estimate: Estimate | None = None,
    locale: Locale = "en",
) -> OptionSet:
    """Return the options to publish for a borrower's debts, and all that was weighed.

    kind is `plan` where there are options; else `token` (the surplus allows a token payment), `moratorium`
    (there is a little surplus) or `referral` (there is none, or the income is unknown). Raises ValueError for
    debts in different currencies.
    """
    weighing = Weighing(debts, capacity, policy, estimate or PriorEstimate())
    if not capacity.known or capacity.limit <= 0:
        # Whoever can pay nothing, as far as anybody knows, needs no grid.
        return OptionSet((), (), *_without_plan(capacity, policy.options))
    kept: list[Weighed] = []
    candidates: list[ev.Candidate] = []
    for terms in grid(policy, debts):
        found = weighing.weigh(terms)
        name = terms.option_id
        if isinstance(found, str):
            candidates.append(ev.Candidate(option_id=name, value=0.0, accept_bps=0, keep_bps=0, verdict=found))
            continue
        kept.append(found)
        candidates.append(
            ev.Candidate(
                option_id=name,
                value=round(found.value, 2),
                accept_bps=round(found.accept * 10_000),
                keep_bps=round(found.keep * 10_000),
                verdict="kept",
            )
        )
    options = [weighing.option(w.terms, first_due, locale) for w in choose(kept, policy.options.max_published)]
    # The closed forms know no rounding: an option that rounds over the limit is no option.
    exact = tuple(o for o in options if o.instalment_amount <= capacity.limit)
    if exact:
        return OptionSet(exact, tuple(candidates), "plan", ())
    return OptionSet((), tuple(candidates), *_without_plan(capacity, policy.options))


def _without_plan(capacity: Capacity, rules: Options) -> tuple[str, tuple[str, ...]]:
    if not capacity.known:
        return "referral", ("income_unknown",)
    if capacity.surplus <= 0:
        return "referral", ("no_surplus",)
    if rules.token_payment and capacity.surplus >= rules.token_payment:
        return "token", ("nothing_affordable",)
    return "moratorium", ("nothing_affordable",)


def choose(kept: Sequence[Weighed], most: int) -> list[Weighed]:
    """Return at most so many options that no other beats in instalment, total cost and value.

    The lowest instalment and the lowest total cost are always among them; the others follow by value.
    """
    if not kept:
        return []
    front = pareto(kept)
    lowest = min(front, key=lambda w: (w.largest, w.total, w.terms.option_id))
    cheapest = min(front, key=lambda w: (w.total, w.largest, w.terms.option_id))
    chosen = [lowest] if lowest is cheapest or most == 1 else [lowest, cheapest]
    for w in sorted(front, key=lambda w: (-w.value, w.largest, w.terms.option_id)):
        if len(chosen) >= most:
            break
        # Options that a borrower cannot tell apart are one option.
        if all(
            abs(w.largest - c.largest) > 0.02 * c.largest or abs(w.total - c.total) > 0.02 * c.total for c in chosen
        ):
            chosen.append(w)
    return sorted(chosen, key=lambda w: (w.largest, w.total))


def pareto(kept: Sequence[Weighed]) -> list[Weighed]:
    """Return those that no other is at least as good as in all three, and better in one."""
    front: list[Weighed] = []
    # By ascending instalment, so one that came before beats w if it costs no more and is worth no less. Of
    # those only a staircase matters: totals ascending, values ascending.
    totals: list[float] = []
    values: list[float] = []
    for w in sorted(kept, key=lambda w: (w.largest, w.total, -w.value, w.terms.option_id)):
        at = bisect_right(totals, w.total)
        if at and values[at - 1] >= w.value:
            continue
        front.append(w)
        end = at
        while end < len(values) and values[end] <= w.value:
            end += 1
        totals[at:end], values[at:end] = [w.total], [w.value]
    return front


def counter_option(
    debts: Sequence[ev.Debt],
    capacity: Capacity,
    policy: Policy,
    first_due: date,
    counter_amount: int,
    estimate: Estimate | None = None,
    locale: Locale = "en",
) -> ev.Option | None:
    """Return the most valuable option that asks for no more a month than the borrower proposes.

    It has to be legal, within authority and affordable too: what a borrower proposes above his means is not
    met with a plan that he cannot keep. None where there is none.
    """
    limit = min(capacity.limit, counter_amount)
    bound = Capacity(
        surplus=capacity.surplus,
        limit=limit,
        currency=capacity.currency,
        max_term_months=capacity.max_term_months,
        credit_score=capacity.credit_score,
        known=capacity.known,
    )
    weighing = Weighing(debts, bound, policy, estimate or PriorEstimate())
    fitting = [w for terms in grid(policy, debts) if not isinstance(w := weighing.weigh(terms), str)]
    for w in sorted(fitting, key=lambda w: (-w.value, w.terms.option_id)):
        option = weighing.option(w.terms, first_due, locale)
        if option.instalment_amount <= limit:
            return option
    return None
