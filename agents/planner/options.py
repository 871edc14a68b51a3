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
from msgspec.structs import replace

from agents.learner.estimates import Estimate, PriorEstimate
from agents.planner.offer_texts import Locale
from agents.planner.option_evaluation import OptionEvaluator, ScoredOption, grid, is_assumed
from schemas import events as ev
from state.affordability import RepaymentCapacity
from state.policy import Options, Policy


class OptionSet(Struct, frozen=True):
    """What came of evaluator the grid: the options to publish, all candidates, and the kind of offer."""

    options: tuple[ev.Option, ...]
    candidates: tuple[ev.Candidate, ...]
    kind: str
    reasons: tuple[str, ...]


NO_OPTIONS = OptionSet((), (), "referral", ())


def build_options(
    debts: Sequence[ev.Debt],
    capacity: RepaymentCapacity,
    policy: Policy,
    first_due: date,
    estimate: Estimate | None = None,
    locale: Locale = "en",
) -> OptionSet:
    """Return the options to publish for a borrower's debts, and all that was weighed.

    kind is `plan` where there are options; else `pay_in_full` (it is too little for a plan, and can be paid at once),
    `token` (the surplus allows a token payment), `moratorium` (there is a little surplus) or `referral` (there is none,
    or the means are not known). Raises ValueError for debts in different currencies.
    """
    evaluator = OptionEvaluator(debts, capacity, policy, estimate or PriorEstimate())
    if not capacity.known or capacity.max_instalment <= 0:
        # Whoever can pay nothing, as far as anybody knows, needs no grid.
        return OptionSet((), (), *_without_plan(capacity, policy.options, evaluator.exposure, ()))
    kept: list[ScoredOption] = []
    candidates: list[ev.Candidate] = []
    for terms in grid(policy, debts):
        found = evaluator.score(terms)
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
                keep_bps=round(found.perform * 10_000),
                verdict="kept",
            )
        )
    options = [evaluator.option(w.terms, first_due, locale) for w in choose(kept, policy.options.max_published)]
    # The closed forms know no rounding: an option that rounds over the limit is no option.
    exact = tuple(o for o in options if o.instalment_amount <= capacity.max_instalment)
    if exact:
        return OptionSet(exact, tuple(candidates), "plan", ("income_assumed",) if is_assumed(capacity) else ())
    return OptionSet((), tuple(candidates), *_without_plan(capacity, policy.options, evaluator.exposure, candidates))


def options_within(
    debts: Sequence[ev.Debt],
    capacity: RepaymentCapacity,
    policy: Policy,
    first_due: date,
    estimate: Estimate | None = None,
    locale: Locale = "en",
    *,
    refused: int = 0,
) -> OptionSet:
    """Return options within what the borrower said, or, where there are none, nearest to it, with the reason.

    refused: a monthly amount that they refused as too high, 0 for none. Where there are none within all that they can
    afford, the reasons are those of that.
    """
    terms: list[tuple[int | None, tuple[str, ...]]] = [(capacity.max_term_months, ())]
    if capacity.max_term_months is not None:
        # A plan that is longer than wished is better than none.
        terms.append((None, ("no_shorter_term",)))
    limits: list[tuple[int, tuple[str, ...]]] = [(capacity.max_instalment, ())]
    if refused:
        limits = [(refused - 1, ()), (refused, ("lowest_possible",)), (capacity.max_instalment, ("lowest_possible",))]
    found = NO_OPTIONS
    for months, longer in terms:
        for limit, lowest in limits:
            bound = replace(capacity, max_instalment=min(capacity.max_instalment, limit), max_term_months=months)
            found = build_options(debts, bound, policy, first_due, estimate, locale)
            if found.kind == "plan":
                return replace(found, reasons=(*found.reasons, *longer, *lowest))
    return found


UNKNOWN = {"monthly_income": "income_unknown", "monthly_expenses": "expenses_unknown"}


def _without_plan(
    capacity: RepaymentCapacity, rules: Options, exposure: int, candidates: Sequence[ev.Candidate]
) -> tuple[str, tuple[str, ...]]:
    """Return the kind of an offer without options, and the reason why it has none."""
    missing = (*capacity.missing, *(("monthly_income",) if is_assumed(capacity) else ()))
    if missing or not capacity.known:
        # Whatever was assumed, nobody is told that they cannot afford anything before they were asked.
        return "referral", tuple(UNKNOWN[field] for field in missing) or ("income_unknown",)
    if capacity.disposable_income <= 0:
        return "referral", ("no_surplus",)
    reason = "nothing_affordable"
    if any(c.verdict == "below_minimum_instalment" for c in candidates):
        # There are plans that are affordable, whose instalments would be smaller than the policy's least.
        if exposure <= capacity.max_instalment:
            return "pay_in_full", ("payable_at_once",)
        reason = "below_minimum_instalment"
    if rules.token_payment and capacity.disposable_income >= rules.token_payment:
        return "token", (reason,)
    return "moratorium", (reason,)


def choose(kept: Sequence[ScoredOption], most: int) -> list[ScoredOption]:
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


def pareto(kept: Sequence[ScoredOption]) -> list[ScoredOption]:
    """Return those that no other is at least as good as in all three, and better in one."""
    front: list[ScoredOption] = []
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
    capacity: RepaymentCapacity,
    policy: Policy,
    first_due: date,
    estimate: Estimate | None = None,
    locale: Locale = "en",
    *,
    counter_amount: int,
) -> ev.Option | None:
    """Return the most valuable option that asks for no more a month than the borrower proposes.

    It has to be legal, within authority and affordable too: what a borrower proposes above his means is not
    met with a plan that he cannot keep. None where there is none.
    """
    limit = min(capacity.max_instalment, counter_amount)
    evaluator = OptionEvaluator(debts, replace(capacity, max_instalment=limit), policy, estimate or PriorEstimate())
    fitting = [w for terms in grid(policy, debts) if not isinstance(w := evaluator.score(terms), str)]
    for w in sorted(fitting, key=lambda w: (-w.value, w.terms.option_id)):
        option = evaluator.option(w.terms, first_due, locale)
        if option.instalment_amount <= limit:
            return option
    return None
