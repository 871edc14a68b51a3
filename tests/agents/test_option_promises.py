"""What every published option promises: affordable, legal, exact, and beaten by no other."""

from __future__ import annotations

from datetime import date, timedelta
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.account.day import outstanding_on
from agents.account.plan_lifecycle import adjust_schedule, last_day
from agents.learner.estimates import PriorEstimate
from agents.planner.assessment import MATERIAL_BPS
from agents.planner.options import OptionEvaluator, build_options, counter_option, grid, longest_term
from bench.promises import check
from bench.promises import offer_cases as simulated
from schemas import events as ev
from simulator.world import World
from state.account import AccountState
from state.affordability import RepaymentCapacity
from state.borrower import BorrowerState
from state.calendars import add_months
from state.policy import Policy
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime

DUE = date(2026, 5, 31)
POLICIES = {
    currency: default_book().policy_for(*kind)
    for currency, kind in {"CNY": ("CN", "credit_card"), "USD": ("US", "personal_loan"), "EUR": ("EU", "loan")}.items()
}


@st.composite
def debts(draw: st.DrawFn, currency: str) -> list[ev.Debt]:
    """Return one to three debts in a currency."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        principal = draw(st.integers(10_000, 20_000_000))
        found.append(
            ev.Debt(
                account_id=f"A{number}",
                product="credit_card",
                jurisdiction="CN",
                currency=currency,
                annual_rate_bps=draw(st.integers(0, 3_600)),
                outstanding=ev.Amounts(
                    principal=principal,
                    interest=draw(st.integers(0, principal // 5)),
                    fees=draw(st.integers(0, 5_000)),
                    penalty=draw(st.integers(0, principal // 10)),
                ),
                overdue_amount=principal // 4,
                days_past_due=70,
                missed=3,
                bucket="dpd_61_90",
                bad_debt="none",
                stage=2,
                remaining_months=draw(st.integers(0, 48)),
                contract_instalment=principal // 12,
            )
        )
    return found


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[ev.Debt], RepaymentCapacity, Policy]:
    """Return debts, means and a real policy."""
    currency = draw(st.sampled_from(sorted(POLICIES)))
    surplus = draw(st.integers(1_000, 3_000_000))
    means = RepaymentCapacity(
        disposable_income=surplus,
        max_instalment=surplus * 4 // 10,
        currency=currency,
        max_term_months=draw(st.none() | st.sampled_from([12, 24, 36])),
        credit_score=draw(st.none() | st.integers(300, 850)),
    )
    return draw(debts(currency)), means, POLICIES[currency]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(cases(), st.sampled_from(["zh", "en"]))
def test_every_option_is_affordable_legal_authorised_and_exact(case, locale) -> None:  # type: ignore[no-untyped-def]
    owing, means, policy = case
    found = build_options(owing, means, policy, DUE, locale=locale)
    assert (found.kind in ("plan", "token", "moratorium")) == bool(found.options)
    assert len(found.options) <= policy.options.max_published
    assert len({(o.instalment_amount, o.total_cost) for o in found.options}) == len(found.options)
    if found.kind != "plan":
        return
    contract = {d.account_id: d for d in owing}
    for option in found.options:
        assert all(i.amount <= means.max_instalment for i in option.instalments)
        assert len(option.instalments) <= policy.plans.max_term_months
        assert means.max_term_months is None or option.term_months <= means.max_term_months
        assert option.distressed_obligation_bps <= policy.options.max_npv_loss_bps + 1
        assert option.total_cost == sum(i.amount for i in option.instalments)
        by_date: dict[date, int] = {}
        for share in option.shares:
            debt = contract[share.account_id]
            owed = debt.outstanding
            assert share.annual_rate_bps <= debt.annual_rate_bps
            assert share.financed == sum(i.principal for i in share.instalments)
            forgiven = share.waived.interest + share.waived.penalty
            assert share.financed + forgiven == owed.principal + owed.interest + owed.fees + owed.penalty
            for i in share.instalments:
                by_date[i.due_on] = by_date.get(i.due_on, 0) + i.amount
        assert by_date == {i.due_on: i.amount for i in option.instalments}
        assert option.reasons


@settings(max_examples=120, deadline=None, derandomize=True)
@given(cases(), st.integers(0, MATERIAL_BPS), st.sampled_from([14, 14, 45]), st.booleans())
def test_growth_of_debt_while_an_offer_is_open_fits_the_term(  # type: ignore[no-untyped-def]
    case, drift, open_days, at_once
) -> None:
    owing, means, policy = case
    policy = replace(policy, offers=replace(policy.offers, open_days=open_days))
    made = date(2026, 4, 30)
    first_due = max(add_months(made, 1), made + timedelta(days=open_days + 1))
    found = build_options(owing, replace(means, max_term_months=None), policy, first_due)
    accepted = made if at_once else made + timedelta(days=open_days)
    principal = {d.account_id: d.outstanding.principal for d in owing}
    for option in found.options if found.kind == "plan" else ():
        for share in option.shares:
            grown = share.financed + principal[share.account_id] * drift // 10_000
            limit = last_day(accepted, policy)
            counts = adjust_schedule(share.instalments, grown, share.annual_rate_bps, limit, policy).instalments
            assert all(i.due_on <= limit for i in counts)
            assert max(i.amount for i in counts) <= max(i.amount for i in share.instalments)


def test_a_legal_term_is_offered_as_far_as_it_leaves_room() -> None:
    policy = POLICIES["CNY"]
    terms = sorted({t.months for t in grid(policy, next(c.debts for c in simulated(50, 3)))})
    assert terms == [3, 6, 12, 18, 24, 36, 48, 54]
    assert longest_term(replace(policy, offers=replace(policy.offers, open_days=40))) == 53
    assert longest_term(replace(policy, plans=replace(policy.plans, max_term_months=1))) == 1


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases())
def test_no_feasible_option_beats_a_published_one_in_everything(case) -> None:  # type: ignore[no-untyped-def]
    owing, means, policy = case
    found = build_options(owing, means, policy, DUE)
    if found.kind != "plan":
        return
    weighing = OptionEvaluator(owing, means, policy, PriorEstimate())
    points = {t.option_id: w for t in grid(policy, owing) if not isinstance(w := weighing.score(t), str)}
    published = [points[o.option_id] for o in found.options]
    for p in published:
        assert not any(
            w.largest < p.largest - 1e-6 and w.total < p.total - 1e-6 and w.value > p.value + 1e-6
            for w in points.values()
        )
    assert min(p.largest for p in published) == min(w.largest for w in points.values())
    assert min(p.total for p in published) == pytest.approx(min(w.total for w in points.values()), rel=1e-12)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(cases(), st.integers(1, 100))
def test_less_means_never_give_shorter_terms_or_more_to_pay(case, share) -> None:  # type: ignore[no-untyped-def]
    owing, means, policy = case
    worse_means = replace(
        means,
        disposable_income=means.disposable_income * share // 100,
        max_instalment=means.max_instalment * share // 100,
    )
    found, less = build_options(owing, means, policy, DUE), build_options(owing, worse_means, policy, DUE)
    better, worse = found.options, less.options
    if less.kind != "plan":
        return
    assert found.kind == "plan"

    def lowest(options: tuple[ev.Option, ...]) -> ev.Option:
        return min(options, key=lambda o: (o.instalment_amount, o.total_cost))

    assert lowest(worse).instalment_amount <= lowest(better).instalment_amount
    assert lowest(worse).term_months >= lowest(better).term_months
    assert min(o.total_cost for o in worse) >= min(o.total_cost for o in better) - len(worse[0].shares) * 60


@settings(max_examples=80, deadline=None, derandomize=True)
@given(cases(), st.integers(1, 2_000_000))
def test_a_counter_offer_is_met_within_proposal_and_means(case, proposed) -> None:  # type: ignore[no-untyped-def]
    owing, means, policy = case
    option = counter_option(owing, means, policy, DUE, counter_amount=proposed)
    if option is not None:
        assert option.instalment_amount <= min(proposed, means.max_instalment)


def test_without_means_there_is_a_person_and_never_a_plan() -> None:
    owing = [
        ev.Debt(
            account_id="A",
            product="credit_card",
            jurisdiction="CN",
            currency="CNY",
            annual_rate_bps=1_800,
            outstanding=ev.Amounts(principal=1_000_000),
            overdue_amount=100_000,
            days_past_due=40,
            missed=2,
            bucket="dpd_31_60",
            bad_debt="none",
            stage=2,
            remaining_months=12,
            contract_instalment=90_000,
        )
    ]
    policy = POLICIES["CNY"]
    unknown = RepaymentCapacity(disposable_income=0, max_instalment=0, currency="CNY", known=False)
    found = build_options(owing, unknown, policy, DUE)
    assert (found.kind, found.reasons, found.options) == ("referral", ("income_unknown",), ())
    none = RepaymentCapacity(disposable_income=-500, max_instalment=0, currency="CNY")
    found = build_options(owing, none, policy, DUE)
    assert (found.kind, found.reasons) == ("moratorium", ("no_surplus",))
    little = build_options(
        owing, RepaymentCapacity(disposable_income=2_000, max_instalment=800, currency="CNY"), policy, DUE
    )
    assert [o.arrangement for o in little.options] == ["payment_holiday"]


def test_debts_in_two_currencies_are_not_one_offer() -> None:
    one = ev.Debt(
        account_id="A",
        product="loan",
        jurisdiction="CN",
        currency="CNY",
        annual_rate_bps=0,
        outstanding=ev.Amounts(principal=100),
        overdue_amount=1,
        days_past_due=1,
        missed=1,
        bucket="dpd_1_30",
        bad_debt="none",
        stage=1,
        remaining_months=1,
        contract_instalment=1,
    )
    with pytest.raises(ValueError, match="currencies"):
        build_options(
            [one, replace(one, account_id="B", currency="USD")],
            RepaymentCapacity(disposable_income=9, max_instalment=9, currency="CNY"),
            POLICIES["CNY"],
            DUE,
        )


def test_offers_keep_their_promises_by_another_library() -> None:
    kinds, said, _ = check(1_500, seed=7)
    assert said == []
    assert kinds["plan"] > 500
    assert kinds["options"] > 1_500


def test_a_debt_is_never_waived_as_a_whole() -> None:
    one, other = (d for d in next(c.debts for c in simulated(50, 3) if len(c.debts) == 2))
    only_penalty = replace(other, outstanding=ev.Amounts(penalty=5_000))
    means = RepaymentCapacity(
        disposable_income=5_000_000, max_instalment=2_000_000, currency=one.currency, credit_score=800
    )
    found = build_options([one, only_penalty], means, POLICIES["CNY"], DUE)
    assert found.options
    for option in found.options:
        assert all(share.instalments for share in option.shares)


def test_an_open_offer_repays_the_debt_at_every_close() -> None:
    """Statements are billed and payments come in while offers wait: what is offered follows them."""
    start = date(2026, 1, 5)
    world = World(300, 7, start)
    compared, followed, adjusted, offered = 0, 0, 0, set[str]()
    with LocalRuntime.open(None, default_book()) as runtime:
        arrived = list(world.opening())
        for n in range(250):
            today = start + timedelta(days=n)
            said = runtime.feed(arrived)
            arrived = list(world.day(today, said))
            followed += sum(isinstance(e, ev.OfferWithdrawn) and e.reason == "debts_changed" for e in said)
            for change in (e for e in said if isinstance(e, ev.PlanScheduleAdjusted) and e.instalments):
                # No legal term of the packs is longer.
                assert change.instalments[-1].due_on <= add_months(change.business_date, 60)
                adjusted += 1
            offered |= {e.borrower_id for e in said if isinstance(e, ev.OfferPublished)}
            for name in sorted(offered):
                borrower = cast(BorrowerState, runtime.state("planner", name))
                offer = borrower.open_offer()
                if offer is None or not offer.choices:
                    continue
                for account, principal in zip(offer.account_ids, offer.principal, strict=True):
                    state = cast(AccountState, runtime.state("account", account))
                    owed = outstanding_on(state, state.folded_through).principal
                    assert abs(owed - principal) * 10_000 <= principal * MATERIAL_BPS, (today, account)
                    compared += 1
    assert compared > 500
    assert adjusted > 5
    assert followed > 10
