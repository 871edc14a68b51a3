"""A world with all events of a loan system: its lenders also correct, revise, sell and take over."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from agents import input_limits
from schemas import events as ev
from schemas.jsonlines import to_line
from schemas.topics import TOPICS
from schemas.validation import check
from simulator import open_loop
from simulator.population import index_of
from simulator.positions import EARLIER
from simulator.world import START

ACCOUNTS, DAYS, SEED = 1_500, 300, 3
# Only a committee that hears of a bad debt reviews it.
OF_THE_LOOP = {ev.BadDebtReviewed}
SERVICED = (
    ev.OpeningPosition
    | ev.InstalmentAdjusted
    | ev.AdjustmentReversed
    | ev.ScheduleRevised
    | ev.AccountReopened
    | ev.PartyChanged
)


@pytest.fixture(scope="module")
def rich() -> list[ev.Event]:
    return list(open_loop(ACCOUNTS, DAYS, SEED, events="rich"))


def grouped(events: list[ev.Event], by: Callable[[str], object]) -> dict[object, list[ev.Event]]:
    """Return the events of accounts, grouped by what a function makes of the account's id."""
    found: dict[object, list[ev.Event]] = defaultdict(list)
    for event in events:
        if hasattr(event, "account_id"):
            found[by(event.account_id)].append(event)
    return found


def _unusual(event: ev.Event) -> bool:
    match event:
        case ev.InstalmentBilled():
            return event.revision > 0
        case ev.PaymentReversed():
            return event.reason != "returned_debit"
        case ev.PromiseMade():
            return event.replaces is not None
        case ev.AccountOpened():
            return event.reported_from is not None
        case ev.AccountClosed():
            return event.reason != "repaid"
    return isinstance(event, SERVICED)


def test_all_that_a_loan_system_may_send_arrives(rich: list[ev.Event]) -> None:
    sent = {type(event) for event in rich}
    assert {r for name in ("accounts", "payments", "collections") for r in TOPICS[name].records} - sent == OF_THE_LOOP
    reasons = Counter(event.reason for event in rich if isinstance(event, ev.AccountClosed))
    assert {"repaid", "opened_in_error", "closed_by_mistake"} <= set(reasons)
    for event in rich:
        check(event)
        input_limits.check_event(event)


def test_the_same_seed_gives_the_same_bytes(rich: list[ev.Event]) -> None:
    again = open_loop(ACCOUNTS, 40, SEED, events="rich")
    assert all(to_line(mine) == to_line(other) for mine, other in zip(rich, again, strict=False))


def test_borrowers_without_an_occasion_live_as_usual(rich: list[ev.Event]) -> None:
    usual, same = grouped(list(open_loop(ACCOUNTS, DAYS, SEED)), index_of), 0
    for borrower, events in grouped(rich, index_of).items():
        if not any(map(_unusual, events)):
            plain = [replace(e, failed_on=None) if isinstance(e, ev.PaymentFailed) else e for e in events]
            assert plain == usual[borrower], borrower
            same += 1
    assert same > 300


def test_what_comes_twice_is_the_same(rich: list[ev.Event]) -> None:
    seen: dict[str, ev.Event] = {}
    for event in rich:
        assert seen.setdefault(event.event_id, event) == event


def test_a_revised_schedule_asks_for_the_rest_and_is_paid(rich: list[ev.Event]) -> None:
    kinds: Counter[str] = Counter()
    for events in grouped(rich, str).values():
        revisions = [e for e in events if isinstance(e, ev.ScheduleRevised)]
        if not revisions:
            continue
        (revised,) = revisions
        (opening,) = (e for e in events if isinstance(e, ev.AccountOpened | ev.OpeningPosition))
        replaced = [i for i in opening.instalments if i.due_on > revised.effective_on]
        stay = {i.number for i in opening.instalments} - {i.number for i in replaced}
        assert sum(i.principal for i in revised.instalments) == sum(i.principal for i in replaced)
        assert not stay & {i.number for i in revised.instalments}
        extra = revised.instalments[0]
        payments = {e.event_id: e for e in events if isinstance(e, ev.PaymentReceived)}
        (paid,) = (e for name, e in payments.items() if name.endswith("-extra"))
        assert (paid.amount, paid.value_on) == (extra.principal + extra.interest, extra.due_on)
        later = {e.amount for e in payments.values() if e.value_on > paid.value_on}
        if revised.reason == "early_settlement":
            assert not later
            assert any(isinstance(e, ev.AccountClosed) and e.closed_on == extra.due_on for e in events)
        else:
            kinds["paid as asked"] += bool(later & {i.principal + i.interest for i in revised.instalments[1:]})
        kinds[revised.reason] += 1
    assert kinds["early_settlement"] > 5
    assert kinds["paid as asked"] > kinds["prepayment"] // 2 > 5


def test_refunds_never_exceed_the_payment(rich: list[ev.Event]) -> None:
    paid = {e.payment_id: e.amount for e in rich if isinstance(e, ev.PaymentReceived)}
    refunded: Counter[str] = Counter()
    for event in rich:
        if isinstance(event, ev.PaymentReversed) and event.amount is not None:
            refunded[event.payment_id] += event.amount
    assert len(refunded) > 20
    assert all(0 < amount <= paid[payment] for payment, amount in refunded.items())


def test_positions_add_up(rich: list[ev.Event]) -> None:
    positions = [e for e in rich if isinstance(e, ev.OpeningPosition)]
    assert {p.bad_debt for p in positions} == {"none", "charged_off"}
    assert {p.standing for p in positions} == {"good", "arrears", "defaulted", "restructured"}
    for position in positions:
        overdue = [i for i in position.instalments if i.number <= EARLIER]
        assert all(i.due_on <= position.as_of == START - timedelta(days=1) for i in overdue)
        assert all(i.due_on > position.as_of for i in position.instalments if i.number > EARLIER)
        assert all(0 <= i.principal + i.interest <= (i.amount_due or 10**9) for i in position.instalments)
        assert position.charged == sum(i.penalty for i in overdue)
        assert len({i.number for i in position.instalments}) == len(position.instalments)
        assert (position.plan is not None) == position.collection_stopped
        if position.plan is not None:
            due = sum(i.principal + i.interest + i.penalty for i in overdue)
            to_come = sum(i.principal for i in position.instalments if i.number > EARLIER)
            assert sum(i.principal for i in position.plan.instalments) == due + to_come
