"""Reads and writes Reprieve's events from its AsyncAPI document, in Avro's single-object encoding."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import fastavro
import fastavro.schema
import yaml

DOCUMENT = Path(__file__).parents[1] / "docs" / "asyncapi.yaml"
MARK = b"\xc3\x01"


class Contracts:
    """The records of an AsyncAPI document, by name and by fingerprint."""

    def __init__(self, document: Path = DOCUMENT) -> None:
        messages = yaml.safe_load(document.read_text("utf-8"))["components"]["messages"]
        self._schemas: dict[str, Any] = {}
        self._prints: dict[str, bytes] = {}
        for name, message in messages.items():
            schema = message["payload"]["schema"]
            form = fastavro.schema.to_parsing_canonical_form(schema)
            self._prints[name] = bytes.fromhex(fastavro.schema.fingerprint(form, "CRC-64-AVRO"))
            self._schemas[name] = fastavro.parse_schema(schema)
        self._names = {mark: name for name, mark in self._prints.items()}

    def encode(self, name: str, record: dict[str, Any]) -> bytes:
        """Return a record's bytes. Raises ValueError where it is not what the contract says."""
        out = io.BytesIO(MARK + self._prints[name])
        out.seek(0, io.SEEK_END)
        fastavro.schemaless_writer(out, self._schemas[name], record, strict_allow_default=True)
        return out.getvalue()

    def decode(self, value: bytes) -> tuple[str, dict[str, Any]]:
        """Return a record's name and fields. Raises KeyError for one that the document does not have."""
        name = self._names[value[2:10]]
        return name, fastavro.schemaless_reader(io.BytesIO(value[10:]), self._schemas[name])  # type: ignore[return-value]
