"""The reader in Python and the compiled one are the same for all bytes: events, errors, and where they end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import binary_encoding, contracts
from schemas import events as ev
from schemas.binary_encoding import REFUSALS
from schemas.codec import Codec
from schemas.errors import InvalidEventError
from schemas.read_plan import UnsupportedSchemaError, plan_of
from schemas.resolution import Plain, SchemaReader, fitted, known_schemas, record_name
from tests.support.compiled_readers import load
from tests.support.strategies import any_event

Make = Callable[[Any], Any]
CODEC = Codec()
# Of a value in single-object framing, where Avro begins.
BODY = 10


@pytest.fixture(scope="session")
def compiled(compiled_readers: Path) -> Make:
    """Return what makes compiled readers."""
    make: Make = load(compiled_readers, "schemas.avro_reader").reader_of
    return make


def twins(compiled: Make, schema: Any) -> list[SchemaReader]:
    """Return the readings of a writer's schema by either reader."""
    writer, names = contracts.parsed(schema)
    name = record_name(writer)
    assert name is not None
    event = ev.EVENT_TYPES[name]
    writer = fitted(writer, names, *contracts.parsed(contracts.schema_of(name)))
    plan = plan_of(writer, names, event)
    return [SchemaReader(event, Plain(writer, names), make(plan)) for make in (binary_encoding.reader_of, compiled)]


def found(reading: SchemaReader, data: bytes) -> object:
    """Return what a reading makes of bytes: an event, or the reason why there is none."""
    try:
        return reading.read_rest(data, BODY)
    except InvalidEventError as error:
        return error.code, error.field, error.message


def fast(reading: SchemaReader, data: bytes) -> object:
    """Return what the quick reader alone makes of bytes: an event and its end, None where it refuses them."""
    try:
        event, end = reading.fast(data, BODY)
    except REFUSALS:
        return None
    return (event, end) if end <= len(data) else None


_TWINS: dict[str, list[SchemaReader]] = {}


def twins_of(compiled: Make, event: ev.Event) -> list[SchemaReader]:
    """Return the readings of an event's own schema."""
    name = type(event).__name__
    if name not in _TWINS:
        _TWINS[name] = twins(compiled, contracts.schema_of(name))
    return _TWINS[name]


@settings(max_examples=300, derandomize=True, deadline=None)
@given(event=any_event(), behind=st.binary(max_size=3))
def test_both_readers_read_what_is_written(compiled: Make, event: ev.Event, behind: bytes) -> None:
    data = CODEC.encode(event)
    python, built = twins_of(compiled, event)
    assert found(built, data) == found(python, data) == event
    assert found(built, data + behind) == found(python, data + behind)


@settings(max_examples=1_000, derandomize=True, deadline=None)
@given(event=any_event(), data=st.data())
def test_both_readers_make_the_same_of_hostile_bytes(compiled: Make, event: ev.Event, data: st.DataObject) -> None:
    hostile = bytearray(CODEC.encode(event))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(BODY, max(BODY, len(hostile) - 1)))
        match data.draw(st.sampled_from(["set", "cut", "end", "insert"])):
            case "set":
                hostile[at : at + 1] = bytes(
                    [data.draw(st.sampled_from([0, 1, 2, 3, 32, 65, 127, 128, 129, 254, 255]))]
                )
            case "cut":
                del hostile[at : at + data.draw(st.integers(1, 20))]
            case "end":
                del hostile[at:]
            case _:
                hostile[at:at] = data.draw(st.sampled_from([b"\xff" * 9 + b"\x01", b"\xff" * 10, b"\x80\x00"]))
    python, built = twins_of(compiled, event)
    assert found(built, bytes(hostile)) == found(python, bytes(hostile))


@settings(max_examples=1_000, derandomize=True, deadline=None)
@given(name=st.sampled_from(sorted(ev.EVENT_TYPES)), data=st.binary(max_size=300))
def test_both_readers_make_the_same_of_any_bytes(compiled: Make, name: str, data: bytes) -> None:
    python, built = _TWINS.get(name) or _TWINS.setdefault(name, twins(compiled, contracts.schema_of(name)))
    assert found(built, b"\0" * BODY + data) == found(python, b"\0" * BODY + data)


def test_both_readers_read_every_schema_of_every_release(compiled: Make) -> None:
    quick = sum(twins(compiled, schema)[1].fast is not None for schema in known_schemas().values())
    assert quick == len(known_schemas())


NUMBERS = [0, 1, 63, 64, 8_191, 8_192, 2**31 - 1, 2**31, 2**62, 2**63 - 1]


@pytest.mark.parametrize("number", [*NUMBERS, *(-n - 1 for n in NUMBERS)])
def test_both_readers_read_numbers_to_their_ends(compiled: Make, number: int) -> None:
    schema = contracts.schema_of("PaymentReceived")
    fields = {field["name"]: field for field in schema["fields"]}
    for name in ("amount", "value_on", "occurred_at"):
        alone = {**schema, "fields": [fields[name]]}
        writer, names = contracts.parsed(alone)
        kind = _one_field(name)
        plan = plan_of(writer, names, kind)
        # The reader in Python reads instants of six bytes at once, and leaves what ends earlier to the plain one.
        data = b"\0" * BODY + binary_encoding.bytes_of_long(number) + b"\0" * 6
        results = [
            fast(SchemaReader(kind, Plain(writer, names), make(plan)), data)
            for make in (binary_encoding.reader_of, compiled)
        ]
        assert results[0] == results[1]


def _one_field(name: str) -> type[ev.Event]:
    (field,) = (f for f in msgspec.structs.fields(ev.PaymentReceived) if f.name == name)
    made: Any = msgspec.defstruct(f"Only_{name}", [(name, field.type)], kw_only=True)
    return made  # type: ignore[no-any-return]


def _of_records(levels: int, width: int) -> Any:
    """Return a payment's schema with a field that nobody knows: records of records, so wide on each level."""
    inner: Any = {"type": "record", "name": "r0", "fields": [{"name": "x", "type": "int"}]}
    for level in range(1, levels + 1):
        fields = [{"name": "f0", "type": inner}]
        fields += [{"name": f"f{n}", "type": f"r{level - 1}"} for n in range(1, width)]
        inner = {"type": "record", "name": f"r{level}", "fields": fields}
    schema = contracts.schema_of("PaymentReceived")
    return {**schema, "fields": [{"name": "more", "type": inner}, *schema["fields"]]}


def test_a_schema_that_doubles_on_each_level_is_read(compiled: Make) -> None:
    assert len(twins(compiled, _of_records(30, 2))) == 2


@pytest.mark.parametrize("levels", [70, 100])
def test_records_that_are_nested_deeply_have_no_quick_reader(levels: int) -> None:
    writer, names = contracts.parsed(_of_records(levels, 1))
    with pytest.raises(UnsupportedSchemaError):
        plan_of(writer, names, ev.PaymentReceived)


def test_a_record_that_holds_itself_has_no_quick_reader() -> None:
    schema = contracts.schema_of("PaymentReceived")
    itself = {"type": "record", "name": "r", "fields": [{"name": "next", "type": ["null", "r"]}]}
    writer, names = contracts.parsed({**schema, "fields": [{"name": "more", "type": itself}, *schema["fields"]]})
    with pytest.raises(UnsupportedSchemaError):
        plan_of(writer, names, ev.PaymentReceived)
