"""Who was shown personal data, of whom and what for: written down before it is shown.

Beside a data directory it is a file of JSON lines, `audit.jsonl`, one chain for all who read. On Kafka it is the topic
`audit`, in which each process that shows has chains of its own (`streams.kafka.audit`). Where the record cannot be
written, nothing is shown.
"""

from __future__ import annotations

import fcntl
import getpass
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from schemas import events as ev
from schemas.errors import FatalError, InvalidEventError, UsageError
from schemas.jsonlines import from_line, to_line
from streams.security.audit_chain import Head, next_record

FILE = "audit.jsonl"
# What personal data may be looked at for. Those of a borrower who asks, or of who checks on us, are shown whole;
# for the work on a case only what a consent is in force for.
WORK = ("hotline", "case_work")
WHOLE = ("subject_access", "complaint", "audit")
PURPOSES = (*WORK, *WHOLE)

# (borrower, the names of what is shown)
Shown = tuple[str, Sequence[str]]


class Audit(Protocol):
    """Writes down what is about to be shown."""

    def record(self, shown: Iterable[Shown], actor: str, purpose: str) -> None:
        """Write records, durably.

        Raises FatalError where that cannot be done, UsageError for a purpose that is none.
        """


def operator() -> str:
    """Return the name of the user of this machine who runs the process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def checked(purpose: str, actor: str) -> None:
    """Raise UsageError where nobody is named, or a purpose that is none."""
    if purpose not in PURPOSES:
        raise UsageError(f"{purpose!r} is no purpose of looking at personal data. Give one of {', '.join(PURPOSES)}.")
    if not 0 < len(actor) <= 200:
        raise UsageError("Who looks at personal data must be named, in 1 to 200 letters.")


class FileAudit:
    """The chain of a data directory, for all processes that read it."""

    def __init__(self, folder: Path, source: str) -> None:
        self.path = folder / FILE
        self._source = source

    def record(self, shown: Iterable[Shown], actor: str, purpose: str) -> None:
        """Append records to the file, durably."""
        checked(purpose, actor)
        try:
            with open(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                chain, head = self._end(file.fileno())
                lines = []
                for borrower, fields in shown:
                    made = next_record(chain, head, datetime.now(UTC), self._source, borrower, actor, purpose, fields)
                    head = Head(made.number, made.digest)
                    lines.append(to_line(made))
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FatalError(
                f"{self.path} cannot be written: {error.strerror}. Nothing is shown that is not on record; make room, "
                "or give the right to it."
            ) from error

    def _end(self, fd: int) -> tuple[str, Head]:
        """Return the chain and its head. A line that a crash cut off was shown to nobody, and goes."""
        size = os.fstat(fd).st_size
        tail = os.pread(fd, 65_536, max(0, size - 65_536))
        whole = tail[: tail.rfind(b"\n") + 1]
        if len(whole) < len(tail):
            os.ftruncate(fd, size - len(tail) + len(whole))
        if not whole:
            return f"file-{os.urandom(6).hex()}", Head()
        last = _read(whole[whole.rfind(b"\n", 0, -1) + 1 :], self.path)
        return last.chain, Head(last.number, last.digest)


def file_records(folder: Path) -> Iterator[ev.PersonalDataRead]:
    """Yield the records of a data directory, in their order."""
    path = folder / FILE
    if path.exists():
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield _read(line, f"{path}:{number}")


def _read(line: bytes, place: Path | str) -> ev.PersonalDataRead:
    try:
        found = from_line(line)
    except InvalidEventError as error:
        raise FatalError(f"{place} holds a line that is no record of an audit: it was changed. Restore it.") from error
    if not isinstance(found, ev.PersonalDataRead):
        raise FatalError(f"{place} holds a line that is no record of an audit: it was changed. Restore it.")
    return found
