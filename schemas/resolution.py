"""Reading with one schema what another wrote: a writer's schema fitted to the reader's.

Fields are matched by name, as Avro says: those that only the writer has are read over, those
that only the reader has take their defaults. What is left to fit is the meaning of a field's
bytes, and the symbols that the reader does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Any


def fitted(writer: Schema, names: Mapping[str, Any], reader: Schema, reader_names: Mapping[str, Any]) -> Schema:
    """Return the writer's schema with the reader's logical types, and the reader's default for unknown symbols.

    All names are in full (`contracts.parsed`); records that both name are written out.
    """
    return _Fitting(names, reader_names).fit(writer, reader, ())


class _Fitting:
    def __init__(self, names: Mapping[str, Any], reader_names: Mapping[str, Any]) -> None:
        self._names = names
        self._reader_names = reader_names

    def fit(self, writer: Schema, reader: Schema, within: tuple[str, ...]) -> Schema:
        if isinstance(writer, str) and writer in self._names:
            if writer in within:
                return writer
            writer = self._names[writer]
        if isinstance(reader, str):
            reader = self._reader_names.get(reader, reader)
        if isinstance(reader, list):
            # Ours are optional: null and one other.
            reader = next(branch for branch in reader if branch != "null")
            return self.fit(writer, reader, within)
        if isinstance(writer, list):
            return [self.fit(branch, reader, within) for branch in writer]
        if isinstance(writer, dict) and isinstance(reader, dict) and writer["type"] == reader["type"]:
            return self._like(writer, reader, within)
        if writer in ("int", "long") and isinstance(reader, dict) and reader["type"] == writer:
            return {"type": writer, "logicalType": reader.get("logicalType")}
        return writer

    def _like(self, writer: dict[str, Any], reader: dict[str, Any], within: tuple[str, ...]) -> dict[str, Any]:
        match writer["type"]:
            case "record":
                types = {f["name"]: f["type"] for f in reader["fields"]}
                inside = (*within, writer["name"])
                fields = [
                    {**f, "type": self.fit(f["type"], types.get(f["name"], f["type"]), inside)}
                    for f in writer["fields"]
                ]
                return {**writer, "fields": fields}
            case "enum" if "default" in reader:
                known = set(reader["symbols"])
                return {**writer, "symbols": [s if s in known else reader["default"] for s in writer["symbols"]]}
            case "array" | "map" as kind:
                part = "items" if kind == "array" else "values"
                return {**writer, part: self.fit(writer[part], reader[part], within)}
            case "int" | "long":
                return {**writer, "logicalType": reader.get("logicalType")}
        return writer
