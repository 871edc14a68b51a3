"""The contracts as Avro schemas: self-contained, in canonical form, with their fingerprints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import fastavro.schema

Schema = Any
NAMESPACE = "reprieve"
AVSC = Path(__file__).with_name("avsc")
RELEASED = Path(__file__).with_name("released")


@cache
def contracts() -> dict[str, dict[str, Any]]:
    """Return every contract by record or enum name."""
    return load(AVSC)


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Return every contract of a folder by record or enum name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.avsc"))}


def releases() -> list[Path]:
    """Return the folders of the released contracts, oldest first; each is named by its version."""
    if not RELEASED.exists():
        return []
    return sorted(filter(Path.is_dir, RELEASED.iterdir()), key=lambda folder: version_of(folder.name))


def version_of(text: str) -> tuple[int, ...]:
    """Return a version such as 0.1.0 as numbers. Raises ValueError."""
    return tuple(int(part) for part in text.split("."))


def self_contained(name: str, among: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a contract with each contract that it refers to written out where it is first used."""
    seen: set[str] = set()

    def inline(schema: Schema) -> Schema:
        if isinstance(schema, str):
            short = schema.removeprefix(f"{NAMESPACE}.")
            if short == schema or short in seen:
                return schema
            return inline(among[short])
        if isinstance(schema, list):
            return [inline(branch) for branch in schema]
        if "name" in schema:
            seen.add(schema["name"])
        out = dict(schema)
        for part in ("items", "values"):
            if part in out:
                out[part] = inline(out[part])
        if "fields" in out:
            out["fields"] = [{**f, "type": inline(f["type"])} for f in out["fields"]]
        return out

    contract: dict[str, Any] = inline(f"{NAMESPACE}.{name}")
    return contract


@cache
def schema_of(name: str) -> dict[str, Any]:
    """Return the self-contained schema of a record, as this release writes it."""
    return self_contained(name, contracts())


def canonical_form(schema: Schema) -> str:
    """Return the Parsing Canonical Form: what two schemas that read alike have in common."""
    form: str = fastavro.schema.to_parsing_canonical_form(schema)
    return form


def fingerprint(schema: Schema) -> bytes:
    """Return the CRC-64-AVRO fingerprint of the canonical form, 8 bytes little-endian as in single-object encoding."""
    return bytes.fromhex(fastavro.schema.fingerprint(canonical_form(schema), "CRC-64-AVRO"))


def parsed(schema: Schema) -> tuple[Schema, dict[str, Any]]:
    """Return a schema with every name in full, and the types that it names.

    Raises ValueError, in the words of fastavro, where it is no Avro schema.
    """
    names: dict[str, Any] = {}
    try:
        whole = fastavro.schema.parse_schema(schema, names, _write_hint=False)
    except (fastavro.schema.SchemaParseException, fastavro.schema.UnknownType) as error:
        raise ValueError(f"it is no Avro schema: {error}") from error
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no Avro schema: {error!r}") from error
    return whole, names
