"""The OpenAPI document: valid, up to date, and true of the server, whatever schemathesis sends by it."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import requests
import yaml
from click.testing import CliRunner
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from yarl import URL

from schemas import events as ev
from schemas.jsonlines import from_line
from schemas.openapi import TAKEN, TOLD
from streams.cli import cli
from streams.partners.fields import project, tree_of, without_private
from streams.partners.partner_registry import HELD_TO
from tests.support.webhook_receivers import SECRETS
from tests.support.webhook_senders import HeldDoor, headers, intake

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text("utf-8"))
    return found


def test_the_committed_document_is_what_the_contracts_make() -> None:
    made = CliRunner().invoke(cli, ["schemas", "openapi"])
    assert made.exit_code == 0
    assert made.output == DOCUMENT.read_text("utf-8"), "run `reprieve schemas openapi --output docs/openapi.yaml`"


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"] == "3.1.0"
    assert set(document["webhooks"]) == set(TOLD)


def examples() -> dict[str, ev.Event]:
    lines = (Path(__file__).parents[2] / "schemas" / "examples.jsonl").read_bytes().splitlines()
    return {type(e).__name__: e for e in map(from_line, lines)}


def checked(document: dict[str, Any], name: str, value: Any) -> list[str]:
    """Return how a value breaks a schema of the document."""
    resource = Resource(contents=document, specification=DRAFT202012)
    registry: Any = Registry().with_resource("urn:doc", resource)
    validator = OAS31Validator({"$ref": f"urn:doc#/components/schemas/{name}"}, registry=registry)
    return [error.message for error in validator.iter_errors(value)]


def test_examples_fit_the_schemas_of_what_is_sent_and_told(document: dict[str, Any]) -> None:
    for name, event in examples().items():
        plain = json.loads(msgspec.json.encode(event))
        if name in TAKEN:
            sent = {field: value for field, value in plain.items() if field not in ("source", "partner_id")}
            assert checked(document, "Event", sent) == []
            assert checked(document, "Event", {**sent, "nonsense": 1}) != []
        if name in TOLD:
            for tree in (tree_of(TOLD[name]), without_private(tree_of(TOLD[name]))):
                told = {"type": name, "timestamp": plain["occurred_at"], "data": project(plain, tree)}
                assert checked(document, f"{name}Told", told) == []


def is_said_by_no_schema(problem: dict[str, Any]) -> bool:
    """Say whether a refusal is of an instant, of what a source is held to, or of a whole number written 1.0."""
    held = {"occurred_at", "as_of", "kind", "channel", "purpose"}
    return (
        problem.get("field") in held or re.search(r"expected int( \| null)?, got float", problem["detail"]) is not None
    )


class Signing(requests.auth.AuthBase):
    """Signs the body as it is sent."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        raw = body.encode() if isinstance(body, str) else body
        try:
            made = headers(SECRETS[0], raw, str(uuid4()), datetime.now(UTC))
        except UnicodeDecodeError:
            return request
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            request.headers[name] = made[name]
        return request


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, HeldDoor]]:
    """Serve in a thread for a source that may send everything."""
    monkeypatch.setenv("ANY_SECRET", SECRETS[0])
    purposes = ["repayment_planning", "partner:x"]
    values = {"kind": ["third_party", "bureau"], "channel": ["hotline", "online", "call", "sms"], "purpose": purposes}
    of = {"OfferAnswered": ["hotline", "online"], "ContactAttempted": ["call", "sms"]}
    records = {name: {field: of.get(name, values[field])} if (field := HELD_TO.get(name)) else {} for name in TAKEN}
    sends = {"secrets": [{"env": "ANY_SECRET"}], "records": records, "events_per_second": 100_000, "burst": 100_000}
    door, found, over = HeldDoor(), [""], threading.Event()
    began = threading.Event()

    async def run() -> None:
        async with intake(door, {"partners": [{"id": "any", "sends": sends}]}) as client:
            found[0] = client.url
            began.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert began.wait(120)
    yield found[0], door
    over.set()
    thread.join()


def test_the_server_keeps_the_document_whatever_is_sent(server: tuple[str, HeldDoor], document: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        # Its own imports use what its dependencies are about to remove.
        warnings.simplefilter("ignore", DeprecationWarning)
        import schemathesis
        from hypothesis import HealthCheck, Phase, given, seed, settings
        from schemathesis import GenerationMode
        from schemathesis.specs.openapi.checks import positive_data_acceptance

        url, door = server
        said = copy.deepcopy(document)
        operation = said["paths"]["/v1/events"]["post"]
        # Signing sets these headers; and only one source is known.
        operation["parameters"] = [{**operation["parameters"][0], "schema": {"const": "any"}}]
        del operation["security"]
        schema = schemathesis.openapi.from_dict(said)
        schema.config.update(base_url=url)
        statuses: set[int] = set()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            def play(case: Any) -> None:
                response = case.call(auth=Signing())
                statuses.add(response.status_code)
                case.validate_response(response, excluded_checks=[positive_data_acceptance])
                if case.meta.generation.mode is GenerationMode.POSITIVE:
                    refused = [r["problem"] for r in response.json().get("results", ()) if r["status"] == "refused"]
                    assert not [problem for problem in refused if not is_said_by_no_schema(problem)]

            hypothesis = settings(
                max_examples=20,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
            )
            strategy = schema["/v1/events"]["POST"].as_strategy(generation_mode=mode)
            seed(1)(hypothesis(given(strategy)(play)))()
        for path in ("/livez", "/readyz", "/v1/events", "/v1/nothing", "/"):
            for method in ("GET", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"):
                got = requests.request(method, str(URL(url) / path[1:]), timeout=120)
                assert got.status_code in (200, 404, 405)
    assert {202, 422} <= statuses
    assert 500 not in statuses
    assert all(e.source == "any" for e in door.taken)
