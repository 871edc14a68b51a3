"""Events made by hypothesis from the contracts: every type, every range to its ends."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st

from schemas import events as ev
from schemas.contracts import contracts

TEXT = st.characters(exclude_categories=["Cs"])
VISIBLE = st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"])
RANGES: dict[str, tuple[int, int]] = {
    "positive": (1, 2**63 - 1),
    "non_negative": (0, 2**63 - 1),
    "rate": (0, 1_000_000),
    "stage": (1, 3),
    "household": (1, 50),
    "rating": (1, 5),
}
STRINGS: dict[str | None, st.SearchStrategy[str]] = {
    "id": st.one_of(st.uuids().map(str), st.text(VISIBLE, min_size=1, max_size=64)),
    "name": st.one_of(st.sampled_from(["core", "hotline"]), st.text(TEXT, min_size=1, max_size=200)),
    "currency": st.one_of(st.just("CNY"), st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=3, max_size=3)),
    None: st.text(TEXT, max_size=80),
}
DATES = st.one_of(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.dates())
# Whole milliseconds, as the contracts have them.
INSTANTS = st.one_of(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.datetimes(timezones=st.just(UTC)),
).map(lambda at: at.replace(microsecond=at.microsecond // 1_000 * 1_000))


def events_of(event: type[ev.Event]) -> st.SearchStrategy[Any]:
    """Return a strategy of events of one type, all of which keep its contract."""
    return _structs(event)


def any_event() -> st.SearchStrategy[ev.Event]:
    """Return a strategy of events of every type."""
    return st.one_of([events_of(event) for event in ev.EVENT_TYPES.values()])


@cache
def _structs(struct: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    attributes = {f.encode_name: f.name for f in msgspec.structs.fields(struct)}
    fields = contracts()[struct.__name__]["fields"]
    return st.builds(struct, **{attributes[f["name"]]: _values(f["type"], f.get("range")) for f in fields})


def _values(schema: Any, named_range: str | None) -> st.SearchStrategy[Any]:
    if isinstance(schema, list):
        return st.one_of([_values(branch, named_range) for branch in schema])
    if isinstance(schema, str):
        return _simple(schema, named_range)
    match schema.get("logicalType"), schema["type"]:
        case "date", _:
            return DATES
        case "timestamp-millis", _:
            return INSTANTS
        case _, "array":
            return st.lists(_values(schema["items"], None), max_size=3).map(tuple)
        case _, "map":
            return st.dictionaries(STRINGS[None], _values(schema["values"], named_range), max_size=3)
    raise AssertionError(f"no strategy for {schema}")


def _simple(kind: str, named_range: str | None) -> st.SearchStrategy[Any]:
    match kind:
        case "null":
            return st.none()
        case "string":
            return STRINGS[named_range]
        case "boolean":
            return st.booleans()
        case "bytes":
            return st.binary(max_size=80)
        case "double":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "int" | "long":
            bits = 31 if kind == "int" else 63
            low, high = RANGES.get(named_range or "", (-(2**bits), 2**63 - 1))
            high = min(high, 2**bits - 1)
            return st.one_of(st.integers(low, min(high, 100_000)), st.integers(low, high))
    contract = contracts()[kind.removeprefix("reprieve.")]
    if contract["type"] == "enum":
        return st.sampled_from(contract["symbols"])
    return _structs(getattr(ev, contract["name"]))


def avro_value(value: Any) -> Any:
    """Return an event, or a part of one, as the plain values that fastavro writes."""
    if isinstance(value, msgspec.Struct):
        return {f.encode_name: avro_value(getattr(value, f.name)) for f in msgspec.structs.fields(value)}
    if isinstance(value, tuple):
        return [avro_value(item) for item in value]
    if isinstance(value, dict):
        return {key: avro_value(item) for key, item in value.items()}
    return value


def raw_value(value: Any) -> Any:
    """Return the same with days and milliseconds since 1970, for a library that knows no logical types."""
    if isinstance(value, datetime):
        since = value - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000
    if isinstance(value, date):
        return value.toordinal() - date(1970, 1, 1).toordinal()
    if isinstance(value, msgspec.Struct):
        return raw_value(avro_value(value))
    if isinstance(value, dict):
        return {key: raw_value(item) for key, item in value.items()}
    return [raw_value(item) for item in value] if isinstance(value, list) else value
