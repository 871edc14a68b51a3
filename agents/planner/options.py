"""Which ways to repay a borrower is offered: what is feasible of the grid, what it is worth, and the choice among it.

The grid is term × rate cut × waiver × shape, alike for all of the borrower's troubled accounts, whose
instalments share one surplus. What is not affordable, not legal or beyond authority is dropped with its
reason; of the rest, at most a few are published that no other beats in instalment, total cost and value.
Points are screened by closed forms; only those that are published are amortised, to the minor unit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from agents.amounts import exposure_of, lateness_of, owed, rate_of, saving_of, summed
from agents.learner.estimates import Estimate, Features, PriorEstimate
from agents.planner.arrangements import KINDS, arrangements
from agents.planner.offer_texts import Locale, label_of, reasons_for
from schemas import events as ev
from state.affordability import RepaymentCapacity
from state.policy import Options, Policy
from state.schedules import MONTHLY, amortise, annuity_factors, discount_factors, loss_bps, present_value

# Internal rule: by how much principal or limit has to move, in basis points, before an open offer is remade.
# Interest and fees that grow with age never count.
MATERIAL_BPS = 1_000

# Of a plan that breaks, about this share of its value has come in before (internal assumption).
BROKEN_SHARE = 0.3


class OptionTerms(Struct, frozen=True):
    """A point of the grid."""

    months: int
    rate_cut_bps: int
    waived: tuple[str, ...]
    shape: ev.Shape
    deferred: int = 0

    @property
    def option_id(self) -> str:
        """Return what tells one point from another, and so one option of an offer from another."""
        return _option_id(self)


class ScoredOption(Struct, frozen=True, gc=False):
    """A point of the grid with its largest instalment, total, value to the lender, P(accept) and P(perform)."""

    terms: OptionTerms
    largest: float
    total: float
    value: float
    accept: float
    perform: float


@lru_cache(maxsize=16_384)
def _option_id(terms: OptionTerms) -> str:
    waived = "".join(f"-no_{part}" for part in terms.waived)
    deferred = f"_{terms.deferred}" if terms.deferred else ""
    return f"{terms.months}m-{terms.shape}{deferred}-cut_{terms.rate_cut_bps}{waived}"


def waived_of(debt: ev.Debt, waived: Sequence[str]) -> ev.Amounts:
    """Return what a waiver forgives of a debt."""
    return ev.Amounts(
        interest=debt.outstanding.interest if "interest" in waived else 0,
        penalty=debt.outstanding.penalty if "penalty" in waived else 0,
    )


def financed(debt: ev.Debt, waived: Sequence[str]) -> int:
    """Return what a plan has to repay of a debt."""
    forgiven = waived_of(debt, waived)
    return owed(debt) - forgiven.interest - forgiven.penalty


def cut_rate(rate_bps: int, cut_bps: int) -> int:
    """Return a rate after a cut in basis points of it, rounded down to a whole basis point."""
    return rate_bps * (10_000 - cut_bps) // 10_000


def longest_term(policy: Policy) -> int:
    """Return the longest term in months that an offer may have, at least 1.

    What a debt may grow by while an offer is open is asked for behind the last instalment; that has to end within the
    legal term too, whichever day the offer is accepted on (for cards in China five years: 信用卡办法 Art 70).
    """
    # The first instalment is due a month after the offer, or once it can no longer be accepted.
    waits = max(1, -(-(policy.offers.open_days + 1) // 28))
    return max(1, (policy.plans.max_term_months + 1 - waits) * 10_000 // (10_000 + MATERIAL_BPS))


def grid(policy: Policy, debts: Sequence[ev.Debt]) -> tuple[OptionTerms, ...]:
    """Return the points of the grid that differ for these debts.

    A legal term that leaves no room for what a debt may still grow by is shortened to the longest that does.
    """
    present = tuple(part for part in ("penalty", "interest") if any(getattr(d.outstanding, part) for d in debts))
    at_interest = any(d.annual_rate_bps for d in debts)
    return _grid(policy.options, at_interest, present, policy.plans.max_term_months, longest_term(policy))


@lru_cache(maxsize=256)
def _grid(
    options: Options, at_interest: bool, present: tuple[str, ...], legal: int, longest: int
) -> tuple[OptionTerms, ...]:
    terms = dict.fromkeys(min(months, longest) if months <= legal else months for months in options.terms)
    rates = sorted({0, *options.rate_cuts_bps}) if at_interest else [0]
    waivers = {tuple(sorted(w)) for w in options.waivers if set(w) <= set(present)}
    shapes: list[tuple[ev.Shape, int]] = []
    for shape in options.shapes:
        shapes += [(shape, n) for n in options.deferred_months] if shape == "deferred" else [(shape, 0)]
    return tuple(
        OptionTerms(months, cut, waived, shape, deferred)
        for months in terms
        for cut in rates
        for waived in sorted(waivers | {()})
        for shape, deferred in shapes
    )


def is_assumed(capacity: RepaymentCapacity) -> bool:
    """Say whether it rests on an income that nobody reported; what can be afforded is then no fact."""
    return "monthly_income" in capacity.assumed


class OptionEvaluator:
    """One borrower's debts against one policy, with what is computed once for all points of the grid."""

    def __init__(
        self, debts: Sequence[ev.Debt], capacity: RepaymentCapacity, policy: Policy, estimate: Estimate
    ) -> None:
        if len({d.currency for d in debts}) != 1:
            raise ValueError("debts in different currencies need an offer each")
        self.debts = debts
        self.capacity = capacity
        self.policy = policy
        self.estimate = estimate
        self.exposure = exposure_of(debts)
        self.arrears = lateness_of(debts)
        self._financed: dict[tuple[str, ...], tuple[int, ...]] = {}
        rules = policy.options
        self.no_deal = sum(
            owed(d) * rules.no_deal_recovery_bps / 10_000 * discount_factors(d.annual_rate_bps)[rules.no_deal_months]
            for d in debts
        )

    def financed(self, waived: tuple[str, ...]) -> tuple[int, ...]:
        """Return what a plan has to repay of each debt under a waiver."""
        amounts = self._financed.get(waived)
        if amounts is None:
            amounts = self._financed[waived] = tuple(financed(d, waived) for d in self.debts)
        return amounts

    def rejection(self, terms: OptionTerms) -> str | None:
        """Return why a point is not legal or beyond authority, before its instalments are known."""
        policy, rules = self.policy, self.policy.options
        if terms.months > policy.plans.max_term_months:
            return "over_legal_term"
        if self.capacity.max_term_months is not None and terms.months > self.capacity.max_term_months:
            return "longer_than_wanted"
        if terms.shape == "deferred" and terms.deferred >= terms.months:
            return "deferral_as_long_as_term"
        score = self.capacity.credit_score or 0
        if terms.rate_cut_bps > rules.authority_rate_cut_bps and (
            not rules.rate_relief_score or score < rules.rate_relief_score
        ):
            return "rate_beyond_authority"
        forgiven = self.exposure - sum(self.financed(terms.waived))
        if forgiven * 10_000 > self.exposure * rules.authority_waiver_bps:
            return "waiver_beyond_authority"
        # A plan needs something to repay on each of its accounts.
        if 0 in self.financed(terms.waived):
            return "nothing_left_to_repay"
        return None

    def quick_quote(self, terms: OptionTerms) -> tuple[float, float, float]:
        """Return the largest instalment, the total paid and the present value, from closed forms."""
        largest = total = value = 0.0
        step_up = self.policy.options.step_up_bps
        for debt, amount in zip(self.debts, self.financed(terms.waived), strict=True):
            rate = cut_rate(debt.annual_rate_bps, terms.rate_cut_bps)
            unit = unit_quote(debt.annual_rate_bps, rate, terms.months, terms.shape, terms.deferred, step_up)
            largest += amount * unit[0]
            total += amount * unit[1]
            value += amount * unit[2]
        return largest, total, value

    def score(self, terms: OptionTerms) -> ScoredOption | str:
        """Return what a point is worth, or why it is dropped."""
        reason = self.rejection(terms)
        if reason is not None:
            return reason
        largest, total, plan_value = self.quick_quote(terms)
        # The closed forms know no rounding: what may round to within the limit is decided by its exact instalments.
        if largest > self.capacity.max_instalment + len(self.debts) / 2:
            return "not_affordable"
        if largest < self.policy.options.minimum_instalment:
            return "below_minimum_instalment"
        if (self.exposure - plan_value) * 10_000 > self.policy.options.max_npv_loss_bps * self.exposure:
            return "loss_beyond_authority"
        features = Features(
            burden=largest / max(1, self.capacity.disposable_income),
            term_months=terms.months,
            relief=min(1.0, max(0.0, (self.exposure - plan_value) / self.exposure)),
            shape=terms.shape,
            arrears=self.arrears,
        )
        accept, perform = self.estimate.accept(features), self.estimate.perform(features)
        broken = BROKEN_SHARE * plan_value + (1 - BROKEN_SHARE) * self.no_deal
        agreed = perform * plan_value + (1 - perform) * broken
        value = accept * agreed + (1 - accept) * self.no_deal - self.policy.options.cost_per_plan
        return ScoredOption(terms, largest, total, value, accept, perform)

    def option(self, terms: OptionTerms, first_due: date, locale: Locale) -> ev.Option:
        """Return a point of the grid as an exact option."""
        rules = self.policy.options
        shares = []
        npv = 0.0
        for debt in self.debts:
            rate = cut_rate(debt.annual_rate_bps, terms.rate_cut_bps)
            schedule = amortise(
                financed(debt, terms.waived),
                rate,
                terms.months,
                first_due,
                terms.shape,
                rules.rounding,
                rules.step_up_bps,
                terms.deferred,
                self.policy.due_days,
            )
            npv += present_value([i.amount for i in schedule], debt.annual_rate_bps)
            shares.append(
                ev.Share(
                    account_id=debt.account_id,
                    financed=financed(debt, terms.waived),
                    waived=waived_of(debt, terms.waived),
                    annual_rate_bps=rate,
                    instalments=schedule,
                )
            )
        together = summed(shares)
        currency = self.debts[0].currency
        total, largest = sum(i.amount for i in together), max(i.amount for i in together)
        exposure = self.exposure
        forgiven = _forgiven(shares)
        option = ev.Option(
            option_id=terms.option_id,
            label="",
            instalments=together,
            term_months=len(together),
            instalment_amount=largest,
            annual_rate_bps=rate_of(shares),
            waived=forgiven,
            total_cost=total,
            saves=saving_of(self.debts, total),
            npv=round(npv),
            distressed_obligation_bps=loss_bps(exposure, npv),
            shape=terms.shape,
            shares=tuple(shares),
            reasons=(),
        )
        messages = self.policy.messages(locale, self.debts[0].jurisdiction)
        return replace(
            option,
            label=label_of(option, terms.deferred, currency, messages),
            reasons=reasons_for(
                option, terms.rate_cut_bps, terms.deferred, currency, messages, affordable=not is_assumed(self.capacity)
            ),
        )


def _forgiven(shares: Sequence[ev.Share]) -> ev.Amounts:
    return ev.Amounts(
        interest=sum(s.waived.interest for s in shares),
        penalty=sum(s.waived.penalty for s in shares),
    )


@lru_cache(maxsize=65_536)
def unit_quote(
    original_bps: int, rate_bps: int, months: int, shape: ev.Shape, deferred: int, step_up_bps: int
) -> tuple[float, float, float]:
    """Return largest instalment, total and present value of a plan for one unit of debt, before rounding."""
    worth, annuity = annuity_factors(original_bps), annuity_factors(rate_bps)
    level = 1 / annuity[months]
    interest = rate_bps / MONTHLY
    light, first, balance = 0, 0.0, 1.0
    if shape == "step_up":
        light = months // 2
        first = max(level * step_up_bps / 10_000, interest)
        grown = 1 / discount_factors(rate_bps)[light]
        balance = grown - first * (grown - 1) / interest if interest else 1 - first * light
    elif shape == "deferred":
        light, first = deferred, interest
    later = balance / annuity[months - light]
    total = first * light + later * (months - light)
    return max(first, later), total, first * worth[light] + later * (worth[months] - worth[light])


class OptionSet(Struct, frozen=True):
    """What came of evaluating the grid: the options to publish, all candidates, and the kind of offer."""

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

    kind is `plan` where there are plans; else `pay_in_full` (it is too little for a plan, and can be paid at once),
    `token` or `moratorium` (an arrangement for a time, by the one that comes first) or `referral` (the means are not
    known, or the policy permits no arrangement). Raises ValueError for debts in different currencies.
    """
    evaluator = OptionEvaluator(debts, capacity, policy, estimate or PriorEstimate())
    if not capacity.known or capacity.max_instalment <= 0:
        # Whoever can pay nothing, as far as anybody knows, needs no grid.
        return _without_plan(evaluator, first_due, locale, [])
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
    return _without_plan(evaluator, first_due, locale, candidates)


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
    found = [NO_OPTIONS]
    for months, longer in terms:
        for limit, lowest in limits:
            bound = replace(capacity, max_instalment=min(capacity.max_instalment, limit), max_term_months=months)
            found.append(build_options(debts, bound, policy, first_due, estimate, locale))
            if found[-1].kind == "plan":
                return replace(found[-1], reasons=(*found[-1].reasons, *longer, *lowest))
    # An arrangement asks for less than was refused, where there is one.
    return next((each for each in found if each.options), found[-1])


UNKNOWN = {"monthly_income": "income_unknown", "monthly_expenses": "expenses_unknown"}


def _without_plan(
    evaluator: OptionEvaluator, first_due: date, locale: Locale, candidates: Sequence[ev.Candidate]
) -> OptionSet:
    """Return what is offered where no plan can be, and the reason why none can."""
    debts, capacity, policy = evaluator.debts, evaluator.capacity, evaluator.policy
    kind, reasons = _why_no_plan(evaluator, candidates)
    if kind != "arrangement":
        return OptionSet((), tuple(candidates), kind, reasons)
    options, weighed = arrangements(debts, capacity, policy, first_due, locale)
    known = (*candidates, *weighed)
    if not options:
        return OptionSet((), known, "referral", (*reasons, "arrangement_not_permitted"))
    return OptionSet(options, known, KINDS[options[0].arrangement], reasons)


def _why_no_plan(evaluator: OptionEvaluator, candidates: Sequence[ev.Candidate]) -> tuple[str, tuple[str, ...]]:
    capacity = evaluator.capacity
    missing = (*capacity.missing, *(("monthly_income",) if is_assumed(capacity) else ()))
    if missing or not capacity.known:
        # Whatever was assumed, nobody is told that they cannot afford anything before they were asked.
        return "referral", tuple(UNKNOWN[field] for field in missing) or ("income_unknown",)
    if capacity.disposable_income <= 0:
        return "arrangement", ("no_surplus",)
    reason = "nothing_affordable"
    if any(c.verdict == "below_minimum_instalment" for c in candidates):
        # There are plans that are affordable, whose instalments would be smaller than the policy's least.
        if evaluator.exposure <= capacity.max_instalment:
            return "pay_in_full", ("payable_at_once",)
        reason = "below_minimum_instalment"
    return "arrangement", (reason,)


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
