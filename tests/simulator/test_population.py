"""The population: arithmetic that has to come out, whatever the size and the seed."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.chance import keyed, unit
from simulator.population import PAYDAYS, Population, index_of

START = date(2026, 1, 31)
repeatable = settings(derandomize=True, deadline=None, max_examples=60)


@repeatable
@given(st.integers(1, 2_000), st.integers(-(2**70), 2**70))
def test_there_are_as_many_accounts_as_asked_each_with_an_owner(accounts: int, seed: int) -> None:
    people = Population(accounts, seed, START)
    held = [people.held(index) for index in range(people.size)]
    assert sum(held) == accounts
    assert all(1 <= n <= 3 for n in held)


def test_ids_are_unique_and_lead_back_to_their_borrower() -> None:
    people = Population(500, 1, START)
    seen: set[str] = set()
    for index in range(people.size):
        borrower = people.borrower(index)
        names = [borrower.borrower_id, *(a.account_id for a in borrower.accounts)]
        assert {index_of(name) for name in names} == {index}
        assert not seen & set(names)
        seen |= set(names)
    assert len([name for name in seen if name.startswith("A")]) == 500


@repeatable
@given(st.integers(1, 400), st.dates(date(2020, 1, 1), date(2030, 1, 1)))
def test_every_borrower_is_due_once_a_month(accounts: int, start: date) -> None:
    people = Population(accounts, 3, start)
    first = people.first_month
    days = [first + timedelta(days=n) for n in range(28)]
    due = sorted(index for day in days for index in people.due_on(day))
    assert due == list(range(people.size))
    assert people.month_of(first) == 1
    for day in days:
        for index in people.due_on(day):
            assert people.due_date(people.borrower(index).payday, 1) == day


def test_a_borrower_is_independent_of_population_and_request() -> None:
    few, many = Population(130, 9, START), Population(1_300, 9, START)
    backwards = {index: many.borrower(index) for index in reversed(range(many.size))}
    for index in range(few.size - 1):
        assert few.borrower(index) == backwards[index]


def test_another_seed_is_another_population() -> None:
    one, other = Population(130, 1, START), Population(130, 2, START)
    assert sum(one.borrower(i) == other.borrower(i) for i in range(one.size)) == 0


def test_loans_are_repaid_in_full_and_cards_ask_each_month() -> None:
    people = Population(400, 4, START)
    kinds = set()
    for index in range(people.size):
        borrower = people.borrower(index)
        assert 1 <= borrower.payday <= PAYDAYS
        for account in borrower.accounts:
            kinds.add((borrower.place.jurisdiction, account.product))
            schedule = people.schedule(borrower, account)
            assert sum(i.principal for i in schedule) == (account.principal if account.months else 0)
            assert [people.asked(borrower, account, i.number) for i in schedule] == list(schedule)
            past = people.asked(borrower, account, 61)
            assert (past is None) == bool(account.months)
            if past:
                assert past.principal + past.interest > 0
    assert kinds == {(place, product) for place in ("CN", "EU", "US") for product in ("credit_card", "personal_loan")}


@repeatable
@given(st.integers(0, 2**64 - 1), st.integers(0, 255))
def test_chance_is_even_over_its_counter(key: int, purpose: int) -> None:
    draws = [unit(key, purpose, n) for n in range(400)]
    assert all(0 <= u < 1 for u in draws)
    # Five standard deviations of the mean of 400 uniform numbers.
    assert abs(sum(draws) / 400 - 0.5) < 5 * (1 / 12 / 400) ** 0.5
    assert len({keyed(key, purpose, n) for n in range(400)}) == 400
