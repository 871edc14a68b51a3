"""The commands on Kafka before there is any: what they refuse by themselves, and how they tell what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastavro import writer

from schemas import events as ev
from schemas.jsonlines import from_line
from schemas.topics import TOPIC_OF
from streams.cli.cluster import run_on_kafka
from streams.cli.common import Rejections
from streams.cli.flow import see_that_it_comes_in
from streams.settings import Settings

EXAMPLES = (Path(__file__).parents[2] / "schemas" / "examples.jsonl").read_bytes().splitlines(keepends=True)


def test_only_what_comes_in_from_outside_is_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n" + b"".join(EXAMPLES))
    rejections = Rejections(fit=see_that_it_comes_in)
    taken = list(rejections.events([file]))
    kinds = {type(from_line(line)) for line in EXAMPLES}
    assert {type(event) for event in taken} == {kind for kind in kinds if TOPIC_OF[kind].inbound}
    assert rejections.count == len(EXAMPLES) - len(taken) > 20
    assert rejections.exit_code() == 1
    number = 2 + next(n for n, line in enumerate(EXAMPLES) if b'"OfferPublished"' in line)
    assert (
        f"{file}:{number}: OfferPublished belongs to offers, which Reprieve alone writes. Leave it out: what comes in "
        "goes to accounts, payments, collections, profiles, feedback, clock. (unknown_topic)"
    ) in capsys.readouterr().err


def test_a_record_of_a_container_file_is_refused_by_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "events.avro"
    schema = {"type": "record", "name": "OfferExpired", "namespace": "reprieve", "fields": []}
    offer = next(e for line in EXAMPLES if isinstance(e := from_line(line), ev.OfferExpired))
    fields = {name: getattr(offer, name) for name in offer.__struct_fields__}
    kinds = {str: "string", int: "long"}
    plain = {name: value for name, value in fields.items() if type(value) in kinds}
    schema["fields"] = [{"name": name, "type": kinds[type(value)]} for name, value in plain.items()]
    schema["fields"] += [
        {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "business_date", "type": {"type": "int", "logicalType": "date"}},
    ]
    with file.open("wb") as out:
        writer(out, schema, [fields, fields])
    rejections = Rejections(fit=see_that_it_comes_in)
    assert list(rejections.events([file])) == []
    assert f"{file}:2: OfferExpired belongs to offers" in capsys.readouterr().err


def test_whoever_has_read_enough_is_not_told_that_kafka_is_away() -> None:
    async def printed() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        run_on_kafka(printed(), Settings())
