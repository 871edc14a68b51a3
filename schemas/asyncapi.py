"""The contracts as an AsyncAPI 3.1 document (topics, keys, headers, schemas, an example of each record) and as a page.

What goes between Reprieve's own agents is left out: nobody else may write it, and its records may change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from schemas import events as ev
from schemas.contracts import contracts, self_contained
from schemas.jsonlines import to_line
from schemas.topics import DEFAULT_PREFIX, TOPICS, Topic

INTERNAL_TOPICS = frozenset({"workout-requests", "evidence", "learning", "barriers"})
INTERNAL_RECORDS = frozenset({"PlanReviewRequested"})
AVRO = "application/vnd.apache.avro;version=1.9.0"

ABOUT = """Reprieve keeps loan accounts, says when a debt goes bad, and offers repayment plans that can be kept.

Payment, loan and collection systems write the topics that it reads; notification services, partners and bureaus read
the topics that it writes. Values are Avro, in Confluent's framing where there is a registry, else in Avro's
single-object encoding. Money is whole minor units, rates are basis points, dates are days since 1970. Examples are in
the JSON that `reprieve consume` prints.

A fact that comes in is identified by the fields that its record names at event_id, such as account_id and payment_id,
under any event_id. A repetition has no effect. Of two statements of one fact that differ, one stands, and the other
becomes a dead letter with a remedy: of an account's facts the one with the earlier occurred_at stands, of a borrower's
the one that arrived first; where a record has a revision, the highest revision stands.

Each event that Reprieve writes has an event_id of its own. It derives from the identity of what caused the event, so
two facts that share an event_id by mistake do not cause two outputs with one id. A reader that takes each event_id
once takes each event once; it should read committed records only."""

HEADERS: dict[str, Any] = {
    "type": "object",
    "description": "CloudEvents 1.0 in the binary mode of its Kafka binding. Not required on what Reprieve reads.",
    "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type"],
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "description": "The event_id."},
        "ce_type": {"type": "string", "description": "reprieve. and the name of the record."},
        "ce_source": {"type": "string", "format": "uri-reference"},
        "ce_time": {"type": "string", "format": "date-time", "description": "The occurred_at."},
        "content-type": {"type": "string", "const": "application/avro"},
        "traceparent": {"type": "string", "description": "W3C trace context of the cause, where it had one."},
    },
}


def public_topics() -> list[Topic]:
    """Return the topics that others write or read, what they write first."""
    return sorted((t for t in TOPICS.values() if t.name not in INTERNAL_TOPICS), key=lambda t: not t.inbound)


def public_records(topic: Topic) -> list[str]:
    """Return the names of a topic's records that others write or read."""
    return [r.__name__ for r in topic.records if r.__name__ not in INTERNAL_RECORDS]


def document(version: str, examples: Mapping[str, ev.Event]) -> dict[str, Any]:
    """Return the document. examples: an event of each record, where there is one."""
    channels, operations, messages = {}, {}, {}
    for topic in public_topics():
        names = public_records(topic)
        channels[topic.name] = _channel(topic, names)
        action = "receive" if topic.inbound else "send"
        operations[f"{action}-{topic.name}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{topic.name}"},
            "summary": f"Reprieve {'reads' if topic.inbound else 'writes'} {', '.join(names)}.",
            "messages": [{"$ref": f"#/channels/{topic.name}/messages/{name}"} for name in names],
        }
        for name in names:
            messages[name] = _message(name, topic, examples.get(name))
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Reprieve",
            "version": version,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [{"name": "lending"}, {"name": "collections"}],
        },
        "defaultContentType": "application/avro",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": {"CloudEventsHeaders": HEADERS}},
    }


def _channel(topic: Topic, names: list[str]) -> dict[str, Any]:
    key = f"keyed by {topic.key}" if topic.key else "without a key, one copy in every partition"
    if topic.name == "dead-letters":
        key = "without a key"
    return {
        "address": DEFAULT_PREFIX + topic.name,
        "description": f"{'In' if topic.inbound else 'Out'}, {key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": {"topic": DEFAULT_PREFIX + topic.name, "bindingVersion": "0.5.0"}},
    }


def _message(name: str, topic: Topic, example: ev.Event | None) -> dict[str, Any]:
    schema = self_contained(name, contracts())
    message: dict[str, Any] = {
        "name": name,
        "title": name,
        "summary": schema.get("doc", name),
        "contentType": "application/avro",
        "headers": {"$ref": "#/components/schemas/CloudEventsHeaders"},
        "payload": {"schemaFormat": AVRO, "schema": schema},
    }
    if topic.key:
        about = f"The {topic.key}, UTF-8. Kafka's default partitioner (murmur2) must place it."
        key = {"type": "string", "minLength": 1, "maxLength": 64, "description": about}
        message["bindings"] = {"kafka": {"key": key, "bindingVersion": "0.5.0"}}
    if example is not None:
        payload = json.loads(to_line(example))
        del payload["type"]
        message["examples"] = [{"name": name, "summary": "From a simulated portfolio.", "payload": payload}]
    return message


def page(document: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    lines = [
        f"# {document['info']['title']} {document['info']['version']}: events",
        "",
        "Made of the contracts in `schemas/avsc` by `reprieve schemas asyncapi`, as is [asyncapi.yaml](asyncapi.yaml).",
        "",
        document["info"]["description"],
        "",
        "| topic | | key | records |",
        "|---|---|---|---|",
    ]
    messages = document["components"]["messages"]
    directions = {o["channel"]["$ref"].rpartition("/")[2]: o["action"] for o in document["operations"].values()}
    for name, channel in document["channels"].items():
        records = ", ".join(f"[{record}](#{record.lower()})" for record in channel["messages"])
        way = "Reprieve reads" if directions[name] == "receive" else "Reprieve writes"
        key = channel["description"].partition(", ")[2].rstrip(".")
        lines.append(f"| `{channel['address']}` | {way} | {key} | {records} |")
    for channel in document["channels"].values():
        for record in channel["messages"]:
            lines += ["", *_page_of(record, messages[record])]
    return "\n".join(lines) + "\n"


def _page_of(name: str, message: dict[str, Any]) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    yield message["summary"]
    yield ""
    yield "| field | type | default | |"
    yield "|---|---|---|---|"
    for field in message["payload"]["schema"]["fields"]:
        default = f"`{json.dumps(field['default'])}`" if "default" in field else ""
        yield f"| {field['name']} | {_type_name(field['type'])} | {default} | {field.get('doc', '')} |"
    for example in message.get("examples", ()):
        yield ""
        yield "```json"
        yield json.dumps({"type": name, **example["payload"]}, ensure_ascii=False, indent=1)
        yield "```"


def _type_name(schema: Any) -> str:
    if isinstance(schema, str):
        return schema.rpartition(".")[2]
    if isinstance(schema, list):
        return " or ".join(_type_name(branch) for branch in schema)
    kind = schema["type"]
    if kind == "enum":
        return "one of " + ", ".join(schema["symbols"])
    if kind == "array":
        return f"list of {_type_name(schema['items'])}"
    if kind == "map":
        return f"map of {_type_name(schema['values'])}"
    if kind == "record":
        inner = ", ".join(f"{f['name']} ({_type_name(f['type'])})" for f in schema["fields"])
        return f"{schema['name']}: {inner}"
    return str(schema.get("logicalType", kind))
