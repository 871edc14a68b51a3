"""The truth of the simulator: what is better for a borrower is accepted and kept at least as often."""

from __future__ import annotations

from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.population import Population
from simulator.truth import Deal, Situation, acceptance, appeal, burden, keeping, means_of, shock_of, situation_of

deals = st.builds(
    Deal,
    instalment=st.integers(0, 10**7),
    term_months=st.integers(1, 120),
    rate_cut=st.floats(0, 1),
    waived=st.floats(0, 1),
    recommended=st.booleans(),
)
situations = st.builds(Situation, surplus=st.integers(-(10**6), 10**7), willingness=st.floats(0, 1))
shares = st.floats(0, 1)
more = st.integers(0, 10**6)
repeatable = settings(derandomize=True, deadline=None, max_examples=150)


def changed(deal: Deal, **fields: object) -> Deal:
    known = {name: getattr(deal, name) for name in Deal.__struct_fields__}
    return Deal(**{**known, **fields})  # type: ignore[arg-type]


@repeatable
@given(deals, situations, more)
def test_a_larger_instalment_is_never_liked_or_kept_better(deal: Deal, of: Situation, extra: int) -> None:
    larger = changed(deal, instalment=deal.instalment + extra)
    assert appeal(larger, of) <= appeal(deal, of)
    assert keeping(larger, of) <= keeping(deal, of)


@repeatable
@given(deals, situations, st.integers(0, 60))
def test_a_longer_term_is_never_liked_or_kept_better(deal: Deal, of: Situation, months: int) -> None:
    longer = changed(deal, term_months=deal.term_months + months)
    assert appeal(longer, of) <= appeal(deal, of)
    assert keeping(longer, of) <= keeping(deal, of)


@repeatable
@given(deals, situations, shares, shares)
def test_deeper_cuts_and_waivers_are_never_liked_or_kept_less(
    deal: Deal, of: Situation, one: float, other: float
) -> None:
    for name in ("rate_cut", "waived"):
        less, much = changed(deal, **{name: min(one, other)}), changed(deal, **{name: max(one, other)})
        assert appeal(much, of) >= appeal(less, of)
        assert keeping(much, of) >= keeping(less, of)


@repeatable
@given(deals, situations, more)
def test_more_surplus_never_makes_a_deal_harder(deal: Deal, of: Situation, extra: int) -> None:
    richer = Situation(of.surplus + extra, of.willingness)
    assert burden(deal.instalment, richer.surplus) <= burden(deal.instalment, of.surplus) or not deal.instalment
    if deal.instalment:
        assert appeal(deal, richer) >= appeal(deal, of)
        assert keeping(deal, richer) >= keeping(deal, of)


@repeatable
@given(deals, situations, shares)
def test_the_lead_and_the_willing_are_accepted_more(deal: Deal, of: Situation, willing: float) -> None:
    assert appeal(changed(deal, recommended=True), of) > appeal(changed(deal, recommended=False), of)
    low, high = sorted((of.willingness, willing))
    assert appeal(deal, Situation(of.surplus, low)) <= appeal(deal, Situation(of.surplus, high))


@repeatable
@given(st.lists(deals, max_size=6), situations)
def test_probabilities_are_valid_and_leave_room_for_refusal(shown: list[Deal], of: Situation) -> None:
    chances = acceptance(shown, of)
    assert len(chances) == len(shown)
    assert all(0 < p < 1 for p in chances)
    assert sum(chances) < 1
    assert all(0 < keeping(deal, of) < 1 for deal in shown)


@repeatable
@given(deals, deals, situations)
def test_another_option_beside_it_takes_from_an_option(deal: Deal, other: Deal, of: Situation) -> None:
    assert acceptance([deal, other], of)[0] < acceptance([deal], of)[0]


def test_shocks_lower_the_surplus_and_end() -> None:
    people = Population(1_300, 5, date(2026, 1, 1))
    hit = 0
    for index in range(people.size):
        borrower = people.borrower(index)
        months = [shock_of(borrower.key, month) for month in range(1, 61)]
        for month, shock in enumerate(months, 1):
            if shock is None:
                continue
            assert shock.first <= month < shock.first + shock.months
            income, expenses = means_of(borrower, shock)
            assert income - expenses < borrower.income - borrower.expenses
            assert situation_of(borrower, month).surplus == income - expenses - borrower.other_debt
        hit += any(months)
        assert None in months
    # In five years 1 − (1 − 72/256)^5, so 81 % of the borrowers.
    assert 0.75 < hit / people.size < 0.90
