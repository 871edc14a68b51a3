"""Time and money at their ends: the right result or a dead letter, never a crash, a stall or a silent change."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from msgspec.structs import replace

from agents.input_limits import MAX_AMOUNT, MAX_ENTRIES, MAX_RECEIVED, MAX_TEXT
from schemas import events as ev
from state.account import AccountState
from state.policy_packs.loader import default_book
from state.storage import pack
from streams.local.dead_letters import read_dead_letters, redrive
from streams.local.runtime import LocalRuntime

START = date(2026, 1, 1)
RULES = default_book().policy_for("", "")


def at(day: date, hour: int = 9) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def after(days: int) -> date:
    return START + timedelta(days=days)


def opened(count: int = 3, principal: int = 10_000, **more: object) -> ev.AccountOpened:
    made = ev.AccountOpened(
        event_id="open",
        occurred_at=at(START),
        source="test",
        account_id="A1",
        borrower_id="B1",
        product="personal_loan",
        jurisdiction="US",
        currency="USD",
        opened_on=START,
        annual_rate_bps=1_000,
        principal=min(count * principal, MAX_AMOUNT),
        instalments=tuple(
            ev.Instalment(number=n, due_on=after(30 * n), principal=principal, interest=0, fees=0)
            for n in range(1, count + 1)
        ),
    )
    return replace(made, **more)


def paid(number: int, value_on: date, amount: int = 10_000, **more: object) -> ev.PaymentReceived:
    made = ev.PaymentReceived(
        event_id=f"pay-{number}",
        occurred_at=at(START),
        source="test",
        payment_id=f"p{number}",
        account_id="A1",
        amount=amount,
        currency="USD",
        value_on=value_on,
        channel="transfer",
    )
    return replace(made, **more)


def reversed_(number: int, on: date, event_id: str = "", reason: str = "returned") -> ev.PaymentReversed:
    return ev.PaymentReversed(
        event_id=event_id or f"rev-{number}",
        occurred_at=at(on),
        source="test",
        payment_id=f"p{number}",
        account_id="A1",
        reversed_on=on,
        reason=reason,
    )


def closed(day: date, calendar: str = "none", occurred: date | None = None) -> ev.DayClosed:
    return ev.DayClosed(
        event_id=f"close-{day}",
        occurred_at=at(occurred or day, 23),
        source="test",
        business_date=day,
        calendar=calendar,
    )


def closes(first: int, last: int) -> list[ev.Event]:
    return [closed(after(n)) for n in range(first, last + 1)]


def by_day(events: list[ev.Event]) -> list[ev.Event]:
    """Return payments and closes as they come in time."""

    def place(event: ev.Event) -> tuple[date, bool]:
        if isinstance(event, ev.DayClosed):
            return event.business_date, True
        assert isinstance(event, ev.PaymentReceived)
        return event.value_on, False

    return sorted(events, key=place)


@pytest.fixture
def runtime() -> Iterator[LocalRuntime]:
    with LocalRuntime.open(None, default_book()) as found:
        yield found


def refused(runtime: LocalRuntime) -> list[tuple[str, str | None]]:
    return [(x.letter.code, x.letter.field) for x in read_dead_letters(runtime)]


def account(runtime: LocalRuntime) -> AccountState:
    state = runtime.state("account", "A1")
    assert isinstance(state, AccountState)
    return state


def outcome(events: list[ev.Event]) -> tuple[AccountState, list[tuple[str, str | None]]]:
    """Return what events leave of the account, and what was refused."""
    with LocalRuntime.open(None, default_book()) as runtime:
        runtime.feed(events)
        return account(runtime), refused(runtime)


# -- the clock


def test_a_close_far_ahead_is_refused_and_business_goes_on(runtime: LocalRuntime) -> None:
    runtime.feed([opened(), *closes(0, 3), closed(date(2062, 1, 5)), closed(after(4 + RULES.most_days_skipped))])
    assert refused(runtime) == [("out_of_range", "business_date")] * 2
    assert runtime.closed_through == after(3)
    runtime.feed([paid(1, after(4)), *closes(4, 5)])
    assert runtime.closed_through == after(5)
    assert account(runtime).received == 10_000


def test_a_slip_of_the_year_is_always_too_far() -> None:
    assert RULES.most_days_skipped < 365 - 31


def test_days_may_be_skipped_as_far_as_the_policy_allows(runtime: LocalRuntime) -> None:
    runtime.feed([opened(), closed(START), closed(after(RULES.most_days_skipped))])
    assert refused(runtime) == []
    assert account(runtime).missed == 3


def test_the_first_close_ever_goes_by_its_own_time(runtime: LocalRuntime) -> None:
    runtime.feed([opened(), closed(after(9_000), occurred=START)])
    assert refused(runtime) == [("out_of_range", "business_date")]
    assert runtime.closed_through is None
    # A history of many years may be loaded at once: its first close speaks of its own time.
    runtime.feed([closed(date(1999, 12, 31)), closed(date(2000, 1, 1))])
    assert runtime.closed_through == date(2000, 1, 1)


@pytest.mark.parametrize("day", [date(1, 1, 1), date(1899, 12, 31), date(2200, 1, 1), date(9999, 12, 31)])
def test_a_close_outside_two_centuries_is_refused(runtime: LocalRuntime, day: date) -> None:
    runtime.feed([opened(), closed(day)])
    assert [code for code, _ in refused(runtime)] == ["out_of_range"]
    assert runtime.closed_through is None


def test_days_closed_twice_late_and_out_of_order_change_nothing() -> None:
    plain = [opened(), paid(1, after(10)), *closes(0, 70)]
    odd = [
        opened(),
        paid(1, after(10)),
        *closes(0, 40),
        *closes(10, 40),
        closed(after(3)),
        *closes(41, 70),
        *closes(0, 70),
    ]
    assert outcome(odd) == outcome(plain)


def test_after_an_outage_days_are_caught_up_without_trace() -> None:
    """Half a year of closes at once, behind all that came in meanwhile; or skipped, as far as it may be."""
    came = [paid(n, after(20 * n)) for n in range(1, 4)]
    events = by_day([*came, *closes(0, 180)])
    lived, _ = outcome([opened(), *events])
    assert outcome([opened(), closed(START), *came, *closes(1, 180)]) == (lived, [])
    skipped = [closed(after(n)) for n in (90, 180)]
    assert outcome([opened(), closed(START), *came, *skipped]) == (lived, [])


def test_a_calendar_that_nobody_knows_closes_a_day_as_any_other() -> None:
    plain, _ = outcome([opened(), *closes(0, 40)])
    named = [closed(after(n), calendar="the moon's, \u202e第13月") for n in range(41)]
    assert outcome([opened(), *named]) == (plain, [])


# -- dates and instants of facts


EXTREMES = [date(1, 1, 1), date(1899, 12, 31), date(2200, 1, 1), date(9999, 12, 31)]


@pytest.mark.parametrize("day", EXTREMES)
def test_a_date_that_no_loan_has_is_refused_by_name(runtime: LocalRuntime, day: date) -> None:
    odd = ev.Instalment(number=9, due_on=day, principal=1, interest=0, fees=0)
    events = {
        "value_on": paid(1, day),
        "opened_on": opened(account_id="A2", opened_on=day),
        "due_on": opened(account_id="A3", instalments=(odd,)),
        "reversed_on": replace(reversed_(7, START), reversed_on=day),
        "from_on": ev.HoldPlaced(
            event_id="h", occurred_at=at(START), source="t", hold_id="h", account_id="A1", kind="fraud", from_on=day
        ),
        "as_of": ev.ProfileReported(
            event_id="r", occurred_at=at(START), source="t", borrower_id="B1", kind="bureau", as_of=day, consent_id="c"
        ),
    }
    runtime.feed([opened(), *events.values()])
    assert refused(runtime) == [("out_of_range", name) for name in events]
    runtime.feed(closes(0, 40))
    assert account(runtime).missed == 1


@pytest.mark.parametrize("instant", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)])
def test_an_instant_at_the_end_of_time_is_refused(runtime: LocalRuntime, instant: datetime) -> None:
    """It cannot be brought to the lender's time zone."""
    common = {"occurred_at": instant, "source": "t"}
    said: list[ev.Event] = [
        ev.ContactAttempted(
            event_id="1",
            **common,
            attempt_id="c",
            account_id="A1",
            channel="call",
            direction="outbound",
            outcome="no_answer",
            agent="x",
        ),
        ev.PromiseMade(event_id="2", **common, promise_id="p", account_id="A1", amount=1, due_on=START),
        ev.AccountClosed(event_id="3", **common, account_id="A1", reason="x"),
        ev.ConsentGranted(event_id="4", **common, borrower_id="B1", consent_id="c", purpose="repayment_planning"),
        ev.ErasureRequested(event_id="5", **common, borrower_id="B1"),
        paid(1, START, occurred_at=instant),
    ]
    runtime.feed([opened(), *said, *closes(0, 40)])
    assert refused(runtime) == [("out_of_range", "occurred_at")] * len(said)


def test_what_counts_too_far_ahead_is_refused_and_not_kept(runtime: LocalRuntime) -> None:
    ahead = RULES.most_days_ahead
    runtime.feed([opened(), closed(START), paid(1, after(ahead)), paid(2, after(ahead + 1))])
    assert [code for code, _ in refused(runtime)] == ["out_of_range"]
    assert len(account(runtime).pending) == 1


def test_a_clock_that_is_wrong_by_years_erases_nobody(runtime: LocalRuntime) -> None:
    runtime.feed([opened(), closed(START)])
    skewed = at(date(2031, 1, 1))
    runtime.feed([ev.ErasureRequested(event_id="e", occurred_at=skewed, source="t", borrower_id="B1")])
    assert [code for code, _ in refused(runtime)] == ["out_of_range"]
    assert runtime.state("planner", "B1") is None


def test_a_history_may_be_loaded_by_late_closes(runtime: LocalRuntime) -> None:
    loaded = date(2046, 5, 1)
    said = runtime.feed([opened(), *[closed(after(n), occurred=loaded) for n in range(70)]])
    assert refused(runtime) == []
    assert any(isinstance(e, ev.OfferPublished) for e in said)


def test_a_payment_before_the_opening_counts_from_it() -> None:
    state, odd = outcome([opened(), paid(1, date(1950, 1, 1)), *closes(0, 40)])
    assert (state.received, state.missed, odd) == (10_000, 0, [])


# -- amounts


@pytest.mark.parametrize("amount", [MAX_AMOUNT + 1, 2**53, 2**62, 2**63 - 1])
def test_an_amount_that_no_loan_has_is_refused_by_name(runtime: LocalRuntime, amount: int) -> None:
    huge = ev.Instalment(number=1, due_on=after(30), principal=1, interest=amount, fees=0)
    bill = ev.InstalmentBilled(
        event_id="b",
        occurred_at=at(START),
        source="t",
        account_id="A1",
        number=9,
        due_on=after(30),
        principal=amount,
        interest=0,
        fees=0,
    )
    report = ev.ProfileReported(
        event_id="r",
        occurred_at=at(START),
        source="t",
        borrower_id="B1",
        kind="interview",
        as_of=START,
        consent_id="c",
        spending={"rent": amount},
    )
    runtime.feed(
        [opened(), paid(1, START, amount), opened(account_id="A2", instalments=(huge,)), bill, report, *closes(0, 40)]
    )
    assert refused(runtime) == [
        ("out_of_range", "amount"),
        ("out_of_range", "interest"),
        ("out_of_range", "principal"),
        ("out_of_range", "spending"),
    ]
    assert account(runtime).missed == 1


def test_amounts_that_are_too_much_only_together_are_refused(runtime: LocalRuntime) -> None:
    bill = ev.InstalmentBilled(
        event_id="b",
        occurred_at=at(START),
        source="t",
        account_id="A1",
        number=9,
        due_on=after(30),
        principal=MAX_AMOUNT,
        interest=0,
        fees=0,
    )
    runtime.feed([opened(account_id="A2", instalments=opened(3, MAX_AMOUNT // 2).instalments), opened(), bill])
    assert refused(runtime) == [("out_of_range", "instalments"), ("out_of_range", "principal")]
    many = MAX_RECEIVED // MAX_AMOUNT + 1
    for day in range(many // 1_000 + 1):
        numbers = range(day * 1_000, min((day + 1) * 1_000, many))
        runtime.feed([*(paid(n, after(day), MAX_AMOUNT) for n in numbers), closed(after(day))])
    assert refused(runtime)[2:] == [("out_of_range", "amount")]
    assert account(runtime).received == (many - 1) * MAX_AMOUNT


@pytest.mark.parametrize("amount", [0, -1, -(2**63)])
def test_a_payment_of_nothing_or_less_is_refused(runtime: LocalRuntime, amount: int) -> None:
    runtime.feed([opened(), paid(1, START, amount)])
    assert refused(runtime) == [("out_of_range", "amount")]


def test_the_largest_loan_goes_its_whole_way_in_arrears(runtime: LocalRuntime) -> None:
    """Penalty interest of decades on a trillion: what is kept and said still fits 64 bits."""
    kind = {"jurisdiction": "CN", "currency": "CNY", "product": "credit_card"}
    runtime.feed([opened(400, MAX_AMOUNT // 400, annual_rate_bps=1_000_000, **kind)])
    said = runtime.feed([closed(after(30 * n)) for n in range(1, 240)])
    assert refused(runtime) == []
    assert account(runtime).missed == 238
    assert sum(isinstance(e, ev.OfferPublished) for e in said) > 0
    assert any(isinstance(e, ev.ChargeAccrued) for e in said)


# -- room


def test_no_account_grows_too_large_to_be_stored(runtime: LocalRuntime) -> None:
    runtime.feed([opened(), closed(START)])
    runtime.feed([paid(n, after(1), 1) for n in range(MAX_ENTRIES + 100)])
    kept = len(account(runtime).pending) + 3
    assert kept == MAX_ENTRIES
    assert refused(runtime) == [("too_many", None)] * 103
    assert len(pack(account(runtime))) < 8 * 2**20
    # Once the day is closed there is room, and what was refused can be sent again.
    runtime.feed([closed(after(1))])
    assert redrive(runtime, read_dead_letters(runtime)) == 0
    runtime.feed([closed(after(2))])
    assert account(runtime).received == MAX_ENTRIES + 100


def test_reversals_of_unknown_payments_are_not_kept_for_ever(runtime: LocalRuntime) -> None:
    runtime.feed([opened(), *[reversed_(n, START) for n in range(MAX_ENTRIES + 5)], *closes(0, 40)])
    assert refused(runtime) == [("too_many", None)] * 8
    assert account(runtime).missed == 1


def test_a_loan_with_too_many_instalments_is_refused(runtime: LocalRuntime) -> None:
    days = opened(600, 1).instalments
    many = tuple(replace(days[n % 600], number=n + 1) for n in range(MAX_ENTRIES + 1))
    runtime.feed([opened(instalments=many)])
    assert refused(runtime) == [("too_many", "instalments")]


@pytest.mark.parametrize("size", [MAX_TEXT + 1, 2**20])
def test_a_text_that_is_endless_is_refused_by_name(runtime: LocalRuntime, size: int) -> None:
    called = ev.ContactAttempted(
        event_id="1",
        occurred_at=at(START),
        source="t",
        attempt_id="c",
        account_id="A1",
        channel="call",
        direction="outbound",
        outcome="no_answer",
        agent="x" * size,
    )
    runtime.feed([opened(), called, *closes(0, 2)])
    assert refused(runtime) == [("too_long", "agent")]


def test_a_comment_of_any_length_is_read_by_nobody_and_not_kept(runtime: LocalRuntime) -> None:
    answer = ev.OfferAnswered(
        event_id="1",
        occurred_at=at(START),
        source="t",
        feedback_id="f",
        offer_id="none",
        borrower_id="B1",
        answer="declined",
        reasons=(),
        channel="online",
        comment="\u202e<script>\x00" * 100_000,
    )
    runtime.feed([opened(), answer])
    assert refused(runtime) == [("unknown_offer", "offer_id")]


# -- payments


def test_six_hundred_instalments_are_paid_off_to_the_last_unit(runtime: LocalRuntime) -> None:
    runtime.feed([opened(600, 333)])
    events: list[ev.Event] = []
    for n in range(1, 601):
        events += [paid(n, after(30 * n), 333), closed(after(30 * n))]
    runtime.feed(events)
    state = account(runtime)
    assert (state.received, state.paid.total(), state.credit) == (600 * 333, 600 * 333, 0)
    assert (state.missed, state.days_past_due, state.owed().total()) == (0, 0, 0)


def test_thirty_thousand_payments_on_an_account_count_once() -> None:
    rng = random.Random(7)
    events: list[ev.Event] = []
    for day in range(1, 61):
        events += [paid(day * 1_000 + n, after(day), 1 + n % 7) for n in range(500)]
        events.append(closed(after(day)))
    again = rng.sample(events, 2_000)
    state, odd = outcome([opened(600, 200), *events, *again])
    sum_of_all = sum(e.amount for e in events if isinstance(e, ev.PaymentReceived))
    assert odd == []
    assert state.received == state.paid.total() + state.credit == sum_of_all


def test_late_payments_in_any_order_equal_timely_ones() -> None:
    payments = [paid(n, after(1 + n % 50), 100 + n) for n in range(120)]
    in_time = by_day([*payments, *closes(0, 60)])
    shuffled = random.Random(3).sample(payments, len(payments))
    lived, late = outcome([opened(), *in_time]), outcome([opened(), *closes(0, 60), *shuffled])
    assert late == lived


REVERSALS: dict[str, list[ev.Event]] = {
    "after its payment": [paid(1, after(5)), reversed_(1, after(9))],
    "before its payment": [reversed_(1, after(9)), paid(1, after(5))],
    "twice, the same": [paid(1, after(5)), reversed_(1, after(9)), reversed_(1, after(9))],
    "twice, under two ids": [paid(1, after(5)), reversed_(1, after(9)), reversed_(1, after(9), "rev-again")],
    "before and after": [reversed_(1, after(9)), paid(1, after(5)), reversed_(1, after(9), "rev-again")],
    "behind the close": [paid(1, after(5)), *closes(0, 20), reversed_(1, after(9))],
    "and the payment again": [paid(1, after(5)), reversed_(1, after(9)), paid(1, after(5))],
}


@pytest.mark.parametrize("events", REVERSALS.values(), ids=REVERSALS.keys())
def test_a_payment_reversed_in_any_way_was_never_made(events: list[ev.Event]) -> None:
    without, _ = outcome([opened(), *closes(0, 40)])
    state, odd = outcome([opened(), *events, *closes(0, 40)])
    assert odd == []
    assert (state.received, state.paid, state.missed, state.days_past_due) == (
        0,
        without.paid,
        1,
        without.days_past_due,
    )


def test_a_reversal_of_a_reversal_is_a_contradiction() -> None:
    """A reversal is never taken back: money that stays after all is sent as a new payment."""
    told = [opened(), paid(1, after(5)), reversed_(1, after(9)), reversed_(1, after(9), reason="mistaken")]
    state, odd = outcome([*told, *closes(0, 20)])
    assert (state.received, odd) == (0, [("conflicting_duplicate", None)])
    state, _ = outcome([*told, paid(2, after(5)), *closes(0, 20)])
    assert state.received == 10_000


def test_a_payment_after_closing_is_kept_as_money() -> None:
    gone = ev.AccountClosed(event_id="x", occurred_at=at(after(3)), source="t", account_id="A1", reason="repaid")
    state, odd = outcome([opened(1), paid(1, after(2)), gone, *closes(0, 5), paid(2, after(8), 77), *closes(6, 9)])
    assert (state.received, state.credit, odd) == (10_077, 77, [])


def test_a_payment_in_another_currency_is_refused(runtime: LocalRuntime) -> None:
    runtime.feed([opened(), paid(1, START, currency="JPY"), paid(2, START, currency="usd")])
    assert refused(runtime) == [("wrong_currency", "currency"), ("out_of_range", "currency")]


# -- names

HIDDEN = {
    "zero width space": "A1\u200b",
    "zero width joiner": "A\u200d1",
    "right-to-left override": "\u202e1A",
    "isolate": "A1\u2066",
    "byte order mark": "\ufeffA1",
    "soft hyphen": "A\xad1",
    "control": "A\x811",
    "hangul filler": "\u3164",
    "braille blank": "A\u28001",
    "variation selector": "A1\ufe0f",
    "tag": "A1\U000e0041",
}


@pytest.mark.parametrize("name", HIDDEN.values(), ids=HIDDEN.keys())
def test_an_id_that_looks_like_another_is_refused(runtime: LocalRuntime, name: str) -> None:
    common = {"occurred_at": at(START), "source": "t"}
    grant = ev.ConsentGranted(event_id="g", **common, borrower_id=name, consent_id="c", purpose="x")
    runtime.feed([opened(), opened(account_id=name), paid(1, START, payment_id=name), grant, *closes(0, 2)])
    assert refused(runtime) == [("out_of_range", n) for n in ("account_id", "payment_id", "borrower_id")]
    assert account(runtime).received == 0


@pytest.mark.parametrize("name", ["é", "e\u0301", "借款人-1", "مدين", "a/b|c:d", "🦊", "%00", "../.."])
def test_a_visible_id_is_kept_and_never_normalised(runtime: LocalRuntime, name: str) -> None:
    runtime.feed([opened(account_id=name), opened(), paid(1, START, account_id=name), *closes(0, 2)])
    state = runtime.state("account", name)
    assert isinstance(state, AccountState)
    assert (state.account_id, state.received, refused(runtime)) == (name, 10_000, [])
