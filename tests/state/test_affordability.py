"""What a borrower can pay: the surplus, its share, and what answers and commitments take from it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from state.affordability import alpha_of, capacity_of, floor_of, shorter_term
from state.policy import Affordability, Floor
from state.profile import Known, Profile, Reading

FLOORS = (Floor("CNY", "*", 150_000, 80_000), Floor("CNY", "31", 200_000, 90_000))
RULES = Affordability(floors=FLOORS)

money = st.integers(0, 10**8)


def profile(**fields: int | str) -> Profile:
    return Profile(
        {
            name: Known(value, Reading(name, value, "interview", "crm", "c1", 1, 1, "e1"), True)  # type: ignore[arg-type]
            for name, value in fields.items()
        }
    )


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "monthly_income": money,
            "monthly_expenses": money,
            "spending": money,
            "other_debt_payments": money,
            "household_size": st.integers(1, 6),
        },
    ),
    worse=st.sampled_from(["income", "expenses", "debts", "household", "too_high", "committed"]),
    by=st.integers(1, 6),
)
def test_whoever_is_worse_off_has_no_higher_limit(fields: dict[str, int], worse: str, by: int) -> None:
    before = capacity_of(profile(**fields), RULES, "CNY")
    changed = dict(fields)
    if worse == "income" and "monthly_income" in fields:
        changed["monthly_income"] = max(0, fields["monthly_income"] - by * 10_000)
    elif worse == "expenses" and "monthly_expenses" in fields:
        changed["monthly_expenses"] += by * 10_000
    elif worse == "debts":
        changed["other_debt_payments"] = fields.get("other_debt_payments", 0) + by * 10_000
    elif worse == "household":
        changed["household_size"] = fields.get("household_size", 1) + by
    after = capacity_of(
        profile(**changed),
        RULES,
        "CNY",
        too_high=by if worse == "too_high" else 0,
        committed=by * 10_000 if worse == "committed" else 0,
    )
    assert after.limit <= before.limit
    assert 0 <= after.limit <= max(0, after.surplus)


def test_the_surplus_is_income_less_expenses_other_debts_and_commitments() -> None:
    known = profile(monthly_income=900_000, monthly_expenses=400_000, other_debt_payments=100_000)
    capacity = capacity_of(known, RULES, "CNY", committed=50_000)
    assert (capacity.surplus, capacity.limit, capacity.known) == (350_000, 140_000, True)


def test_expenses_below_the_floor_of_the_household_count_as_the_floor() -> None:
    known = profile(monthly_income=900_000, monthly_expenses=1, household_size=3)
    assert capacity_of(known, RULES, "CNY").surplus == 900_000 - 310_000


def test_spending_stands_for_expenses_that_nobody_states() -> None:
    assert capacity_of(profile(monthly_income=900_000, spending=500_000), RULES, "CNY").surplus == 400_000
    both = profile(monthly_income=900_000, spending=500_000, monthly_expenses=300_000)
    assert capacity_of(both, RULES, "CNY").surplus == 600_000


def test_the_floor_of_the_region_goes_before_that_of_any_region() -> None:
    assert floor_of(FLOORS, "CNY", "31", 2) == 290_000
    assert floor_of(FLOORS, "CNY", "44", 1) == 150_000
    assert floor_of(FLOORS, "JPY", "31", 4) == 0


def test_a_surplus_below_zero_gives_a_limit_of_zero() -> None:
    capacity = capacity_of(profile(monthly_income=100_000), RULES, "CNY")
    assert (capacity.surplus, capacity.limit, capacity.known) == (-50_000, 0, True)


def test_each_too_high_tightens_alpha_by_a_step_down_to_the_least() -> None:
    assert [alpha_of(RULES, n) for n in (0, 1, 5, 6, 50)] == [4_000, 3_500, 1_500, 1_500, 1_500]
    low = Affordability(alpha_bps=1_000, alpha_least_bps=1_500)
    assert [alpha_of(low, n) for n in (0, 3)] == [1_000, 1_000]


def test_an_unknown_income_is_not_assumed_unless_the_policy_says_so() -> None:
    nothing = capacity_of(profile(), RULES, "CNY", contract_instalments=100_000)
    assert (nothing.limit, nothing.known) == (0, False)
    rules = Affordability(assumed_income_multiple_bps=40_000)
    assumed = capacity_of(profile(), rules, "CNY", contract_instalments=100_000)
    assert (assumed.surplus, assumed.limit, assumed.known) == (400_000, 160_000, True)


def test_the_next_shorter_term_is_taken_and_the_shortest_stays() -> None:
    terms = (3, 6, 12, 60)
    assert [shorter_term(terms, n) for n in (60, 24, 6, 3)] == [12, 12, 3, 3]


def test_the_credit_score_and_the_borrowers_own_term_go_with_the_capacity() -> None:
    capacity = capacity_of(profile(credit_score=700), RULES, "CNY", max_term_months=24)
    assert (capacity.credit_score, capacity.max_term_months) == (700, 24)
