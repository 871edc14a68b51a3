"""What is read of a payment's bytes without an event is what the codec, the limits and the agent say of the event."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents import input_limits
from agents.account.facts import fact_key
from agents.account.waiting import WAITING, DeferralTerms
from agents.base import DecisionContext, Glimpse
from schemas import events as ev
from state.account import AccountTerms
from state.policy_packs.loader import default_book
from tests.schemas.test_codec import CODEC, PAYMENT
from tests.support.compiled_readers import load

BOOK = default_book()
DAY = date(2026, 3, 1)
Read = Callable[[bytes, bytes], Glimpse | None]
# Most are what is usual, and each may be at a limit or beyond.
IDS = st.one_of(st.text("aB-9:~!", min_size=1, max_size=70), st.text(min_size=1, max_size=5))
NAMES = st.one_of(st.text(" aZ", min_size=0, max_size=3), st.just("x" * 200), st.just("x" * 201), st.text(max_size=4))
DATES = st.one_of(
    st.dates(date(2025, 1, 1), date(2027, 1, 1)),
    st.sampled_from([date(1899, 12, 31), date(1900, 1, 1), date(2199, 12, 31), date(2200, 1, 1)]),
)
INSTANTS = st.one_of(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    st.sampled_from([datetime(1970, 1, 9), datetime(1971, 1, 1), datetime(2199, 12, 31, 23, 59), datetime(2200, 1, 1)]),
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
)
NEAR = input_limits.NEGLIGIBLE_AMOUNT
AMOUNTS = st.one_of(st.integers(1, 10**6), st.sampled_from([0, -1, NEAR, NEAR + 1, 2**62, -(2**63), 2**63 - 1]))
CURRENCIES = st.sampled_from(["CNY", "USD", "cny", "CN", "CNYX", "CN1", "\u00c4BC", "", "@BC", "AB["])


@pytest.fixture(scope="session")
def read(compiled_readers: Path) -> Read:
    """Return the compiled reader."""
    found: Read = load(compiled_readers, "agents.account.payment_reader").glimpse
    return found


@st.composite
def payments(draw: st.DrawFn) -> ev.PaymentReceived:
    """Draw a payment, of which a part may be beyond its limits."""
    unusual = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "event_id": IDS,
                "payment_id": IDS,
                "account_id": IDS,
                "source": NAMES,
                "channel": NAMES,
                "value_on": DATES,
                "occurred_at": INSTANTS.map(lambda at: at.replace(tzinfo=UTC)),
                "amount": AMOUNTS,
                "currency": CURRENCIES,
            },
        )
    )
    return replace(PAYMENT, **unusual)


def holds(read: Read, key: bytes, value: bytes) -> bool:
    """Check what is read of a record against its event; return whether anything is."""
    seen = read(key, value)
    if seen is None:
        return False
    event = CODEC.decode(value, {ev.PaymentReceived})
    assert isinstance(event, ev.PaymentReceived)
    assert seen == (key.decode(), fact_key(event), (event.value_on.toordinal(), event.currency))
    assert event.account_id == key.decode()
    assert event.amount <= input_limits.NEGLIGIBLE_AMOUNT
    input_limits.check_event(event)
    return True


@settings(max_examples=400, derandomize=True, deadline=None)
@given(payment=payments())
@example(payment=PAYMENT)
def test_what_is_read_is_what_the_event_says(read: Read, payment: ev.PaymentReceived) -> None:
    found = holds(read, payment.account_id.encode(), CODEC.encode(payment))
    if payment in (PAYMENT, replace(PAYMENT, amount=NEAR)):
        assert found
    assert not holds(read, b"another", CODEC.encode(payment)) or payment.account_id == "another"


@settings(max_examples=400, derandomize=True, deadline=None)
@given(payment=payments(), data=st.data())
def test_hostile_bytes_are_never_taken_for_another_payment(
    read: Read, payment: ev.PaymentReceived, data: st.DataObject
) -> None:
    value = bytearray(CODEC.encode(payment))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=11))
    holds(read, payment.account_id.encode(), bytes(value))


@settings(max_examples=200, derandomize=True, deadline=None)
@given(payment=payments(), data=st.data())
def test_payments_of_which_the_same_is_read_are_judged_alike(
    read: Read, payment: ev.PaymentReceived, data: st.DataObject
) -> None:
    seen = read(payment.account_id.encode(), CODEC.encode(payment))
    if seen is None:
        return
    usual = replace(PAYMENT, value_on=payment.value_on, currency=payment.currency)
    numbers = st.integers(DAY.toordinal() - 3, DAY.toordinal() + 3)
    terms = AccountTerms(
        data.draw(numbers),
        data.draw(numbers),
        data.draw(st.sampled_from([0, 12, 1_999, 2_000])),
        data.draw(st.booleans()),
        data.draw(st.booleans()),
        data.draw(st.sampled_from(["CNY", "USD", ""])),
    )
    closed = data.draw(st.sampled_from([None, DAY - timedelta(days=2), DAY, DAY - timedelta(days=400)]))
    defers = WAITING.deferral(DecisionContext(BOOK, closed))
    waiting = data.draw(st.sampled_from([0, 1_000]))
    whole = DeferralTerms(terms, "CN", "personal_loan", "CNY")
    assert defers(whole, waiting, payment) == defers(whole, waiting, usual)


def test_usual_payments_are_read(read: Read) -> None:
    seen: Any = read(b"a-1", CODEC.encode(PAYMENT))
    assert seen == ("a-1", "payment:p-1", (DAY.toordinal(), "CNY"))
    assert read(b"a-1", CODEC.encode(PAYMENT)[:-1]) is None
    assert read(b"a-1", CODEC.encode(PAYMENT) + b"\0") is None
    assert read(b"a-1", b"") is None
