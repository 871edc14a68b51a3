"""Make `schemas/events.py` from `schemas/avsc/*.avsc`.

The contracts are the source; the classes follow. `python -m schemas.generate` writes
the file, and a test fails where it is not current.
"""

from __future__ import annotations

import json
import keyword
from pathlib import Path
from typing import Any

from schemas.contracts import AVSC, load

TARGET = Path(__file__).with_name("events.py")
WIDTH = 120

# Named ranges a contract's field may carry in its `range` attribute, as msgspec constraints.
RANGES = {
    "id": "Id",
    "name": "Name",
    "currency": "Currency",
    "positive": "Positive",
    "non_negative": "NonNegative",
    "rate": "RateBps",
    "stage": "Stage",
    "household": "HouseholdSize",
    "rating": "Rating",
}

# The same ranges within the 32 bits of an Avro int.
INT_RANGES = {"positive": "PositiveInt", "non_negative": "NonNegativeInt"}

HEADER = '''"""Typed events and their parts. Made by `python -m schemas.generate` from `schemas/avsc`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

MAX_LONG = 2**63 - 1

Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\\s\\x00-\\x1f\\x7f]+(?!\\s)$")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Currency = Annotated[str, Meta(min_length=3, max_length=3, pattern=r"^[A-Z]{3}$")]
Long = Annotated[int, Meta(ge=-MAX_LONG - 1, le=MAX_LONG)]
Int = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Positive = Annotated[int, Meta(ge=1, le=MAX_LONG)]
NonNegative = Annotated[int, Meta(ge=0, le=MAX_LONG)]
PositiveInt = Annotated[int, Meta(ge=1, le=2**31 - 1)]
NonNegativeInt = Annotated[int, Meta(ge=0, le=2**31 - 1)]
RateBps = Annotated[int, Meta(ge=0, le=1_000_000)]
Stage = Annotated[int, Meta(ge=1, le=3)]
HouseholdSize = Annotated[int, Meta(ge=1, le=50)]
Rating = Annotated[int, Meta(ge=1, le=5)]
Instant = Annotated[datetime, Meta(tz=True)]


class Event(Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
    """What happened. `occurred_at` is UTC; money is integer minor units; rates are basis points."""

    event_id: Id
    occurred_at: Instant
    source: Name
'''

PRIMITIVES = {
    "string": "str",
    "int": "Int",
    "long": "Long",
    "boolean": "bool",
    "bytes": "bytes",
    "double": "float",
}


def references(schema: Any) -> list[str]:
    """Return the names of the contracts that a schema refers to, in order, with repeats."""
    if isinstance(schema, str):
        return [schema.removeprefix("reprieve.")] if schema.startswith("reprieve.") else []
    if isinstance(schema, list):
        return [name for branch in schema for name in references(branch)]
    parts = [schema.get("items"), schema.get("values")]
    parts += [f["type"] for f in schema.get("fields", [])]
    return [name for part in parts if part is not None for name in references(part)]


def in_order(contracts: dict[str, dict[str, Any]]) -> list[str]:
    """Return the contract names so that each comes after those it refers to."""
    done: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        for other in references(contracts[name]):
            visit(other)
        done.append(name)

    for name in contracts:
        visit(name)
    return done


def annotation(schema: Any, named_range: str | None) -> str:
    """Return the Python annotation of an Avro type."""
    if isinstance(schema, list):
        rest = [branch for branch in schema if branch != "null"]
        return f"{annotation(rest[0], named_range)} | None"
    if isinstance(schema, str):
        if schema.startswith("reprieve."):
            return schema.removeprefix("reprieve.")
        if named_range is None:
            return PRIMITIVES[schema]
        return INT_RANGES.get(named_range, RANGES[named_range]) if schema == "int" else RANGES[named_range]
    if schema.get("logicalType") == "date":
        return "date"
    if schema.get("logicalType") == "timestamp-millis":
        return "Instant"
    if schema["type"] == "array":
        return f"tuple[{annotation(schema['items'], None)}, ...]"
    if schema["type"] == "map":
        return f"dict[str, {annotation(schema['values'], named_range)}]"
    raise ValueError(f"no Python annotation for the Avro type {schema!r}")


def default_of(field_: dict[str, Any]) -> str | None:
    """Return the Python default of a field as source text, or None where it has none."""
    if "default" not in field_:
        return None
    value = field_["default"]
    if value == [] and isinstance(value, list):
        return "()"
    if isinstance(value, dict):
        if value:
            raise ValueError(f"the default of {field_['name']} must be empty: {value!r}")
        is_map = isinstance(field_["type"], dict)
        return "field(default_factory=dict)" if is_map else f"{annotation(field_['type'], None)}()"
    return repr(value) if not isinstance(value, str) else json.dumps(value)


def is_event(contract: dict[str, Any]) -> bool:
    """Say whether a contract is an event (has an `event_id`) rather than a part of one."""
    return any(f["name"] == "event_id" for f in contract["fields"])


def render_record(name: str, contract: dict[str, Any]) -> str:
    """Return the source of one record's class."""
    event = is_event(contract)
    fields = [f for f in contract["fields"] if f["name"] not in ("event_id", "occurred_at", "source") or not event]
    base = (
        "Event, frozen=True, kw_only=True, gc=False, tag=True"
        if event
        else "Struct, frozen=True, kw_only=True, gc=False"
    )
    docs = [f"    {f['name']}: {f['doc']}" for f in fields if "doc" in f]
    doc = contract["doc"] if not docs else contract["doc"] + "\n\n" + "\n".join(docs) + "\n    "
    lines = [f"class {name}({base}):", f'    """{doc}"""', ""]
    for f in fields:
        hint = annotation(f["type"], f.get("range"))
        default = default_of(f)
        if keyword.iskeyword(f["name"]):
            inner = f'name="{f["name"]}"' + (f", default={default}" if default else "")
            lines.append(f"    {f['name']}_: {hint} = field({inner})")
        else:
            lines.append(f"    {f['name']}: {hint}" + (f" = {default}" if default else ""))
    return "\n".join(lines)


def render_aliases(contracts: dict[str, dict[str, Any]]) -> str:
    """Return the source of two tables: present names by former ones, of records, and of the fields of each record."""
    records = {old: name for name, contract in contracts.items() for old in contract.get("aliases", [])}
    fields = {
        name: former
        for name, contract in contracts.items()
        if (former := {old: f["name"] for f in contract.get("fields", []) for old in f.get("aliases", [])})
    }
    lines = ["# Former names, by which bytes of earlier releases are read.", "RECORD_ALIASES: dict[str, str] = {"]
    lines += [f'    "{old}": "{new}",' for old, new in records.items()]
    lines += ["}", "FIELD_ALIASES: dict[str, dict[str, str]] = {"]
    lines += [f'    "{name}": {json.dumps(former)},' for name, former in fields.items()]
    return "\n".join([*lines, "}"])


def render_enum(name: str, symbols: list[str]) -> str:
    """Return the source of one enum, laid out as `ruff format` would."""
    quoted = [json.dumps(symbol) for symbol in symbols]
    line = f"{name} = Literal[{', '.join(quoted)}]"
    if len(line) <= WIDTH:
        return line
    inner = "    " + ", ".join(quoted)
    if len(inner) > WIDTH:
        inner = "".join(f"    {symbol},\n" for symbol in quoted).rstrip("\n")
    return f"{name} = Literal[\n{inner}\n]"


def render() -> str:
    """Return the whole source of `schemas/events.py`."""
    contracts = load(AVSC)
    enums, records, events = [], [], []
    for name in in_order(contracts):
        contract = contracts[name]
        if contract["type"] == "enum":
            enums.append(render_enum(name, contract["symbols"]))
        else:
            records.append(render_record(name, contract))
            if is_event(contract):
                events.append(name)
    union = "AnyEvent = (\n    " + "\n    | ".join(events) + "\n)"
    table = "EVENT_TYPES: dict[str, type[Event]] = {\n" + "".join(f'    "{n}": {n},\n' for n in events) + "}"
    body = ["\n".join(enums), "", "", "\n\n\n".join(records), "", "", union, "", table, render_aliases(contracts), ""]
    return "\n".join([HEADER, "", *body])


if __name__ == "__main__":
    TARGET.write_text(render(), "utf-8")
