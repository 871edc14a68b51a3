"""What earlier releases wrote under other names is read as what it is called now."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest

from schemas import contracts
from schemas import events as ev
from schemas.codec import CONFLUENT, SINGLE_OBJECT, Codec
from schemas.compatibility import check
from schemas.errors import InvalidEventError
from schemas.jsonlines import from_line, read_events, to_line
from state.account import AccountState
from state.storage import pack, unpack
from streams.engine.stored_facts import read_fact
from tests.support.file_registry import FileRegistry

AT = datetime(2026, 3, 1, 17, tzinfo=UTC)
COMMON = {"event_id": "e-1", "occurred_at": AT, "source": "reprieve"}
# As the releases named wrote them, beside how they are read.
CORRECTED = {
    **COMMON,
    "account_id": "a-1",
    "business_date": date(2026, 3, 1),
    "caused_by": "c-1",
    "supersedes": "s-1",
    "superseded_type": "DelinquencyChanged",
    "reason": "A payment came in late.",
}
CONTACT_NOTED = {
    **COMMON,
    "borrower_id": "b-1",
    "account_id": "a-1",
    "attempt_id": "t-1",
    "caused_by": "c-1",
    "attempt": True,
    "conversation": False,
}
EVIDENCE = {
    **COMMON,
    "model": "lead",
    "offer_id": "o-1",
    "business_date": date(2026, 3, 1),
    "caused_by": "c-1",
    "rows": [],
    "cells": [],
    "counts": {"fixed.offers": 1},
}
OFFER = {
    **COMMON,
    "offer_id": "o-1",
    "borrower_id": "b-1",
    "account_ids": ["a-1"],
    "balances": [],
    "options": [],
    "lead_option_id": "12m-level-cut_0",
    "expires_on": date(2026, 3, 8),
    "currency": "CNY",
    "kind": "plan",
    "sequence": 1,
    "tone": "neutral",
    "locale": "en",
    "message": "You can choose.",
    "reasons": [],
    "support": [],
    "education": [],
    "disclosures": {},
    "contact": {"not_before": AT, "not_after": AT, "channels": [], "time_zone": "UTC", "held_back": ""},
    "business_date": date(2026, 3, 1),
    "caused_by": "c-1",
}
DECISION = {
    **COMMON,
    "offer_id": "o-1",
    "borrower_id": "b-1",
    "policy_version": "default@1",
    "model_version": "linear-thompson-1@4",
    "candidates": [],
    "feasible": ["12m-level-cut_0"],
    "chosen": "12m-level-cut_0",
    "propensity": 0.5,
    "features_hash": "f",
    "seed": 1,
    "reasons": [],
    "business_date": date(2026, 3, 1),
    "caused_by": "c-1",
    "shown": [],
    "group": "learned",
}
WRITTEN: list[tuple[str, str, dict[str, Any], type[ev.Event], dict[str, Any]]] = [
    ("0.1.0", "Corrected", CORRECTED, ev.EventSuperseded, {"supersedes": "s-1"}),
    ("0.1.1", "Corrected", CORRECTED, ev.EventSuperseded, {"supersedes": "s-1"}),
    ("0.1.1", "ContactNoted", CONTACT_NOTED, ev.ContactRecorded, {"attempt_id": "t-1", "attempt": True}),
    ("0.1.1", "EvidenceGathered", EVIDENCE, ev.OfferOutcomeReported, {"counts": {"fixed.offers": 1}}),
    ("0.1.0", "OfferPublished", OFFER, ev.OfferPublished, {"recommended_option_id": "12m-level-cut_0"}),
    ("0.1.1", "OfferPublished", OFFER, ev.OfferPublished, {"recommended_option_id": "12m-level-cut_0"}),
    ("0.1.1", "DecisionLogged", DECISION, ev.DecisionLogged, {"arm": "learned"}),
]
BY_NAME = {f"{release} {name}": (release, name, value, kind, said) for release, name, value, kind, said in WRITTEN}


def written(release: str, name: str, value: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return a released schema and the Avro bytes that fastavro, another implementation, writes with it."""
    schema = contracts.self_contained(name, contracts.load(contracts.RELEASED / release))
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return schema, stream.getvalue()


def plain(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {"type": name, **msgspec.to_builtins(value)}


@pytest.mark.parametrize("case", BY_NAME)
def test_released_avro_bytes_are_read_under_present_names(case: str) -> None:
    release, name, value, kind, said = BY_NAME[case]
    schema, data = written(release, name, value)
    registry = FileRegistry()
    number = registry.id_of("s", json.dumps(schema))
    by_print = Codec().decode(SINGLE_OBJECT + contracts.fingerprint(schema) + data, {kind})
    assert type(by_print) is kind
    assert {field: getattr(by_print, field) for field in said} == said
    assert Codec(registry).decode(CONFLUENT + number.to_bytes(4, "big") + data, {kind}) == by_print
    # What is written from now on is read the same, by the present schema.
    assert Codec().decode(Codec().encode(by_print)) == by_print


@pytest.mark.parametrize("case", BY_NAME)
def test_released_json_lines_and_container_files_are_read(case: str, tmp_path: Path) -> None:
    release, name, value, kind, said = BY_NAME[case]
    line = msgspec.json.encode(plain(value, name))
    event = from_line(line)
    assert type(event) is kind
    assert {field: getattr(event, field) for field in said} == said
    assert b'"type":"' + kind.__name__.encode() in to_line(event)
    strange: list[object] = []
    (tmp_path / "old.jsonl").write_bytes(line + b"\n")
    assert list(read_events(tmp_path / "old.jsonl", strange=lambda *found: strange.append(found))) == [event]
    assert strange == []
    schema = contracts.self_contained(name, contracts.load(contracts.RELEASED / release))
    with (tmp_path / "old.avro").open("wb") as file:
        fastavro.writer(file, fastavro.parse_schema(schema), [value])
    assert list(read_events(tmp_path / "old.avro")) == [event]


@pytest.mark.parametrize("case", BY_NAME)
def test_facts_of_earlier_releases_are_read_from_stores(case: str) -> None:
    _, name, value, kind, said = BY_NAME[case]
    fact = read_fact(msgspec.msgpack.encode(plain(value, name)))
    assert type(fact) is kind
    assert {field: getattr(fact, field) for field in said} == said
    assert read_fact(msgspec.msgpack.encode(fact)) == fact


def test_a_state_with_events_under_former_names_is_read() -> None:
    superseded = read_fact(msgspec.msgpack.encode(plain(CORRECTED, "Corrected")))
    assert isinstance(superseded, ev.EventSuperseded)
    state = AccountState(
        account_id="a-1",
        borrower_id="b-1",
        product="card",
        jurisdiction="CN",
        currency="CNY",
        annual_rate_bps=1_800,
        original_principal=100_000,
        opened_on=739_000,
        folded_through=739_100,
        provisional_events=(superseded,),
    )
    present = pack(state)
    head = 2 + present[1]
    former = msgspec.msgpack.encode(
        [
            [plain(CORRECTED, "Corrected")] if field == "provisional_events" else value
            for field, value in zip(
                AccountState.__struct_fields__, msgspec.msgpack.decode(memoryview(present)[head:]), strict=True
            )
        ]
    )
    assert former != present[head:]
    assert unpack(present[:head] + former, AccountState) == state


def test_a_comment_with_a_former_name_in_it_stays_as_it_is() -> None:
    event = from_line(
        msgspec.json.encode(plain({**OFFER, "message": "type lead_option_id Corrected"}, "OfferPublished"))
    )
    assert isinstance(event, ev.OfferPublished)
    assert event.message == "type lead_option_id Corrected"
    assert from_line(to_line(event)) == event


def test_a_wrong_line_under_a_former_name_is_refused_by_field() -> None:
    with pytest.raises(InvalidEventError) as caught:
        from_line(msgspec.json.encode(plain({**CORRECTED, "business_date": "no date"}, "Corrected")))
    assert (caught.value.code, caught.value.field) == ("out_of_range", "business_date")


def test_the_checker_takes_a_rename_with_an_alias_and_no_other() -> None:
    released, present = contracts.load(contracts.RELEASED / "0.1.1"), dict(contracts.contracts())
    assert check(released, present) == []
    bare = json.loads(json.dumps(present["EventSuperseded"]))
    del bare["aliases"]
    assert [p.record for p in check(released, {**present, "EventSuperseded": bare})] == ["Corrected"]
    chosen = json.loads(json.dumps(present["DecisionLogged"]))
    for field in chosen["fields"]:
        if field["name"] == "caused_by":
            field["name"] = "cause"
    assert any(p.field == "caused_by" for p in check(released, {**present, "DecisionLogged": chosen}))
