"""Contracts may only change so that old and new releases read each other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas import compatibility, contracts, events, generate
from schemas.compatibility import check, check_releases, release
from schemas.errors import UsageError

NULL_TEXT = ["null", "string"]


def field(contract: dict[str, Any], name: str) -> dict[str, Any]:
    return next(f for f in contract["fields"] if f["name"] == name)


def without(contract: dict[str, Any], name: str) -> None:
    contract["fields"] = [f for f in contract["fields"] if f["name"] != name]


def add(contract: dict[str, Any], **more: Any) -> None:
    contract["fields"].append({"name": "memo", **more})


def rename(contract: dict[str, Any]) -> None:
    field(contract, "reason")["name"] = "why"


CHANGES: list[tuple[str, Callable[[dict[str, Any]], object], str, str]] = [
    ("PaymentFailed", lambda c: add(c, type="string"), "memo", "has no default"),
    ("PaymentFailed", lambda c: without(c, "reason"), "reason", "gone (or renamed)"),
    ("PaymentFailed", rename, "reason", "gone (or renamed)"),
    ("PaymentFailed", lambda c: field(c, "amount").update(type="int"), "amount", "an old release wrote cannot be read"),
    ("PaymentFailed", lambda c: field(c, "amount").update(type="double"), "amount", "an old release cannot read"),
    ("PaymentFailed", lambda c: field(c, "reason").update(type=NULL_TEXT), "reason", "may now be null"),
    ("PaymentFailed", lambda c: field(c, "amount").pop("range"), "amount", "its range was positive and is none"),
    ("PaymentFailed", lambda c: field(c, "occurred_at").update(type="long"), "occurred_at", "its meaning was"),
    ("AccountClosed", lambda c: field(c, "closed_on")["type"].pop(0), "closed_on", "no longer be null"),
    ("AccountClosed", lambda c: field(c, "closed_on").pop("default"), "closed_on", "its default is gone"),
    ("AccountOpened", lambda c: field(c, "instalments")["type"].update(items="string"), "instalments[]", "type was"),
    ("AccountOpened", lambda c: c.update(namespace="elsewhere"), "", "it was record reprieve.AccountOpened"),
    ("Bucket", lambda c: c["symbols"].append("dpd_over_180"), "", "are new"),
    ("Bucket", lambda c: c["symbols"].remove("grace"), "", "are gone"),
    ("ContactChannel", lambda c: c.update(default="call"), "", "its default was other"),
    ("ProfileReported", lambda c: field(c, "spending")["type"].update(values="int"), "spending[]", "type was long"),
]


@pytest.mark.parametrize(("record", "change", "place", "says"), CHANGES)
def test_a_breaking_change_names_record_field_and_remedy(
    record: str, change: Callable[[dict[str, Any]], object], place: str, says: str
) -> None:
    new = copy.deepcopy(contracts.contracts())
    change(new[record])
    problems = check(contracts.contracts(), new)
    assert {(p.record, p.field) for p in problems} == {(record, place)} or place == "reason"
    (problem,) = [p for p in problems if p.field == place]
    assert says in problem.reason
    assert problem.remedy.endswith(".")
    assert str(problem).startswith(f"{record}.{place}: " if place else f"{record}: ")


ALLOWED: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("PaymentFailed", lambda c: add(c, type=NULL_TEXT, default=None)),
    ("AccountClosed", lambda c: without(c, "closed_on")),
    ("PaymentFailed", lambda c: c["fields"].reverse()),
    ("PaymentFailed", lambda c: c.update(doc="Said otherwise.")),
    ("ContactChannel", lambda c: c["symbols"].append("messenger")),
    ("ContactChannel", lambda c: c["symbols"].remove("letter")),
]


@pytest.mark.parametrize(("record", "change"), ALLOWED)
def test_a_change_that_both_sides_can_read_is_allowed(record: str, change: Callable[[dict[str, Any]], object]) -> None:
    new = copy.deepcopy(contracts.contracts())
    change(new[record])
    assert check(contracts.contracts(), new) == []


def test_a_removed_contract_is_a_problem_and_a_new_one_is_none() -> None:
    fewer = {name: c for name, c in contracts.contracts().items() if name != "DayClosed"}
    (problem,) = check(contracts.contracts(), fewer)
    assert problem.record == "DayClosed"
    assert check(fewer, contracts.contracts()) == []


def test_the_contracts_are_compatible_with_every_release() -> None:
    assert contracts.releases()
    assert check_releases() == []


def test_a_release_keeps_the_contracts_and_comes_after_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contracts, "RELEASED", tmp_path)
    release("0.9.0")
    release("0.10.0")
    assert [folder.name for folder in contracts.releases()] == ["0.9.0", "0.10.0"]
    assert contracts.load(tmp_path / "0.10.0") == contracts.contracts()
    for version in ("0.10.0", "0.9.1", "next"):
        with pytest.raises(UsageError):
            release(version)
    damaged = tmp_path / "0.10.0" / "DayClosed.avsc"
    damaged.rename(tmp_path / "0.10.0" / "DayEnded.avsc")
    with pytest.raises(UsageError, match="not compatible"):
        release("0.11.0")
    assert compatibility.main(["0.11.0"]) == 1


def test_the_typed_events_are_those_of_the_contracts() -> None:
    assert generate.TARGET.read_text("utf-8") == generate.render()


def test_the_default_of_a_field_is_a_value_of_its_type() -> None:
    records = [name for name, contract in contracts.contracts().items() if contract["type"] == "record"]
    for name in records:
        for f in msgspec.structs.fields(getattr(events, name)):
            if f.default is not msgspec.NODEFAULT or f.default_factory is not msgspec.NODEFAULT:
                value = f.default if f.default_factory is msgspec.NODEFAULT else f.default_factory()
                assert msgspec.convert(value, f.type) == value, f"{name}.{f.name}"
