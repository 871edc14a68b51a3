"""The AsyncAPI document as a page: topics, records, their fields, and an example of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Schema = Any


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
            lines += ["", *_record(record, messages[record])]
    return "\n".join(lines) + "\n"


def _record(name: str, message: dict[str, Any]) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    yield message["summary"]
    yield ""
    yield "| field | type | default | |"
    yield "|---|---|---|---|"
    for field in message["payload"]["schema"]["fields"]:
        default = f"`{json.dumps(field['default'])}`" if "default" in field else ""
        yield f"| {field['name']} | {_type(field['type'])} | {default} | {field.get('doc', '')} |"
    for example in message.get("examples", ()):
        yield ""
        yield "```json"
        yield json.dumps({"type": name, **example["payload"]}, ensure_ascii=False, indent=1)
        yield "```"


def _type(schema: Schema) -> str:
    if isinstance(schema, str):
        return schema.rpartition(".")[2]
    if isinstance(schema, list):
        return " or ".join(_type(branch) for branch in schema)
    kind = schema["type"]
    if kind == "enum":
        return "one of " + ", ".join(schema["symbols"])
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "map":
        return f"map of {_type(schema['values'])}"
    if kind == "record":
        inner = ", ".join(f"{f['name']} ({_type(f['type'])})" for f in schema["fields"])
        return f"{schema['name']}: {inner}"
    return str(schema.get("logicalType", kind))
