"""The contracts as others see them: an AsyncAPI document that AsyncAPI's own parser takes, and CloudEvents headers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from schemas import events as ev
from schemas.asyncapi import INTERNAL_RECORDS, INTERNAL_TOPICS, document
from schemas.codec import Codec, headers_for
from schemas.jsonlines import from_line
from schemas.topics import TOPICS
from streams.cli import cli

SCHEMAS = Path(__file__).parents[2] / "schemas"
EXAMPLES = [from_line(line) for line in (SCHEMAS / "examples.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("name", ["asyncapi.yaml", "openapi.yaml"])
def test_no_document_has_aliases_that_java_does_not_follow(repository: Path, name: str) -> None:
    tokens = yaml.scan((repository / "docs" / name).read_text("utf-8"))
    assert not [token for token in tokens if isinstance(token, yaml.AliasToken | yaml.AnchorToken)]


@pytest.mark.parametrize(("args", "name"), [((), "asyncapi.yaml"), (("--page",), "events.md")])
def test_the_docs_are_what_the_contracts_say(args: tuple[str, ...], name: str, repository: Path) -> None:
    said = CliRunner().invoke(cli, ["schemas", "asyncapi", *args])
    assert said.exit_code == 0, said.output
    assert (repository / "docs" / name).read_text("utf-8") == said.output, (
        f"run `reprieve schemas asyncapi {' '.join(args)} --output docs/{name}`"
    )


def test_asyncapis_parser_accepts_all_public_topics(node: Path, repository: Path) -> None:
    done = subprocess.run(
        ["node", "asyncapi.mjs", str(repository / "docs" / "asyncapi.yaml")],
        cwd=node,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = json.loads(done.stdout)
    assert found["diagnostics"] == []
    assert found["topics"] == {
        f"reprieve.{t.name}": [r.__name__ for r in t.records if r.__name__ not in INTERNAL_RECORDS]
        for t in TOPICS.values()
        if t.name not in INTERNAL_TOPICS
    }


def test_the_parser_would_find_a_missing_record(node: Path, tmp_path: Path) -> None:
    broken = document("1", {})
    del broken["components"]["messages"]["OfferPublished"]
    file = tmp_path / "broken.yaml"
    file.write_text(yaml.safe_dump(broken), "utf-8")
    done = subprocess.run(
        ["node", "asyncapi.mjs", str(file)], cwd=node, capture_output=True, text=True, check=True, timeout=120
    )
    assert [d for d in json.loads(done.stdout)["diagnostics"] if d["severity"] == 0]


def test_every_public_record_has_an_example_that_round_trips() -> None:
    codec = Codec()
    public = {r for t in TOPICS.values() if t.name not in INTERNAL_TOPICS for r in t.records}
    assert {type(e) for e in EXAMPLES} == {r for r in public if r.__name__ not in INTERNAL_RECORDS}
    for event in EXAMPLES:
        assert codec.decode(codec.encode(event)) == event


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: type(e).__name__)
def test_the_cloudevents_sdk_reads_what_goes_out(event: ev.Event) -> None:
    headers = dict(headers_for(event, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
    value = Codec().encode(event)
    message = KafkaMessage(headers=headers, key=None, value=value)
    read = from_binary(message, JSONFormat(), CloudEvent)
    assert read.get_id() == event.event_id
    assert read.get_type() == f"reprieve.{type(event).__name__}"
    assert read.get_specversion() == "1.0"
    assert read.get_time() == event.occurred_at.replace(microsecond=event.occurred_at.microsecond // 1000 * 1000)
    assert read.get_datacontenttype() == "application/avro"
    assert read.get_data() == value
