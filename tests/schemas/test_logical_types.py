"""What a producer's logical type means is honoured, or refused with a sentence; a slip of the unit is named."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import fastavro
import pytest

from agents.input_limits import check_event
from schemas import contracts
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import InvalidEventError
from tests.support.file_registry import FileRegistry

AT = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
MILLIS = 1_772_366_400_123
PAID = {
    "event_id": "e1", "occurred_at": AT, "source": "bank", "payment_id": "p1", "account_id": "A1", "amount": 10_000,
    "currency": "EUR", "value_on": date(2026, 3, 1), "channel": "bank",
}  # fmt: skip

DURATION = {"type": "fixed", "size": 12, "name": "F", "logicalType": "duration"}
UUID_OF_BYTES = {"type": "fixed", "size": 16, "name": "F", "logicalType": "uuid"}


def sent(field: str, kind: Any, value: Any, record: str = "PaymentReceived", whole: dict[str, Any] = PAID) -> Any:
    """Return what is decoded where a producer's schema has another type in a field."""
    schema = json.loads(json.dumps(contracts.schema_of(record)))
    next(f for f in schema["fields"] if f["name"] == field)["type"] = kind
    registry = FileRegistry()
    schema_id = registry.id_of("s", json.dumps(schema))
    out = io.BytesIO(b"\0" + schema_id.to_bytes(4, "big"))
    out.seek(0, io.SEEK_END)
    # As a producer in another language writes it: the bytes of the bare type, where fastavro has no such value.
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), {**whole, field: value})
    return Codec(registry).decode(out.getvalue())


def logical(kind: str, on: str = "long", **more: Any) -> dict[str, Any]:
    return {"type": on, "logicalType": kind, **more}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (logical("timestamp-millis"), AT),
        (logical("timestamp-micros"), AT + timedelta(microseconds=999)),
        (logical("timestamp-nanos"), MILLIS * 1_000_000 + 999_999),
        ("long", MILLIS),
        # Avro says that a logical type that it does not know, or on other bytes, is none.
        (logical("seconds"), MILLIS),
        (logical("date"), MILLIS),
        (["null", logical("timestamp-micros")], AT),
        ([logical("timestamp-nanos"), "null"], MILLIS * 1_000_000),
    ],
)
def test_an_instant_comes_in_any_unit_that_says_which_it_is(kind: Any, value: Any) -> None:
    assert sent("occurred_at", kind, value).occurred_at == AT


@pytest.mark.parametrize("unit", ["micros", "nanos"])
@pytest.mark.parametrize(
    "at", [datetime(1901, 1, 1, 0, 0, 0, 1, UTC), datetime(2199, 12, 31, 23, 59, 59, 999_999, UTC)]
)
def test_an_instant_is_cut_to_the_millisecond_it_lies_in(unit: str, at: datetime) -> None:
    micros = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    value = micros * (1_000 if unit == "nanos" else 1)
    if abs(value) >= 2**63:
        pytest.skip("no long holds it")
    cut = at.replace(microsecond=at.microsecond // 1_000 * 1_000)
    raw: Any = value if unit == "nanos" else at
    assert sent("occurred_at", logical(f"timestamp-{unit}"), raw).occurred_at == cut


@pytest.mark.parametrize(
    ("field", "kind", "value", "words"),
    [
        ("occurred_at", logical("local-timestamp-millis"), AT.replace(tzinfo=None), "local-timestamp-millis, which"),
        ("occurred_at", logical("local-timestamp-micros"), AT.replace(tzinfo=None), "which is no instant"),
        ("occurred_at", logical("local-timestamp-nanos"), MILLIS, "which is no instant"),
        ("occurred_at", logical("time-micros"), 0, "which is no instant"),
        ("occurred_at", logical("time-millis", "int"), 0, "which is no instant"),
        ("occurred_at", logical("date", "int"), date(2026, 3, 1), "which is no instant"),
        ("occurred_at", "int", MILLIS // 1_000, "holds no milliseconds"),
        ("value_on", logical("timestamp-millis"), AT, "which is no date"),
        ("value_on", logical("local-timestamp-micros"), AT.replace(tzinfo=None), "which is no date"),
        ("value_on", logical("time-millis", "int"), 0, "which is no date"),
        ("value_on", "long", 20_513, "a long, which is no date"),
        ("amount", logical("decimal", "bytes", precision=9), Decimal(100), "a decimal\\. .* minor units"),
        ("amount", {"type": "fixed", "size": 8, "name": "F", "logicalType": "decimal", "precision": 12, "scale": 2},
         Decimal("100.00"), "a decimal"),
        ("amount", logical("timestamp-millis"), AT, "which is no plain number"),
        ("amount", logical("date", "int"), date(2026, 3, 1), "which is no plain number"),
        ("amount", logical("time-micros"), 7, "which is no plain number"),
        ("amount", DURATION, bytes(12), "which is no plain number"),
        ("account_id", UUID_OF_BYTES, bytes(16), "uuid of 16 bytes"),
        ("account_id", logical("decimal", "bytes", precision=4), Decimal(7), "which is no text"),
        ("account_id", DURATION, bytes(12), "which is no text"),
    ],
)  # fmt: skip
def test_what_means_something_else_is_refused_with_advice(field: str, kind: Any, value: Any, words: str) -> None:
    with pytest.raises(InvalidEventError, match=rf"^{field} is written as .*{words}") as caught:
        sent(field, kind, value)
    assert (caught.value.code, caught.value.field) == ("wrong_type", field)
    assert caught.value.message.rpartition("Write ")[2] or "holds no" in caught.value.message


def test_unread_and_empty_fields_refuse_nothing() -> None:
    whole = {
        "event_id": "e1", "occurred_at": AT, "source": "s", "feedback_id": "f", "offer_id": "o", "borrower_id": "B",
        "answer": "declined", "channel": "online",
    }  # fmt: skip
    decimal = ["null", logical("decimal", "bytes", precision=4)]
    assert sent("counter_amount", decimal, None, "OfferAnswered", whole).counter_amount is None
    with pytest.raises(InvalidEventError, match="counter_amount is written as a decimal"):
        sent("counter_amount", decimal, Decimal(7), "OfferAnswered", whole)
    # A field of the producer's own may be of any type.
    made = json.loads(json.dumps(contracts.schema_of("PaymentReceived")))
    made["fields"].append({"name": "booked", "type": logical("local-timestamp-millis")})
    made["fields"].append({"name": "rate", "type": logical("decimal", "bytes", precision=4)})
    made["fields"].append({"name": "time", "type": logical("timestamp-micros")})
    registry = FileRegistry()
    out = io.BytesIO(b"\0" + registry.id_of("s", json.dumps(made)).to_bytes(4, "big"))
    out.seek(0, io.SEEK_END)
    value = {**PAID, "booked": AT.replace(tzinfo=None), "rate": Decimal(7), "time": AT}
    fastavro.schemaless_writer(out, fastavro.parse_schema(made), value)
    assert Codec(registry).decode(out.getvalue()) == ev.PaymentReceived(**PAID)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "kind", "value", "words"),
    [
        ("occurred_at", "long", MILLIS * 1_000, "number of milliseconds .*: it looks like microseconds"),
        ("occurred_at", "long", MILLIS * 1_000_000, "number of milliseconds .*: it looks like nanoseconds"),
        ("occurred_at", logical("timestamp-micros"), 2**62, "number of microseconds"),
        ("value_on", "int", 20_260_301, "number of days .*: it looks like a date written as YYYYMMDD"),
        ("value_on", "int", MILLIS // 1_000, "number of days .*: it looks like a time in seconds"),
    ],
)
def test_a_number_beyond_the_calendar_is_refused_with_a_hint(field: str, kind: Any, value: int, words: str) -> None:
    with pytest.raises(InvalidEventError, match=words) as caught:
        sent(field, kind, value)
    assert (caught.value.code, caught.value.field) == ("out_of_range", field)


@pytest.mark.parametrize("at", [AT, datetime(1970, 6, 1, tzinfo=UTC), datetime(2199, 12, 31, tzinfo=UTC)])
def test_seconds_that_are_sent_as_milliseconds_are_named(at: datetime) -> None:
    event = sent("occurred_at", "long", int(at.timestamp()))
    assert event.occurred_at.year == 1970
    with pytest.raises(InvalidEventError, match="where seconds come to lie that are taken for milliseconds") as caught:
        check_event(event)
    assert (caught.value.code, caught.value.field) == ("out_of_range", "occurred_at")


@pytest.mark.parametrize("at", [datetime(1969, 12, 31, tzinfo=UTC), datetime(1970, 6, 1, tzinfo=UTC), AT])
def test_an_instant_that_is_meant_is_taken(at: datetime) -> None:
    check_event(sent("occurred_at", logical("timestamp-millis"), at))
