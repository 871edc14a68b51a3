"""The contracts as an OpenAPI 3.1 document: events that partners send over HTTP, and webhooks that they receive."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from schemas import events as ev
from schemas.jsonlines import to_line
from schemas.topics import TOPICS

# What says that bytes are base64 (`contentEncoding`) holds nobody to it.
_BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
# What partners may send, and what they are told; the partners' file says who of them which.
TAKEN: dict[str, type[ev.Event]] = {
    record.__name__: record for topic in TOPICS.values() if topic.inbound and topic.key for record in topic.records
}
NOTICES: tuple[type[ev.Event], ...] = (ev.ConsentWithdrawn, ev.ErasureRequested)
TOLD: dict[str, type[ev.Event]] = {
    record.__name__: record
    for record in (*TOPICS["offers"].records, *TOPICS["plans"].records, *NOTICES)
    if record is not ev.PlanReviewRequested
}

ABOUT = """Partners, hotlines and web pages send events by `POST /v1/events`, and are told of offers and plans by
webhooks. Both are signed by the Standard Webhooks specification (https://www.standardwebhooks.com): the headers
`webhook-id`, `webhook-timestamp` and `webhook-signature`, HMAC-SHA256 over `{id}.{timestamp}.{body}` with a secret
`whsec_…`. Any library of that specification signs and verifies them.

Money is whole minor units, dates are ISO 8601, instants RFC 3339 with their time zone, rates basis points. Every
message may be sent again: one that was taken has no further effect. docs/integration.md has the rest."""

PROBLEM = "application/problem+json"
_SIGNATURE_HEADERS = (
    (
        "webhook-id",
        "The same when it is sent again.",
        {"type": "string", "pattern": "^[!-~]{1,128}$"},
    ),
    ("webhook-timestamp", "When it was signed, seconds since 1970.", {"type": "string", "pattern": "^[0-9]{1,12}$"}),
    (
        "webhook-signature",
        "`v1,` and the base64 of the HMAC; several with a space between while a secret is changed.",
        {"type": "string", "pattern": "^v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=)*$"},
    ),
)
# Status, words, whether it says when to come again, and whether it has the result of each event.
_PROBLEMS = (
    ("400", "The body is not JSON, or the request is not HTTP.", False, False),
    ("401", "The signature, the source or the timestamp does not hold. Which of them is not said.", False, False),
    ("408", "The body did not come in time.", False, False),
    ("409", "The webhook-id was used for another body.", False, False),
    ("413", "The body or the number of events is too large.", False, False),
    ("415", "The body is no application/json in UTF-8, or is compressed.", False, False),
    ("422", "No event of the message can be taken; each result says why.", False, True),
    ("429", "The source sends too much.", True, False),
    ("500", "Something failed here. Send it again.", False, False),
    ("503", "Events cannot be made durable now. Send it again.", True, False),
)


def document(version: str, examples: Mapping[str, ev.Event]) -> dict[str, Any]:
    """Return the document. examples: an event of each record, where there is one."""
    schemas = _schemas()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Reprieve for partners",
            "version": version,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:8701", "description": "Behind a proxy that terminates TLS."}],
        "paths": {
            "/v1/events": {"post": _send(examples)},
            "/livez": {"get": _probe("live", "The process runs.", {"200": "It does."})},
            "/readyz": {"get": _probe("ready", "Events can be taken.", {"200": "They can.", "503": "Kafka is away."})},
        },
        "webhooks": {name: {"post": _told(name, examples.get(name))} for name in sorted(TOLD)},
        "components": {
            "schemas": schemas,
            "parameters": {name: _header_parameter(name, about, schema) for name, about, schema in _SIGNATURE_HEADERS},
            "securitySchemes": {
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "webhook-signature",
                    "description": "Standard Webhooks, symmetric (v1).",
                }
            },
        },
        "tags": [{"name": "events"}, {"name": "health"}],
    }


def _schemas() -> dict[str, Any]:
    _, found = msgspec.json.schema_components(
        [*TAKEN.values(), *TOLD.values()], ref_template="#/components/schemas/{name}"
    )
    found = {name: _tidied(schema) for name, schema in sorted(found.items())}
    parts = {name: schema for name, schema in found.items() if name not in TAKEN and name not in TOLD}
    # The server refuses a field of a part that it does not know, like one of the event.
    schemas = {
        name: {**schema, "additionalProperties": False} if "properties" in schema else schema
        for name, schema in parts.items()
    }
    # A partner gets some of a part's fields, so none of them can be relied on.
    schemas |= {f"{name}Told": _loose({**schema, "required": []}, parts) for name, schema in parts.items()}
    schemas |= {f"{name}Sent": _sent(name, found[name]) for name in sorted(TAKEN)}
    schemas |= {f"{name}Told": _data(name, found[name], parts) for name in sorted(TOLD)}
    schemas["Event"] = {
        "description": "An event; the lender's agreement with a source says which it may send.",
        "oneOf": [{"$ref": f"#/components/schemas/{name}Sent"} for name in sorted(TAKEN)],
        "discriminator": {
            "propertyName": "type",
            "mapping": {name: f"#/components/schemas/{name}Sent" for name in sorted(TAKEN)},
        },
    }
    schemas |= _ANSWERS
    while True:
        said = json.dumps([schemas, *_ROOTS])
        used = {name: schema for name, schema in schemas.items() if f'"#/components/schemas/{name}"' in said}
        if len(used) == len(schemas):
            return schemas
        schemas = used


def _loose(schema: Any, parts: Mapping[str, Any]) -> Any:
    """Return a schema that refers to what is told of parts, not to whole ones."""
    if isinstance(schema, dict):
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name in parts:
            return {"$ref": f"#/components/schemas/{name}Told"}
        return {key: _loose(part, parts) for key, part in schema.items()}
    return [_loose(part, parts) for part in schema] if isinstance(schema, list) else schema


def _tidied(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose text is one of sentences, not of a docstring's lines, and whose bytes are base64."""
    about = " ".join(part.strip() for part in schema.get("description", "").splitlines() if part.strip())
    return {**_with_base64(schema), "description": about}


def _with_base64(schema: Any) -> Any:
    if isinstance(schema, dict):
        more = {"pattern": _BASE64} if schema.get("contentEncoding") == "base64" else {}
        return {key: _with_base64(part) for key, part in schema.items()} | more
    return [_with_base64(part) for part in schema] if isinstance(schema, list) else schema


def _sent(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an event as it is sent: the server sets who says it, and an id where there is none."""
    own = {"source", "partner_id"}
    properties = {field: part for field, part in schema["properties"].items() if field not in own}
    properties["type"] = {"const": name}
    properties["event_id"] = {
        **properties["event_id"],
        "description": "Yours, the same when the event is sent again. Without one it follows from the message.",
    }
    return {
        **schema,
        "properties": properties,
        "required": [field for field in schema["required"] if field not in own | {"event_id"}],
        "additionalProperties": False,
    }


def _data(name: str, schema: dict[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of what a partner is told: any of the fields, as far as its part of the partners' file goes."""
    properties = {field: _loose(part, parts) for field, part in schema["properties"].items() if field != "type"}
    return {
        "type": "object",
        "description": schema["description"],
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": name},
            "timestamp": {"type": "string", "format": "date-time", "description": "When it happened."},
            "data": {"type": "object", "required": ["event_id"], "properties": properties},
        },
    }


_ANSWERS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "description": "Problem details (RFC 9457).",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "format": "uri", "pattern": "^urn:reprieve:problem:"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What to do."},
            "results": {"type": "array", "items": {"$ref": "#/components/schemas/Result"}},
        },
    },
    "Result": {
        "type": "object",
        "description": "What became of one event of a message.",
        "required": ["index", "status"],
        "properties": {
            "index": {"type": "integer", "minimum": 0},
            "status": {"enum": ["accepted", "refused"]},
            "event_id": {"type": "string", "description": "As it goes on, with the source before what you sent."},
            "problem": {
                "type": "object",
                "required": ["type", "title", "detail"],
                "properties": {
                    "type": {"type": "string", "format": "uri"},
                    "title": {"type": "string"},
                    "detail": {"type": "string"},
                    "field": {"type": "string"},
                },
            },
        },
    },
    "Accepted": {
        "type": "object",
        "required": ["accepted", "results"],
        "properties": {
            "accepted": {"type": "integer", "minimum": 1},
            "results": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Result"}},
        },
    },
}


# What is referred to from outside the schemas.
_ROOTS = tuple(
    f"#/components/schemas/{name}" for name in ("Event", "Accepted", "Problem", *(f"{name}Told" for name in TOLD))
)


def _send(examples: Mapping[str, ev.Event]) -> dict[str, Any]:
    shown = ("OfferAnswered", "ProfileReported", "ConsentGranted", "ContactAttempted", "EducationCompleted")
    return {
        "operationId": "sendEvents",
        "tags": ["events"],
        "summary": "Send one event, or several as an array.",
        "description": "Answered only when the events are durable. A message that is sent again is answered as before.",
        "security": [{"signature": []}],
        "parameters": [
            {
                "name": "source",
                "in": "query",
                "required": True,
                "description": "Who sends it, as the lender's file calls him.",
                "schema": {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,39}$"},
            },
            *({"$ref": f"#/components/parameters/{name}"} for name, _, _ in _SIGNATURE_HEADERS),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "oneOf": [
                            {"$ref": "#/components/schemas/Event"},
                            {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 500,
                                "items": {"$ref": "#/components/schemas/Event"},
                            },
                        ]
                    },
                    "examples": {name: {"value": _example(examples[name])} for name in shown if name in examples},
                }
            },
        },
        "responses": {
            "202": _json("All events are durable.", "Accepted"),
            "207": _json("Some events are durable, the others are refused for good.", "Accepted"),
            **{status: _problem(about, again, results) for status, about, again, results in _PROBLEMS},
        },
    }


def _example(event: ev.Event) -> Any:
    value = json.loads(to_line(event))
    return {name: part for name, part in value.items() if name not in ("source", "partner_id")}


def _told(name: str, example: ev.Event | None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{name}Told"}}
    if example is not None:
        value = json.loads(to_line(example))
        at = value["occurred_at"]
        # What an example shows is what every partner of the event gets at least.
        ids = {field: part for field, part in value.items() if field == "event_id" or field.endswith("_id")}
        content["example"] = {"type": name, "timestamp": at, "data": ids}
    return {
        "operationId": f"told{name}",
        "summary": (TOLD[name].__doc__ or name).splitlines()[0],
        "security": [{"signature": []}],
        "parameters": [{"$ref": f"#/components/parameters/{header}"} for header, _, _ in _SIGNATURE_HEADERS],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "2XX": {"description": "It was taken. Nothing of the answer's body is read."},
            "410": {"description": "The endpoint is gone; nothing more is sent there until somebody sees to it."},
            "429": {"description": "Later; Retry-After is waited for.", "headers": _RETRY_AFTER},
            "default": {"description": "It was not taken, and comes again under the same webhook-id."},
        },
    }


_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}}}


def _header_parameter(name: str, about: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": True, "description": about, "schema": schema}


def _json(about: str, schema: str) -> dict[str, Any]:
    return {
        "description": about,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def _problem(about: str, again: bool, results: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"$ref": "#/components/schemas/Problem"}
    if results:
        schema = {"allOf": [schema, {"required": ["results"]}]}
    found: dict[str, Any] = {"description": about, "content": {PROBLEM: {"schema": schema}}}
    return found | ({"headers": _RETRY_AFTER} if again else {})


def _probe(name: str, about: str, answers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": ["health"],
        "summary": about,
        "security": [],
        "responses": {
            status: {"description": words, "content": {"text/plain": {"schema": {"type": "string"}}}}
            for status, words in answers.items()
        },
    }
