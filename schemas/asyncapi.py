"""The contracts as an AsyncAPI 3.1 document: topics, keys, headers, schemas and an example of each record.

What goes between Reprieve's own agents is left out: nobody else may write it, and its records may change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
single-object encoding. Money is whole minor units, rates are basis points, dates are days since 1970. Each record
carries a unique event_id: a second one with it has no effect, and whoever reads may do the same. Readers of what
Reprieve writes should read committed records only. Examples are in the JSON that `reprieve consume` prints."""

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


def document(version: str, examples: Mapping[str, ev.Event], prefix: str = DEFAULT_PREFIX) -> dict[str, Any]:
    """Return the document. examples: an event of each record, where there is one."""
    channels, operations, messages = {}, {}, {}
    for topic in public_topics():
        names = public_records(topic)
        channels[topic.name] = _channel(topic, names, prefix)
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


def _channel(topic: Topic, names: list[str], prefix: str) -> dict[str, Any]:
    key = f"keyed by {topic.key}" if topic.key else "without a key, one copy in every partition"
    if topic.name == "dead-letters":
        key = "without a key"
    return {
        "address": prefix + topic.name,
        "description": f"{'In' if topic.inbound else 'Out'}, {key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": {"topic": prefix + topic.name, "bindingVersion": "0.5.0"}},
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
