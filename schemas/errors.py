"""What can go wrong, in one tree.

ReprieveError
├── BadInput            what came in is wrong: it is dead-lettered, the stream goes on
│   └── UnknownAccount  may only be early: it waits for its account, then is dead-lettered
├── Transient           a neighbour is away: try again with growing pauses
└── Fatal               going on would be wrong: the process stops with a sentence
    └── WrongUse        a command, file or setting is at fault (exit code 2 where it is a command's use)
"""

from __future__ import annotations


class ReprieveError(Exception):
    """Base of all that Reprieve raises on purpose."""


class BadInput(ReprieveError):
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


class UnknownAccount(BadInput):
    """An event for an account that nobody has opened yet."""

    def __init__(self, account_id: str) -> None:
        super().__init__(
            "unknown_account",
            f"Account {account_id} has not been opened. Send its AccountOpened, then replay the dead letter.",
            "account_id",
        )


class Transient(ReprieveError):
    """A neighbour (broker, Redis, disk) is away for now."""


class Fatal(ReprieveError):
    """Going on would lose or double something."""


class WrongUse(Fatal):
    """A file, setting or flag is at fault; the message says which, where, and the remedy."""
