"""The account agent against an independent recomputation, on every account and month of the UCI card data."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path

import plain_recompute
import pytest

from schemas import events as ev
from schemas.errors import UsageError
from schemas.validation import check
from state.policy import Policy
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.real_data.roll_rates import STATES, Standing, count_moves, month_ends, render
from tests.real_data.uci import minimum_payment, read_cards, uci_csv, uci_events

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def lines() -> list[str]:
    try:
        return uci_csv()
    except UsageError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def policy() -> Policy:
    return default_book().policy_for("TW", "credit_card")


@pytest.fixture(scope="module")
def ends(lines: list[str], policy: Policy) -> list[tuple[date, dict[str, Standing]]]:
    """Return every account's standing at every month end, by the engine."""
    with LocalRuntime.open(None, default_book()) as runtime:
        found = list(month_ends(uci_events(lines), runtime, policy))
        assert not list(runtime.outputs("dead-letters"))
    return found


@pytest.mark.timeout(600)
def test_agent_and_recomputation_agree_on_every_month(
    lines: list[str], policy: Policy, ends: list[tuple[date, dict[str, Standing]]]
) -> None:
    # What the recomputation leaves out must be out of the policy too.
    assert policy.charges.penalty_rate_bps == policy.charges.late_fee_flat == policy.charges.late_fee_bps == 0
    assert policy.allocation.sweep == "instalment"
    assert policy.delinquency.tolerance_bps == 0
    by_month = dict(ends)
    compared, late = 0, 0
    for number, months in plain_recompute.answers(
        lines, policy.delinquency.tolerance_absolute, policy.delinquency.grace_days
    ):
        for end, expected in months.items():
            found = by_month[end][f"UCI-{number:05d}"]
            assert (found.days_past_due, found.missed) == expected, f"account {number} at {end}"
            compared += 1
            late += expected[0] > 0
    assert compared == 180_000
    # Were nobody late, agreement would show nothing.
    assert late > 20_000


def test_the_table_of_roll_rates_is_what_the_agent_says(
    repository: Path, ends: list[tuple[date, dict[str, Standing]]]
) -> None:
    moves = count_moves(ends)
    assert sum(moves.values()) == 4 * 30_000
    assert render(moves) in (repository / "docs" / "model.md").read_text("utf-8")


def test_no_account_skips_a_state_on_its_way_down(ends: list[tuple[date, dict[str, Standing]]]) -> None:
    for before, after in count_moves(ends):
        assert STATES.index(after) <= STATES.index(before) + 2, f"{before} to {after} within a month"


def test_the_log_has_every_bill_every_payment_and_every_day(lines: list[str]) -> None:
    events = list(uci_events(lines))
    kinds = Counter(type(e).__name__ for e in events)
    assert kinds == {
        "AccountOpened": 30_000,
        "InstalmentBilled": 157_963,
        "PaymentReceived": 143_103,
        "DayClosed": 183,
    }
    paid = sum(e.amount for e in events if isinstance(e, ev.PaymentReceived))
    assert paid == sum(sum(card.payments) for card in read_cards(lines))
    assert len({e.event_id for e in events}) == len(events)


def test_each_day_of_the_log_arrives_before_its_close(lines: list[str]) -> None:
    closed: date | None = None
    for event in uci_events(lines):
        if isinstance(event, ev.DayClosed):
            assert closed is None or event.business_date == closed + timedelta(days=1)
            closed = event.business_date
        elif isinstance(event, ev.PaymentReceived):
            assert closed is None or event.value_on == closed + timedelta(days=1)


def test_no_payment_is_later_than_the_last_statements_due_date(lines: list[str]) -> None:
    due: dict[str, date] = {}
    on_the_day = 0
    for event in uci_events(lines):
        if isinstance(event, ev.InstalmentBilled):
            due[event.account_id] = event.due_on
        elif isinstance(event, ev.PaymentReceived) and event.account_id in due:
            statement_month = (event.value_on.replace(day=1) - timedelta(days=1)).month
            if (due[event.account_id] - timedelta(days=20)).month == statement_month:
                assert event.value_on <= due[event.account_id]
                on_the_day += event.value_on == due[event.account_id]
    assert on_the_day > 0


def test_a_sample_of_the_log_keeps_its_contracts(lines: list[str]) -> None:
    for _, group in groupby(uci_events(lines[:201]), key=type):
        for event in group:
            check(event)


def test_no_protected_attribute_reaches_the_log(lines: list[str]) -> None:
    without = [line.split(",") for line in lines[:501]]
    blank = [i for i, name in enumerate(without[0]) if name.split("_")[0] in {"SEX", "AGE", "EDUCATION", "MARRIAGE"}]
    assert len(blank) >= 4
    for row in without[1:]:
        for column in blank:
            row[column] = "0"
    assert list(uci_events(",".join(row) for row in without)) == list(uci_events(lines[:501]))


@pytest.mark.parametrize(("bill", "asked"), [(1, 1), (99_999, 99_999), (100_001, 100_000), (10_000_000, 200_000)])
def test_a_statement_asks_for_two_percent_within_its_bounds(bill: int, asked: int) -> None:
    assert minimum_payment(bill) == asked


def test_the_recomputation_imports_nothing_of_what_it_checks() -> None:
    tree = ast.parse(Path(plain_recompute.__file__).read_text("utf-8"))
    assert set(_imported(tree)) == {"__future__", "csv", "collections.abc", "datetime"}


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
