"""What is wrong with a policy pack: where, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from msgspec import Struct

from schemas.errors import UsageError


class PackProblem(Struct, frozen=True, order=True):
    """One fault of a pack. line and column count from 1; path is like `sections.contacts.cap.value`."""

    file: str
    line: int
    column: int
    path: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return (
            f"{place}: {self.path}: {self.reason} {self.remedy}"
            if self.path
            else f"{place}: {self.reason} {self.remedy}"
        )


class PackError(UsageError):
    """A pack or book cannot be used. `problems` holds all that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[PackProblem]) -> None:
        self.problems: Sequence[PackProblem] = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


def nearest(word: str, words: Iterable[str]) -> str:
    """Return a remedy for an unknown word: the one that was probably meant, or all that may stand there."""
    known = sorted(words)
    near = get_close_matches(word, known, n=1)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Known here: {', '.join(known)}." if known else "Nothing may stand here."
