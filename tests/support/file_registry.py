"""A schema registry in a file or in memory."""

from __future__ import annotations

import json
from pathlib import Path

from schemas.errors import InvalidEventError


class FileRegistry:
    """A registry in one JSON file, or in memory where `path` is None; ids count from 1.

    It is for one process.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._schemas: list[str] = []
        self._subjects: dict[str, list[int]] = {}
        if path is not None and path.exists():
            stored = json.loads(path.read_text("utf-8"))
            self._schemas, self._subjects = stored["schemas"], stored["subjects"]

    def schema(self, schema_id: int) -> str:
        """Return the schema of an id."""
        if not 1 <= schema_id <= len(self._schemas):
            raise InvalidEventError(
                "unknown_schema",
                f"The registry has no schema with id {schema_id}. Register the producer's schema, then replay.",
            )
        return self._schemas[schema_id - 1]

    def id_of(self, subject: str, schema: str) -> int:
        """Return the id of a schema; one schema has one id under every subject."""
        if schema not in self._schemas:
            self._schemas.append(schema)
        schema_id = self._schemas.index(schema) + 1
        ids = self._subjects.setdefault(subject, [])
        if schema_id not in ids:
            ids.append(schema_id)
            self._save()
        return schema_id

    def subjects(self) -> dict[str, list[int]]:
        """Return the ids under each subject, oldest first."""
        return {subject: list(ids) for subject, ids in self._subjects.items()}

    def _save(self) -> None:
        if self._path is not None:
            text = json.dumps({"schemas": self._schemas, "subjects": self._subjects}, indent=1)
            whole = self._path.with_suffix(".new")
            whole.write_text(text, "utf-8")
            whole.replace(self._path)
