"""Events as JSON lines and in container files: what is wrong is named, the rest goes on."""

from __future__ import annotations

import copy
import gzip
import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import contracts
from schemas import events as ev
from schemas.errors import InvalidEventError, Rejected, UsageError
from schemas.jsonlines import MAX_LINE, from_line, read_events, to_line, unknown_fields, without_place
from schemas.validation import check
from tests.support.strategies import any_event, avro_value, events_of

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples.jsonl"
PAYMENT = {
    "type": "PaymentReceived",
    "event_id": "e-1",
    "occurred_at": "2026-03-01T08:30:00Z",
    "source": "core",
    "payment_id": "p-1",
    "account_id": "a-1",
    "amount": 25530,
    "currency": "CNY",
    "value_on": "2026-03-01",
    "channel": "bank",
}
LINE = json.dumps(PAYMENT, separators=(",", ":")).encode() + b"\n"


def line(**changes: Any) -> bytes:
    return json.dumps({k: v for k, v in {**PAYMENT, **changes}.items() if v is not ...}).encode()


def refused(text: bytes) -> InvalidEventError:
    with pytest.raises(InvalidEventError) as caught:
        from_line(text)
    return caught.value


def outcome(text: bytes) -> ev.Event | InvalidEventError:
    try:
        return from_line(text)
    except InvalidEventError as error:
        return error


@settings(max_examples=300, derandomize=True, deadline=None)
@given(event=any_event())
def test_an_event_is_the_same_after_its_line(event: ev.Event) -> None:
    text = to_line(event)
    assert text.count(b"\n") == 1
    assert from_line(text) == event
    assert to_line(from_line(text)) == text


def test_a_line_has_the_type_then_the_fields_in_order() -> None:
    assert to_line(from_line(LINE)) == LINE
    assert list(json.loads(LINE)) == ["type", *(f["name"] for f in contracts.contracts()["PaymentReceived"]["fields"])]


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    text=st.one_of(
        st.binary(max_size=80),
        st.recursive(
            st.one_of(st.none(), st.integers(), st.floats(), st.text()), lambda inner: st.dictionaries(st.text(), inner)
        ).map(lambda value: json.dumps(value).encode()),
        st.tuples(st.integers(0, len(LINE)), st.binary(max_size=4)).map(lambda c: LINE[: c[0]] + c[1] + LINE[c[0] :]),
    )
)
def test_any_line_is_a_valid_event_or_bad_input(text: bytes) -> None:
    result = outcome(text)
    if isinstance(result, InvalidEventError):
        assert result.message.endswith((".", "?"))
    else:
        check(result)


@pytest.mark.parametrize(
    ("text", "code", "field", "says"),
    [
        (line(amount=0), "out_of_range", "amount", "PaymentReceived.amount: expected int >= 1"),
        (line(amount="1"), "wrong_type", "amount", "expected int, got str"),
        (line(amount=1.5), "wrong_type", "amount", "expected int, got float"),
        (line(amount="12.50"), "wrong_type", "amount", "an integer number of minor units: 12.50"),
        (
            line(type="BadDebtReviewed", review_id="r", decision="sell", reviewer="x", ground="g"),
            "unknown_value",
            "decision",
            "Send one of charge_off, recognise, reject, terminate.",
        ),
        (line(currency="cny"), "out_of_range", "currency", "three capital letters (ISO 4217)"),
        (line(account_id="a b"), "out_of_range", "account_id", "1 to 64 visible characters"),
        (line(account_id="a\n"), "out_of_range", "account_id", "1 to 64 visible characters"),
        (line(value_on="2026-02-30"), "out_of_range", "value_on", "a date as YYYY-MM-DD"),
        (line(occurred_at="2026-03-01T08:30:00"), "out_of_range", "occurred_at", "with its time zone"),
        (line(occurred_at="0001-01-01T00:00:00+10:00"), "out_of_range", "occurred_at", "years 1 to 9999"),
        (line(channel=...), "missing_field", "channel", "has no channel"),
        (line(channel=..., chanel="bank"), "missing_field", "channel", "It has 'chanel': is that it?"),
        (line(type="PaymentRecieved"), "unknown_schema", "type", "Did you mean PaymentReceived"),
        (line(type="Nonsense"), "unknown_schema", "type", "topics"),
        (line(type=3), "unknown_schema", "type", "3"),
        (line(type=...), "missing_field", "type", "has no type"),
        (b"[1]", "wrong_type", None, "a line of its own"),
        (b"7", "wrong_type", None, "no JSON object"),
        (LINE[:30], "invalid_json", None, "it ends too early, at column 31"),
        (LINE.replace(b'"amount"', b"amount"), "invalid_json", None, f"at column {LINE.index(b'amount')}."),
        (LINE.replace(b"core", b"c\xffre"), "invalid_json", None, "not UTF-8"),
        (b"[" * 100_000, "invalid_json", None, "nested too deeply"),
    ],
)
def test_a_line_that_is_wrong_is_refused_with_field_and_remedy(
    text: bytes, code: str, field: str | None, says: str
) -> None:
    error = refused(text)
    assert (error.code, error.field) == (code, field)
    assert says in error.message


def test_an_instant_is_brought_to_utc_in_milliseconds() -> None:
    event = from_line(line(occurred_at="2026-03-01T16:30:00.123987+08:00"))
    assert event.occurred_at == datetime(2026, 3, 1, 8, 30, 0, 123_000, tzinfo=UTC)
    assert b'"2026-03-01T08:30:00.123000Z"' in to_line(event)


def test_a_field_that_no_contract_has_is_left_aside_and_told(tmp_path: Path) -> None:
    opening = {
        **{k: PAYMENT[k] for k in ("event_id", "occurred_at", "source", "account_id", "currency")},
        "type": "AccountOpened", "borrower_id": "b", "product": "loan", "jurisdiction": "US", "opened_on": "2026-03-01",
        "annual_rate_bps": 1, "principal": 1, "Jurisdiction": "CN",
        "instalments": [{"number": 1, "due_on": "2026-04-01", "principal": 1, "interest": 0, "fees": 0, "duty": 7}],
    }  # fmt: skip
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join([LINE, line(memo="x", valueon="2026-03-02"), json.dumps(opening).encode()]))
    told: list[tuple[int, list[str]]] = []
    events = list(read_events(file, strange=lambda at, event, fields: told.append((at, fields))))
    assert events[:2] == [from_line(LINE)] * 2
    assert told == [(3, ["memo", "valueon"]), (4, ["Jurisdiction", "instalments[0].duty"])]
    assert without_place(ev.PaymentReceived, "valueon").endswith("no field 'valueon'. Did you mean value_on?")
    assert without_place(ev.AccountOpened, "instalments[0].duty").startswith("Instalment has no field 'duty'. It has ")


@pytest.mark.parametrize(
    ("extra", "taken"),
    [
        (b'"memo":' + b"[" * 500 + b"]" * 500, True),
        (b'"memo":1e999', True),
        (b'"memo":[1e999]', True),
        (b'"memo":123456789012345678901234567890', True),
        (b'"memo":' + b"[" * 100_000 + b"]" * 100_000, False),
        (b'"\xff":1', False),
        (b'"memo":NaN', False),
    ],
)
def test_unknown_fields_stop_no_run_whatever_they_hold(extra: bytes, taken: bool, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(LINE.rstrip()[:-1] + b"," + extra + b"}\n" + LINE)
    told: list[list[str]] = []
    first, second = read_events(file, strange=lambda at, event, fields: told.append(fields))
    assert second == from_line(LINE)
    assert (first == second) == taken
    assert told == [["memo"]] * taken
    assert taken or (isinstance(first, Rejected) and first.code == "invalid_json")


def test_no_event_of_ours_has_a_field_that_its_contract_has_not() -> None:
    for text in EXAMPLES.read_bytes().splitlines():
        value = json.loads(text)
        assert unknown_fields(value, ev.EVENT_TYPES[value["type"]]) == []


@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_line_is_named_and_the_rest_goes_on(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "events.jsonl"
    text = b"\xef\xbb\xbf" + LINE + b"\n   \r\n" + line(amount=0) + b"\r\n" + LINE + b"{" + b"\n" + LINE.rstrip()
    path.write_bytes(gzip.compress(text) if packed else text)
    found = list(read_events(path))
    event = from_line(LINE)
    assert [item for item in found if isinstance(item, ev.Event)] == [event] * 3
    bad = [item for item in found if isinstance(item, Rejected)]
    assert [(item.file, item.line, item.code, item.field, item.raw) for item in bad] == [
        (str(path), 4, "out_of_range", "amount", line(amount=0)),
        (str(path), 6, "invalid_json", None, b"{"),
    ]
    assert str(bad[0]).startswith(f"{path}:4: PaymentReceived.amount")


def test_events_are_read_from_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINE * 2)))
    assert list(read_events("-")) == [from_line(LINE)] * 2


def test_an_empty_file_is_fine_and_a_missing_one_is_misuse(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    assert list(read_events(tmp_path / "empty.jsonl")) == []
    for path in (tmp_path / "nowhere.jsonl", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            list(read_events(path))


def test_a_line_without_an_end_is_refused_and_the_next_one_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b" " * (MAX_LINE + 10) + b"\n" + LINE)
    found = list(read_events(path))
    assert isinstance(found[0], Rejected)
    assert (found[0].line, found[0].code) == (1, "too_long")
    assert found[1:] == [from_line(LINE)]


def test_a_truncated_gzip_file_says_so_after_what_it_held(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    lines = b"".join(line(event_id=f"e-{n}") + b"\n" for n in range(2_000))
    path.write_bytes(gzip.compress(lines)[:-2_000])
    *events, last = read_events(path)
    assert events
    assert all(isinstance(event, ev.Event) for event in events)
    assert isinstance(last, Rejected)
    assert (last.code, last.line) == ("unreadable", len(events) + 1)


def container(schema: Any, values: list[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, fastavro.parse_schema(copy.deepcopy(schema)), values, **options)
    return stream.getvalue()


@settings(max_examples=30, derandomize=True, deadline=None)
@given(data=st.data())
def test_a_container_file_of_any_record_is_read(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    kind = data.draw(st.sampled_from(sorted(ev.EVENT_TYPES)))
    events = data.draw(st.lists(events_of(ev.EVENT_TYPES[kind]), max_size=5))
    path = tmp_path_factory.getbasetemp() / "any.avro"
    codec = data.draw(st.sampled_from(["null", "deflate", "bzip2", "xz"]))
    path.write_bytes(container(contracts.schema_of(kind), [avro_value(e) for e in events], codec=codec))
    assert list(read_events(path)) == events


def union(*names: str) -> list[Any]:
    seen: set[str] = set()
    out = []
    for name in names:
        schema = contracts.schema_of(name)
        out.append(_without(schema, seen))
    return out


def _without(schema: Any, seen: set[str]) -> Any:
    """Return a schema in which types that were defined before are referred to, as a union must."""
    if isinstance(schema, list):
        return [_without(part, seen) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "name" in schema and schema.get("type") in ("record", "enum"):
        full = f"reprieve.{schema['name']}"
        if full in seen:
            return full
        seen.add(full)
    return {key: _without(value, seen) for key, value in schema.items()}


def test_a_container_may_hold_a_union_with_unknown_records(tmp_path: Path) -> None:
    foreign = {"type": "record", "name": "Weather", "fields": [{"name": "rain", "type": ["null", "double"]}]}
    payment = from_line(LINE)
    bad = {**avro_value(payment), "amount": 0}
    values = [
        ("reprieve.PaymentReceived", avro_value(payment)),
        ("Weather", {"rain": 1.0}),
        ("reprieve.PaymentReceived", bad),
        ("reprieve.PaymentReceived", {**bad, "amount": 1, "value_on": 2**31 - 1}),
        ("reprieve.PaymentReceived", avro_value(payment)),
    ]
    path = tmp_path / "events.bin"
    path.write_bytes(
        gzip.compress(container([*union("PaymentReceived", "BadDebtChanged", "PlanActivated"), foreign], values))
    )
    found = list(read_events(path))
    assert [item for item in found if isinstance(item, ev.Event)] == [payment, payment]
    assert [(item.line, item.code, item.field) for item in found if isinstance(item, Rejected)] == [
        (2, "unknown_schema", "type"),
        (3, "out_of_range", "amount"),
        (4, "out_of_range", "value_on"),
    ]


@settings(max_examples=150, derandomize=True, deadline=None)
@given(data=st.data())
def test_a_damaged_container_file_never_breaks_the_reader(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    value = avro_value(from_line(LINE))
    whole = container(contracts.schema_of("PaymentReceived"), [value] * 5, codec="null", sync_interval=200)
    at = data.draw(st.integers(4, len(whole) - 1))
    more = data.draw(
        st.one_of(st.binary(max_size=10), st.just(b"\xff" * 9 + b"\x01"), st.just(b"\xfe\xff\xff\xff\x0f"))
    )
    path = tmp_path_factory.getbasetemp() / "damaged.avro"
    path.write_bytes(data.draw(st.sampled_from([whole[:at] + more, whole[:at] + more + whole[at + len(more) :]])))
    for item in read_events(path):
        if isinstance(item, ev.Event):
            check(item)
        else:
            assert item.message.endswith((".", "?"))


def test_a_container_of_something_else_is_refused_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "other.avro"
    path.write_bytes(container({"type": "record", "name": "PaymentRecieved", "fields": []}, [{}] * 3))
    (only,) = read_events(path)
    assert isinstance(only, Rejected)
    assert only.code == "unknown_schema"
    assert "PaymentReceived" in only.message
