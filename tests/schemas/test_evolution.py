"""Reading what another release, or a producer with a schema of its own, wrote."""

from __future__ import annotations

import copy
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest

from schemas import contracts
from schemas import events as ev
from schemas.codec import CONFLUENT, Codec, headers_for
from schemas.errors import InvalidEventError
from schemas.resolution import known_schemas
from tests.support.file_registry import FileRegistry

CONTACT = {
    "event_id": "e-1",
    "occurred_at": datetime(2026, 3, 1, tzinfo=UTC),
    "source": "dialler",
    "attempt_id": "t-1",
    "account_id": "a-1",
    "channel": "call",
    "direction": "outbound",
    "outcome": "no_answer",
    "agent": "s-7",
}


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(f for f in schema["fields"] if f["name"] == name)


def read(schema: Any, value: dict[str, Any]) -> ev.Event:
    """Return what the codec makes of a value that fastavro wrote with a producer's schema."""
    registry = FileRegistry()
    number = registry.id_of("s", json.dumps(schema))
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(copy.deepcopy(schema)), value)
    return Codec(registry).decode(CONFLUENT + number.to_bytes(4, "big") + stream.getvalue())


def changed(name: str) -> dict[str, Any]:
    return copy.deepcopy(contracts.schema_of(name))


def test_fields_only_the_producer_knows_are_skipped() -> None:
    schema = changed("ContactAttempted")
    note = {"type": "record", "name": "Note", "fields": [{"name": "text", "type": "string"}]}
    schema["fields"][3:3] = [
        {"name": "note", "type": note},
        {"name": "notes", "type": {"type": "array", "items": "reprieve.Note"}},
        {"name": "scores", "type": {"type": "map", "values": ["null", "double"]}},
        {"name": "flag", "type": "boolean"},
        {"name": "mood", "type": {"type": "enum", "name": "Mood", "symbols": ["calm", "angry"]}},
    ]
    more = {"note": {"text": "x"}, "notes": [{"text": "y"}] * 3, "scores": {"a": 1.5, "b": None}, "flag": True}
    assert read(schema, {**CONTACT, **more, "mood": "angry"}) == read(changed("ContactAttempted"), CONTACT)


def test_a_type_without_a_quick_reader_is_read_plainly() -> None:
    schema = changed("ContactAttempted")
    schema["fields"] += [
        {"name": "either", "type": ["null", "string", "long"]},
        {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 2}},
        {"name": "ratio", "type": "float"},
        {"name": "nothing", "type": "null"},
    ]
    more = {"either": 7, "hash": b"ab", "ratio": 0.5, "nothing": None}
    assert read(schema, {**CONTACT, **more}) == read(changed("ContactAttempted"), CONTACT)


def test_fields_the_producer_does_not_know_take_defaults() -> None:
    schema = changed("AccountClosed")
    schema["fields"] = [f for f in schema["fields"] if f["name"] != "closed_on"]
    value = {**{k: CONTACT[k] for k in ("event_id", "occurred_at", "source", "account_id")}, "reason": "paid"}
    event = read(schema, value)
    assert isinstance(event, ev.AccountClosed)
    assert event.closed_on is None


def test_a_missing_field_without_default_is_reported() -> None:
    schema = changed("ContactAttempted")
    schema["fields"] = [f for f in schema["fields"] if f["name"] != "outcome"]
    with pytest.raises(InvalidEventError) as caught:
        read(schema, CONTACT)
    assert (caught.value.code, caught.value.field) == ("missing_field", "outcome")


def test_a_new_symbol_becomes_its_enums_default() -> None:
    schema = changed("ContactAttempted")
    field(schema, "channel")["type"]["symbols"].insert(0, "messenger")
    event = read(schema, {**CONTACT, "channel": "messenger"})
    assert isinstance(event, ev.ContactAttempted)
    assert event.channel == "other"
    assert read(schema, CONTACT) == read(changed("ContactAttempted"), CONTACT)


def test_a_new_symbol_without_a_default_is_refused_by_field() -> None:
    schema = changed("ContactAttempted")
    field(schema, "outcome")["type"]["symbols"].append("hung_up")
    with pytest.raises(InvalidEventError) as caught:
        read(schema, {**CONTACT, "outcome": "hung_up"})
    assert (caught.value.code, caught.value.field) == ("unknown_value", "outcome")


def test_numbers_are_widened_and_optional_fields_may_be_plain() -> None:
    payment = changed("PaymentFailed")
    field(payment, "amount")["type"] = "int"
    base = {k: CONTACT[k] for k in ("event_id", "occurred_at", "source", "account_id")}
    event = read(payment, {**base, "payment_id": "p", "amount": 12, "reason": "limit"})
    assert isinstance(event, ev.PaymentFailed)
    assert event.amount == 12
    closed = changed("AccountClosed")
    field(closed, "closed_on").update(type={"type": "int", "logicalType": "date"}, default=0)
    event = read(closed, {**base, "reason": "paid", "closed_on": date(2026, 3, 2)})
    assert isinstance(event, ev.AccountClosed)
    assert event.closed_on == date(2026, 3, 2)


def test_a_date_that_the_producer_calls_a_plain_int_is_a_date() -> None:
    schema = changed("DayClosed")
    field(schema, "business_date")["type"] = "int"
    value = {k: CONTACT[k] for k in ("event_id", "occurred_at", "source")}
    event = read(schema, {**value, "business_date": 20_513, "calendar": "CN"})
    assert isinstance(event, ev.DayClosed)
    assert event.business_date == date(2026, 3, 1)


def test_a_producer_may_have_its_own_namespace() -> None:
    schema = changed("PaymentFailed")
    schema["namespace"] = "com.example.bank"
    base = {k: CONTACT[k] for k in ("event_id", "occurred_at", "source", "account_id")}
    assert isinstance(read(schema, {**base, "payment_id": "p", "amount": 1, "reason": "r"}), ev.PaymentFailed)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "7",
        '"string"',
        '{"type": "record"}',
        '{"type": "record", "name": "PaymentReceived", "fields": [{"name": "a", "type": "nonsense"}]}',
        '{"type": "record", "name": "PaymentRecieved", "fields": []}',
        '{"type": "record", "name": "PaymentReceived", "fields": 3}',
        "[" * 2_000 + "]" * 2_000,
    ],
)
def test_a_registered_schema_that_is_none_of_ours_is_refused(text: str) -> None:
    registry = FileRegistry()
    number = registry.id_of("s", text)
    with pytest.raises(InvalidEventError) as caught:
        Codec(registry).decode(CONFLUENT + number.to_bytes(4, "big") + b"x")
    assert caught.value.code == "unknown_schema"


def test_a_schema_that_holds_itself_cannot_exhaust_the_stack() -> None:
    schema = changed("ContactAttempted")
    node = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "reprieve.Node"]}]}
    schema["fields"].append({"name": "chain", "type": node})
    deep: dict[str, Any] = {"next": None}
    assert read(schema, {**CONTACT, "chain": {"next": {"next": None}}}) == read(changed("ContactAttempted"), CONTACT)
    for _ in range(100):
        deep = {"next": deep}
    registry = FileRegistry()
    number = registry.id_of("s", json.dumps(schema))
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(copy.deepcopy(schema)), {**CONTACT, "chain": deep})
    long = stream.getvalue()[:-1] + b"\2" * 100_000
    with pytest.raises(InvalidEventError) as caught:
        Codec(registry).decode(CONFLUENT + number.to_bytes(4, "big") + long)
    assert caught.value.code == "unreadable"


def test_every_released_schema_is_known_by_its_fingerprint() -> None:
    for folder in contracts.releases():
        release = contracts.load(folder)
        for name in release.keys() & ev.EVENT_TYPES.keys():
            schema = contracts.self_contained(name, release)
            assert contracts.canonical_form(known_schemas()[contracts.fingerprint(schema)]) == (
                contracts.canonical_form(schema)
            )


def test_the_file_registry_persists_and_knows_subjects_by_topic(tmp_path: Path) -> None:
    event = read(changed("ContactAttempted"), CONTACT)
    path = tmp_path / "registry.json"
    first = Codec(FileRegistry(path))
    by_record, by_topic = first.encode(event), first.encode(event, "reprieve.collections")
    assert by_record == by_topic
    again = FileRegistry(path)
    assert again.subjects() == {
        "reprieve.ContactAttempted": [1],
        "reprieve.collections-reprieve.ContactAttempted": [1],
    }
    assert Codec(again).decode(by_record) == event
    assert by_record[:5] == b"\0\0\0\0\1"


def test_headers_are_those_of_a_cloudevent_with_its_trace() -> None:
    event = read(changed("ContactAttempted"), {**CONTACT, "source": "front desk"})
    assert headers_for(event, "00-ab-cd-01") == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e-1"),
        ("ce_type", b"reprieve.ContactAttempted"),
        ("ce_source", b"front%20desk"),
        ("ce_time", b"2026-03-01T00:00:00.000Z"),
        ("content-type", b"application/avro"),
        ("traceparent", b"00-ab-cd-01"),
    ]
    assert dict(headers_for(event)).keys() == dict(headers_for(event, b"x")).keys() - {"traceparent"}
