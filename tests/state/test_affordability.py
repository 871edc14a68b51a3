"""What a borrower can pay: the surplus, its share, and what answers and commitments take from it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from state.affordability import alpha_of, assess_affordability, floor_of, shorter_term
from state.policy import Affordability, Floor
from state.profile import Known, Profile, ReportedValue

FLOORS = (Floor("CNY", "*", 150_000, 80_000), Floor("CNY", "31", 200_000, 90_000))
RULES = Affordability(floors=FLOORS)

money = st.integers(0, 10**8)


def profile(**fields: int | str) -> Profile:
    return Profile(
        {
            name: Known(value, ReportedValue(name, value, "interview", "crm", "c1", 1, 1, "e1"), True)  # type: ignore[arg-type]
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
    before = assess_affordability(profile(**fields), RULES, "CNY")
    changed = dict(fields)
    if worse == "income" and "monthly_income" in fields:
        changed["monthly_income"] = max(0, fields["monthly_income"] - by * 10_000)
    elif worse == "expenses" and "monthly_expenses" in fields:
        changed["monthly_expenses"] += by * 10_000
    elif worse == "debts":
        changed["other_debt_payments"] = fields.get("other_debt_payments", 0) + by * 10_000
    elif worse == "household":
        changed["household_size"] = fields.get("household_size", 1) + by
    after = assess_affordability(
        profile(**changed),
        RULES,
        "CNY",
        too_high=by if worse == "too_high" else 0,
        committed=by * 10_000 if worse == "committed" else 0,
    )
    assert after.max_instalment <= before.max_instalment
    assert 0 <= after.max_instalment <= max(0, after.disposable_income)


def test_surplus_is_income_less_expenses_debts_and_commitments() -> None:
    known = profile(monthly_income=900_000, monthly_expenses=400_000, other_debt_payments=100_000)
    capacity = assess_affordability(known, RULES, "CNY", committed=50_000)
    assert (capacity.disposable_income, capacity.max_instalment, capacity.known) == (350_000, 140_000, True)


def test_expenses_below_the_household_floor_count_as_it() -> None:
    known = profile(monthly_income=900_000, monthly_expenses=1, household_size=3)
    assert assess_affordability(known, RULES, "CNY").disposable_income == 900_000 - 310_000


def test_spending_stands_for_expenses_that_nobody_states() -> None:
    assert (
        assess_affordability(profile(monthly_income=900_000, spending=500_000), RULES, "CNY").disposable_income
        == 400_000
    )
    both = profile(monthly_income=900_000, spending=500_000, monthly_expenses=300_000)
    assert assess_affordability(both, RULES, "CNY").disposable_income == 600_000


def test_the_floor_of_the_region_goes_before_that_of_any_region() -> None:
    assert floor_of(FLOORS, "CNY", "31", 2) == 290_000
    assert floor_of(FLOORS, "CNY", "44", 1) == 150_000
    assert floor_of(FLOORS, "JPY", "31", 4) is None


def test_a_surplus_below_zero_gives_a_limit_of_zero() -> None:
    capacity = assess_affordability(profile(monthly_income=100_000), RULES, "CNY")
    assert (capacity.disposable_income, capacity.max_instalment, capacity.known) == (-50_000, 0, True)


def test_each_too_high_lowers_alpha_by_a_step_to_the_least() -> None:
    assert [alpha_of(RULES, n) for n in (0, 1, 5, 6, 50)] == [4_000, 3_500, 1_500, 1_500, 1_500]
    low = Affordability(alpha_bps=1_000, alpha_least_bps=1_500)
    assert [alpha_of(low, n) for n in (0, 3)] == [1_000, 1_000]


def test_an_unknown_income_is_assumed_only_by_policy() -> None:
    nothing = assess_affordability(profile(), RULES, "CNY", contract_instalments=100_000)
    assert (nothing.max_instalment, nothing.known) == (0, False)
    rules = Affordability(assumed_income_multiple_bps=40_000, floors=FLOORS)
    assumed = assess_affordability(profile(), rules, "CNY", contract_instalments=100_000)
    assert (assumed.disposable_income, assumed.max_instalment, assumed.known) == (250_000, 100_000, True)
    assert "monthly_income" in assumed.assumed
    nothing = assess_affordability(profile(), rules, "CNY")
    assert (nothing.max_instalment, nothing.known, nothing.missing) == (0, False, ("monthly_income",))


def test_without_a_floor_expenses_have_to_be_known() -> None:
    for fields in ({}, {"monthly_expenses": 0}, {"spending": 0}):
        unknown = assess_affordability(profile(monthly_income=900_000, **fields), RULES, "JPY")
        assert (unknown.known, unknown.missing) == (False, ("monthly_expenses",))
    regional = Affordability(floors=tuple(f for f in FLOORS if f.region != "*"))
    assert assess_affordability(profile(monthly_income=900_000, region="99"), regional, "CNY").missing == (
        "monthly_expenses",
    )
    known = assess_affordability(profile(monthly_income=900_000, monthly_expenses=300_000), RULES, "JPY")
    assert (known.disposable_income, known.known) == (600_000, True)
    assert "household_floor" in known.assumed


def test_what_nobody_reported_is_listed() -> None:
    bare = assess_affordability(profile(monthly_income=900_000), RULES, "CNY")
    assert bare.assumed == ("monthly_expenses", "household_size", "other_debt_payments")
    full = profile(monthly_income=900_000, monthly_expenses=1, household_size=1, other_debt_payments=0)
    assert assess_affordability(full, RULES, "CNY").assumed == ()


def test_the_next_shorter_term_is_taken_and_the_shortest_stays() -> None:
    terms = (3, 6, 12, 60)
    assert [shorter_term(terms, n) for n in (60, 24, 6, 3)] == [12, 12, 3, 3]


def test_credit_score_and_own_term_go_with_the_capacity() -> None:
    capacity = assess_affordability(profile(credit_score=700), RULES, "CNY", max_term_months=24)
    assert (capacity.credit_score, capacity.max_term_months) == (700, 24)
