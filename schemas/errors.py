"""The errors that Reprieve raises on purpose, in one tree. What is not in it is a bug.

ReprieveError
├── InvalidEventError            an input breaks the contracts: it is dead-lettered, the stream goes on
│   ├── UnknownAccountError      it may only be early: it waits for its account, then is dead-lettered
│   └── SignInRefusedError       (streams) the identity provider, or what a browser sent, does not prove who it is
├── RetryableError               another service is away: retry with growing pauses
└── FatalError                   going on would be wrong: the process stops with one sentence
    ├── AgentError               (streams) an agent failed on an event: a bug of ours
    ├── StorageError             (streams) a disk or file cannot be used
    ├── CorruptStoreError        (streams) a RocksDB store is damaged: it is rebuilt from its changelog
    └── UsageError               a command, file or setting is at fault (exit code 2 where it is a command's use)
        └── PackError            (state) a policy pack is at fault
"""

from __future__ import annotations

from dataclasses import dataclass


class ReprieveError(Exception):
    """Base of all that Reprieve raises on purpose."""


class InvalidEventError(ReprieveError):
    """An input breaks a rule of the contracts.

    code: stable, snake_case, for machines (`unreadable`, `unknown_schema`, `out_of_range`, …).
    message: what is wrong, where, and what to do, in a sentence.
    field: the field at fault, as a path, where there is one.
    """

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


class UnknownAccountError(InvalidEventError):
    """An event for an account that has not been opened yet."""

    def __init__(self, account_id: str) -> None:
        super().__init__(
            "unknown_account",
            f"Account {account_id} has not been opened. Send its AccountOpened or OpeningPosition, then replay the "
            "dead letter.",
            "account_id",
        )


class RetryableError(ReprieveError):
    """Another service (broker, Redis, disk) is away for now."""


class FatalError(ReprieveError):
    """Going on would lose or duplicate something."""


class UsageError(FatalError):
    """A file, setting or flag is at fault; the message says which, where, and the remedy."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line of a file, or a record of a container file, that was refused, and where.

    line: counted from 1; of a container file, the record's number. raw: as it came, empty where it could
    not be told from its neighbours. code, message, field: as in `InvalidEventError`.
    """

    file: str
    line: int
    code: str
    message: str
    field: str | None
    raw: bytes

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message} ({self.code})"


def rejected(file: str, line: int, error: InvalidEventError, raw: bytes) -> Rejected:
    """Return the rejection that an error makes of a line."""
    return Rejected(file, line, error.code, error.message, error.field, raw)
