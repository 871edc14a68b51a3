"""Order, repetition and unvisited days with every kind of fact that an account takes."""

from __future__ import annotations

import random
from datetime import date

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from test_account_orders import LAST, _disordered, amounts, books, histories, in_time, offsets, plain
from test_days_not_visited import DailyAgent

from schemas import events as ev
from tests.support.account_events import AccountEvents, at
from tests.support.agent_driver import AccountDriver

SETTINGS = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.too_slow]}


class Facts:
    """Makes further facts of the account of a story."""

    def __init__(self) -> None:
        self.story = AccountEvents()
        self._ids = 0

    def base(self, on: int) -> dict[str, object]:
        self._ids += 1
        return {
            "event_id": f"A1-f{self._ids}",
            "occurred_at": at(self.story.day(on)),
            "source": "test",
            "account_id": "A1",
        }

    def adjusted(self, on: int, number: int, **more: int) -> ev.InstalmentAdjusted:
        base = self.base(on)
        return ev.InstalmentAdjusted(
            **base,
            adjustment_id=f"adj{self._ids}",
            number=number,
            effective_on=self.story.day(on),
            reason="goodwill",
            **more,
        )

    def schedule(self, on: int, revision: int, *instalments: tuple[int, int, int]) -> ev.ScheduleRevised:
        return ev.ScheduleRevised(
            **self.base(on),
            revision=revision,
            effective_on=self.story.day(on),
            reason="prepayment",
            instalments=tuple(
                ev.Instalment(number=n, due_on=self.story.day(o), principal=a, interest=0, fees=0)
                for n, o, a in instalments
            ),
        )

    def closed(self, on: int, reason: str) -> ev.AccountClosed:
        return ev.AccountClosed(**self.base(on), reason=reason, closed_on=self.story.day(on))

    def reopened(self, on: int) -> ev.AccountReopened:
        return ev.AccountReopened(**self.base(on), reopened_on=self.story.day(on), reason="error")

    def failed(self, on: int) -> ev.PaymentFailed:
        base = self.base(on)
        return ev.PaymentFailed(**base, payment_id=f"f{self._ids}", amount=10_000, reason="no funds")

    def position(self, on: int, *instalments: tuple[int, int, int], **more: object) -> ev.OpeningPosition:
        return ev.OpeningPosition(
            **self.base(on),
            borrower_id="B1",
            product="personal_loan",
            jurisdiction="CN",
            currency="CNY",
            opened_on=self.story.day(-200),
            as_of=self.story.day(on),
            annual_rate_bps=1_800,
            principal=100_000,
            instalments=tuple(
                ev.PositionInstalment(number=n, due_on=self.story.day(o), principal=a, interest=0, fees=0)
                for n, o, a in instalments
            ),
            **more,
        )


@st.composite
def all_kinds(draw: st.DrawFn) -> list[ev.Event]:
    """Return a history with statements that are revised, adjustments, ends and returns, and at times a position."""
    events, f = draw(histories()), Facts()
    deltas = st.integers(-12_000, 3_000)
    for bill in [e for e in events if isinstance(e, ev.InstalmentBilled)]:
        if draw(st.booleans()):
            events.append(replace(bill, event_id=f"{bill.event_id}-r", revision=1, principal=draw(amounts)))
    for _ in range(draw(st.integers(0, 2))):
        on, number = draw(offsets), draw(st.sampled_from([1, 2, 3, 10, 77]))
        adjusted = f.adjusted(on, number, principal=draw(deltas), penalty=draw(st.sampled_from([0, -300, 200])))
        events.append(adjusted)
        if draw(st.booleans()):
            base = f.base(draw(offsets))
            day = f.story.day(draw(offsets))
            events.append(
                ev.AdjustmentReversed(**base, adjustment_id=adjusted.adjustment_id, reversed_on=day, reason="error")
            )
    for payment in [e for e in events if isinstance(e, ev.PaymentReceived)][:2]:
        if draw(st.booleans()):
            base = f.base(draw(offsets))
            day = f.story.day(draw(offsets))
            part = {"amount": draw(amounts), "reversal_id": f"rv{base['event_id']}"}
            events.append(
                ev.PaymentReversed(**base, payment_id=payment.payment_id, reversed_on=day, reason="refund", **part)
            )
    if draw(st.booleans()):
        on = draw(st.integers(20, 130))
        events.append(f.schedule(on, draw(st.integers(1, 2)), (21, on + 20, 8_000), (22, on + 50, 8_000)))
    if draw(st.booleans()):
        events.append(f.failed(draw(offsets)))
    if draw(st.booleans()):
        on = draw(offsets)
        events.append(f.closed(on, draw(st.sampled_from(["repaid", "settled", "sold", "opened_in_error"]))))
        if draw(st.booleans()):
            events.append(f.reopened(on + draw(st.integers(0, 40))))
    if draw(st.integers(0, 3)) == 0:
        on = draw(st.integers(5, 100))
        more: dict[str, object] = {"standing": "arrears", "failed_attempts": 2, "charged": 300}
        if draw(st.booleans()):
            more |= {"bad_debt": "charged_off", "bad_debt_on": f.story.day(on - 3), "standing": "defaulted"}
        dues = ((3, on - 40, 9_000), (4, on - 10, 10_000), (5, on + 20, 10_000))
        events.append(f.position(on, *dues, **more))
    return events


def _standing(driver: AccountDriver) -> list[ev.Event]:
    # Whether a contact is told as one of the past goes by what is known of the account when it comes.
    return [e for e in driver.standing() if not isinstance(e, ev.ContactRecorded)]


@settings(max_examples=120, **SETTINGS)
@given(p=books(), events=all_kinds(), seed=st.integers(0, 2**32))
def test_no_order_and_no_repetition_of_any_kind_matters(p, events, seed) -> None:  # type: ignore[no-untyped-def]
    closes = list(AccountEvents().closes(1, LAST))
    first, second = AccountDriver(p), AccountDriver(p)
    first.feed(*in_time([*events, *closes]))
    rng = random.Random(seed)
    second.feed(*_disordered(rng, [*events, *rng.choices(events, k=len(events) // 2)], closes))
    for driver in (first, second):
        driver.feed(*AccountEvents().closes(LAST + 1, LAST + 1))
    assert _standing(second) == _standing(first)
    assert plain(second.states["A1"]) == plain(first.states["A1"])


@settings(max_examples=80, **SETTINGS)
@given(p=books(), events=all_kinds())
def test_daily_visits_change_no_kind_of_report(p, events) -> None:  # type: ignore[no-untyped-def]
    arrivals = in_time([*events, *AccountEvents().closes(1, LAST + 100)])
    lazy, daily = AccountDriver(p), AccountDriver(p)
    daily.agent = DailyAgent()
    lazy.feed(*arrivals)
    daily.feed(*arrivals)
    assert lazy.standing() == daily.standing()


@settings(max_examples=80, **SETTINGS)
@given(p=books(), events=all_kinds())
def test_money_is_conserved_by_every_kind(p, events) -> None:  # type: ignore[no-untyped-def]
    driver = AccountDriver(p)
    driver.feed(*in_time([*events, *AccountEvents().closes(1, LAST + 1)]))
    s = driver.states["A1"]
    for r in s.receivables:
        assert min(r.principal, r.interest, r.fees, r.penalty, r.paid_toward) >= 0
        assert r.paid_toward <= r.amount_due
    assert s.credit >= 0
    assert s.paid.total() + s.credit == s.received


def test_facts_of_days_before_a_take_over_are_answered() -> None:
    f = Facts()
    driver = AccountDriver()
    driver.feed(f.position(10, (5, 15, 10_000)), *f.story.closes(8, 12))
    late = f.story.paid(12, 10_000)
    driver.feed(replace(late, value_on=f.story.day(9)), *f.story.closes(13, 20))
    (answer,) = driver.standing_of(ev.InputNotApplied)
    assert (answer.code, answer.fact_type, answer.business_date) == (  # type: ignore[attr-defined]
        "before_position",
        "PaymentReceived",
        date(2026, 1, 12),
    )
