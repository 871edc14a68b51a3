"""What the codec promises of any bytes: an event that keeps its contract, or a reason."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas import contracts, resolution
from schemas import events as ev
from schemas.codec import SINGLE_OBJECT, Codec
from schemas.errors import InvalidEventError
from schemas.topics import TOPICS
from schemas.validation import check, typed
from tests.support.file_registry import FileRegistry
from tests.support.strategies import any_event, avro_value

CODEC = Codec()
PAYMENT = ev.PaymentReceived(
    event_id="e-1",
    occurred_at=datetime(2026, 3, 1, 8, 30, tzinfo=UTC),
    source="core",
    payment_id="p-1",
    account_id="a-1",
    amount=25_530,
    currency="CNY",
    value_on=date(2026, 3, 1),
    channel="bank",
)
INSTALMENT = {"number": 1, "due_on": date(2026, 4, 1), "principal": 1, "interest": 0, "fees": 0}
LOAN = {
    "event_id": "e-2",
    "occurred_at": datetime(2026, 3, 1, tzinfo=UTC),
    "source": "core",
    "account_id": "a-1",
    "borrower_id": "b-1",
    "product": "personal_loan",
    "jurisdiction": "CN",
    "currency": "CNY",
    "opened_on": date(2026, 3, 1),
    "annual_rate_bps": 1_825,
    "principal": 5,
    "instalments": [dict(INSTALMENT) for _ in range(5)],
}


def frame_of(name: str) -> bytes:
    return SINGLE_OBJECT + contracts.fingerprint(contracts.schema_of(name))


def written(name: str, value: dict[str, Any], schema: Any = None) -> bytes:
    """Return the frame of values that fastavro writes without a look at our ranges."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema or contracts.schema_of(name)), value)
    return frame_of(name) + stream.getvalue()


def refused(data: bytes, **more: Any) -> InvalidEventError:
    with pytest.raises(InvalidEventError) as caught:
        CODEC.decode(data, **more)
    assert caught.value.message.endswith((".", "?"))
    return caught.value


@settings(max_examples=300, derandomize=True, deadline=None)
@given(event=any_event())
def test_an_event_is_the_same_after_both_framings(event: ev.Event) -> None:
    registered = Codec(FileRegistry())
    assert CODEC.decode(CODEC.encode(event)) == event
    assert registered.decode(registered.encode(event)) == event
    assert registered.decode(CODEC.encode(event)) == event
    check(event)


class OneSchema:
    """A registry of one schema, whatever is asked for."""

    def __init__(self, schema: Any) -> None:
        self._schema = json.dumps(schema)

    def schema(self, schema_id: int) -> str:
        return self._schema

    def id_of(self, subject: str, schema: str) -> int:
        return 1


@settings(max_examples=200, derandomize=True, deadline=None)
@given(event=any_event())
def test_a_known_schema_needs_no_registry_afterwards(event: ev.Event) -> None:
    framed = Codec(OneSchema(contracts.schema_of(type(event).__name__)))
    value = framed.encode(event)
    framed.decode(value)
    assert framed.self_contained(value) == CODEC.self_contained(CODEC.encode(event)) == CODEC.encode(event)


def test_a_schema_of_another_meaning_is_not_taken_for_ours() -> None:
    ours = contracts.schema_of("PaymentReceived")
    other = json.loads(json.dumps(ours).replace("timestamp-millis", "timestamp-micros"))
    assert contracts.fingerprint(other) == contracts.fingerprint(ours)
    codec = Codec(OneSchema(other))
    value = b"\0\0\0\0\1" + CODEC.encode(PAYMENT)[10:]
    assert codec.decode(value).occurred_at != PAYMENT.occurred_at
    assert codec.self_contained(value) is None


@settings(max_examples=500, derandomize=True, deadline=None)
@given(data=st.binary(max_size=200), name=st.sampled_from(["", *ev.EVENT_TYPES]))
def test_any_bytes_are_a_valid_event_or_bad_input(data: bytes, name: str) -> None:
    try:
        event = CODEC.decode((frame_of(name) if name else b"") + data)
    except InvalidEventError:
        return
    check(event)


@settings(max_examples=600, derandomize=True, deadline=None)
@given(event=any_event(), data=st.data())
def test_damaged_bytes_are_read_alike_by_both_readers(event: ev.Event, data: st.DataObject) -> None:
    whole = CODEC.encode(event)
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(10, len(whole) - 1))
        match data.draw(st.sampled_from(["set", "cut", "insert"])):
            case "set":
                damaged[at : at + 1] = bytes([data.draw(st.sampled_from([0, 1, 2, 127, 128, 255, 32, 65]))])
            case "cut":
                del damaged[at : at + data.draw(st.integers(1, 20))]
            case _:
                damaged[at:at] = data.draw(st.binary(min_size=1, max_size=11))
    raw = bytes(damaged)
    schema, names = contracts.parsed(contracts.schema_of(type(event).__name__))
    plain = resolution.SchemaReader(type(event), resolution.Plain(schema, names), None)
    try:
        expected: object = plain.read_rest(raw, 10)
    except InvalidEventError as error:
        expected = (error.code, error.field, error.message)
    try:
        found: object = CODEC.decode(raw)
    except InvalidEventError as error:
        found = (error.code, error.field, error.message)
    assert found == expected


@settings(max_examples=60, derandomize=True, deadline=None)
@given(event=any_event())
def test_a_truncated_or_longer_event_is_unreadable(event: ev.Event) -> None:
    whole = CODEC.encode(event)
    for size in {0, 1, 9, 10, *range(10, len(whole), max(1, len(whole) // 23))}:
        assert refused(whole[:size]).code == "unreadable"
    assert refused(whole + b"\0").code == "unreadable"


@pytest.mark.parametrize("claim", [2**31, 2**40, 2**62, -1, -(2**62)])
def test_a_length_beyond_all_bytes_allocates_nothing(claim: int) -> None:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, "long", claim)
    assert refused(frame_of("PaymentReceived") + stream.getvalue() + b"abc").field == "event_id"
    event = CODEC.encode(typed(LOAN, ev.AccountOpened))
    many = event[: event.rindex(b"\n\x02")] + stream.getvalue()
    assert refused(many).field == "instalments" or refused(many).code == "unreadable"


def test_a_number_beyond_ten_bytes_or_64_bits_is_unreadable() -> None:
    start = CODEC.encode(PAYMENT).index(b"\xf4\x8e\x03")
    whole = CODEC.encode(PAYMENT)
    for number in (b"\xff" * 9 + b"\x02", b"\xff" * 11 + b"\1"):
        assert refused(whole[:start] + number + whole[start + 3 :]).field == "amount"


def test_a_number_written_longer_than_needed_is_still_read() -> None:
    whole = CODEC.encode(PAYMENT)
    start = whole.index(b"\xf4\x8e\x03")
    assert CODEC.decode(whole[:start] + b"\xf4\x8e\x83\x80\0" + whole[start + 3 :]) == PAYMENT


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("amount", 0, "out_of_range"),
        ("amount", -1, "out_of_range"),
        ("currency", "cny", "out_of_range"),
        ("currency", "CNY\n", "out_of_range"),
        ("account_id", "", "out_of_range"),
        ("account_id", "a b", "out_of_range"),
        ("account_id", "a\n", "out_of_range"),
        ("account_id", "a" * 65, "out_of_range"),
        ("channel", "", "out_of_range"),
        ("channel", "c" * 201, "out_of_range"),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_its_field(field: str, value: object, code: str) -> None:
    bad = msgspec.structs.replace(PAYMENT, **{field: value})
    error = refused(CODEC.encode(bad))
    assert (error.code, error.field) == (code, field)
    with pytest.raises(InvalidEventError) as caught:
        check(bad)
    assert (caught.value.code, caught.value.field) == (code, field)


@pytest.mark.parametrize(
    ("path", "field", "value"), [("instalments[3].fees", "fees", -1), ("instalments[3].number", "number", 0)]
)
def test_a_field_within_a_list_is_named_with_its_place(path: str, field: str, value: int) -> None:
    loan = {**LOAN, "instalments": [dict(INSTALMENT) for _ in range(5)]}
    loan["instalments"][3][field] = value
    error = refused(written("AccountOpened", loan))
    assert (error.code, error.field) == ("out_of_range", path)
    assert path in error.message


@pytest.mark.parametrize("days", [-719_163, 2_932_897, 2**31 - 1, -(2**31)])
def test_a_date_outside_the_calendar_is_refused_by_its_field(days: int) -> None:
    loan = {**LOAN, "instalments": [dict(INSTALMENT) for _ in range(5)]}
    loan["instalments"][3]["due_on"] = days
    error = refused(written("AccountOpened", loan))
    assert (error.code, error.field) == ("out_of_range", "instalments[3].due_on")


@pytest.mark.parametrize("millis", [-(2**63), 2**63 - 1, 253_402_300_800_000, -62_135_596_800_001])
def test_an_instant_outside_the_calendar_is_refused_by_field(millis: int) -> None:
    error = refused(written("PaymentReceived", {**avro_value(PAYMENT), "occurred_at": millis}))
    assert (error.code, error.field) == ("out_of_range", "occurred_at")


@settings(max_examples=300, derandomize=True, deadline=None)
@example(at=datetime(1987, 4, 7, 0, 0, 0, 1_000, tzinfo=UTC))
@example(at=datetime(2039, 9, 7, 15, 47, 35, 551_000, tzinfo=UTC))
@example(at=datetime.max.replace(microsecond=999_000, tzinfo=UTC))
@given(at=st.datetimes(timezones=st.just(UTC)).map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)))
def test_every_millisecond_of_the_calendar_is_kept_exactly(at: datetime) -> None:
    assert CODEC.decode(CODEC.encode(msgspec.structs.replace(PAYMENT, occurred_at=at))).occurred_at == at


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    candidate = {"option_id": "o", "value": value, "accept_bps": 1, "keep_bps": 1, "verdict": "kept"}
    plain = {
        "event_id": "e",
        "occurred_at": datetime(2026, 3, 1, tzinfo=UTC),
        "source": "s",
        "offer_id": "o",
        "borrower_id": "b",
        "policy_version": "1",
        "model_version": "1",
        "candidates": [candidate],
        "feasible": [],
        "chosen": None,
        "propensity": 1.0,
        "features_hash": "h",
        "seed": 1,
        "reasons": [],
        "business_date": date(2026, 3, 1),
        "caused_by": "e",
    }
    error = refused(written("DecisionLogged", plain))
    assert (error.code, error.field) == ("out_of_range", "candidates[0].value")


def test_text_that_is_not_utf8_is_refused_by_its_field() -> None:
    error = refused(CODEC.encode(PAYMENT).replace(b"core", b"co\xff\xfe"))
    assert (error.code, error.field) == ("unreadable", "source")


def test_a_record_outside_a_topics_closed_set_is_refused() -> None:
    data = CODEC.encode(PAYMENT)
    assert CODEC.decode(data, TOPICS["payments"].records) == PAYMENT
    error = refused(data, allowed=TOPICS["accounts"].records)
    assert error.code == "unexpected_type"
    assert "AccountOpened" in error.message


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\0\0\0\0", b"\xc3", b"\xc3\x01", b"\xc3\x02" + b"x" * 30, b"{}", b"\x01"]
)
def test_a_value_without_a_frame_is_unreadable(data: bytes) -> None:
    assert refused(data).code == "unreadable"


def test_an_unknown_schema_is_named() -> None:
    error = refused(SINGLE_OBJECT + bytes(range(8)) + b"x")
    assert error.code == "unknown_schema"
    assert "0001020304050607" in error.message
    assert refused(b"\0\0\0\0\x07x").code == "unknown_schema"
    with pytest.raises(InvalidEventError, match="no schema with id 7"):
        Codec(FileRegistry()).decode(b"\0\0\0\0\x07x")


def test_check_refuses_what_no_contract_type_can_hold() -> None:
    for wrong in ({"amount": "12"}, {"amount": 2**70}, {"value_on": object()}, {"occurred_at": datetime(2026, 1, 1)}):
        with pytest.raises(InvalidEventError):
            check(msgspec.structs.replace(PAYMENT, **wrong))
