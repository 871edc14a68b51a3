"""What a file held that could not be taken, and where."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import BadInput


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line, or a record of a container file, that was refused.

    line: counted from 1; of a container file, the record's number. raw: as it came, empty where it could
    not be told from its neighbours. code, message, field: as in `schemas.errors.BadInput`.
    """

    file: str
    line: int
    code: str
    message: str
    field: str | None
    raw: bytes

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message} ({self.code})"


def rejected(file: str, line: int, error: BadInput, raw: bytes) -> Rejected:
    """Return the rejection that an error makes of a line."""
    return Rejected(file, line, error.code, error.message, error.field, raw)
