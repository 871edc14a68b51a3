"""What an error of a store's files means: of the operating system, of RocksDB, or of SQLite.

A full disk, a missing right or a lack of descriptors says nothing of what the files hold. Only damage is a reason to
throw a copy away and to make it anew; everything else leaves the files as they are and says what to do.
"""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from schemas.errors import FatalError


class Cause(StrEnum):
    """Why files cannot be used; the word in logs."""

    FULL = "disk_full"
    TOO_LARGE = "file_too_large"
    DESCRIPTORS = "no_descriptors"
    DENIED = "no_permission"
    READ_ONLY = "read_only"
    IN_USE = "in_use"
    FAILING = "disk_failing"
    DAMAGED = "damaged"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class StorageFault:
    """cause: of a kind. message: what is wrong where, and what to do, without what becomes of the data."""

    cause: Cause
    message: str


# RocksDB passes on what the operating system says, in its words only; SQLite has codes of its own.
_BY_ERRNO = {
    errno.ENOSPC: Cause.FULL,
    errno.EDQUOT: Cause.FULL,
    errno.EFBIG: Cause.TOO_LARGE,
    errno.EMFILE: Cause.DESCRIPTORS,
    errno.ENFILE: Cause.DESCRIPTORS,
    errno.EACCES: Cause.DENIED,
    errno.EPERM: Cause.DENIED,
    errno.EROFS: Cause.READ_ONLY,
    errno.EIO: Cause.FAILING,
}
_BY_TEXT = {os.strerror(number): cause for number, cause in _BY_ERRNO.items()}
# With which RocksDB refuses a folder that another process, or another part of this one, has open.
_LOCKED = ("While lock file", "lock hold by current process")
_BY_SQLITE = {
    sqlite3.SQLITE_FULL: Cause.FULL,
    sqlite3.SQLITE_READONLY: Cause.DENIED,
    sqlite3.SQLITE_PERM: Cause.DENIED,
    sqlite3.SQLITE_BUSY: Cause.IN_USE,
    sqlite3.SQLITE_LOCKED: Cause.IN_USE,
    sqlite3.SQLITE_IOERR: Cause.FAILING,
    sqlite3.SQLITE_CORRUPT: Cause.DAMAGED,
    sqlite3.SQLITE_NOTADB: Cause.DAMAGED,
}
# Those of which SQLite does not say why: the operating system is asked once more.
_PROBED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM)
# Files that SQLite has open for a database: itself, the write-ahead log and its index; and one for room.
_FILES = 4
# Bytes that are written to see whether there is room.
_ROOM = 64 * 1024


def fault_of(error: BaseException, path: Path) -> StorageFault:
    """Return what an error with the files at a path means. path: a database's file, or a store's folder."""
    cause = _of_sqlite(error, path) if isinstance(error, sqlite3.Error) else _of_system(error, path)
    return StorageFault(cause, _message(cause, path, error))


class StorageError(FatalError):
    """A database's file cannot be used."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@contextmanager
def faults_of(path: Path, damaged: str, otherwise: str) -> Iterator[None]:
    """Raise what SQLite raises of a database's file as StorageError. Errors of statements are passed on as they are.

    damaged, otherwise: what to do besides, behind the message of damage, and behind that of all else.
    """
    try:
        yield
    except sqlite3.Error as error:
        fault = fault_of(error, path)
        if fault.cause is Cause.UNKNOWN:
            raise
        raise StorageError(
            fault.cause, f"{fault.message}{damaged if fault.cause is Cause.DAMAGED else otherwise}"
        ) from error


def room_for(path: Path, size: int = _ROOM) -> bool:
    """Say whether the file at a path, and others beside it, can be opened and written now, with so many bytes."""
    return _probe(path, size) is None


def mark_damaged(path: Path) -> None:
    """Note that a copy is damaged, so that the next start makes it anew: an opening alone would not see it."""
    with suppress(OSError):
        _mark(path).touch()


def is_marked(path: Path) -> bool:
    """Say whether damage was found in a copy while it was in use."""
    return _mark(path).exists()


def _mark(path: Path) -> Path:
    return path / "DAMAGED" if path.is_dir() else path.with_name(f"{path.name}-damaged")


def _of_system(error: BaseException, path: Path) -> Cause:
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        return _BY_ERRNO[error.errno]
    # A path may have any words.
    text = str(error).replace(str(path), "")
    # Damage that RocksDB suspects because a file cannot be opened or written is none.
    for words, cause in _BY_TEXT.items():
        if words in text:
            return cause
    if any(words in text for words in _LOCKED):
        return Cause.IN_USE
    missing = os.strerror(errno.ENOENT) in text and path.is_dir()
    return Cause.DAMAGED if "Corruption" in text or missing else Cause.UNKNOWN


def _of_sqlite(error: sqlite3.Error, path: Path) -> Cause:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    found = _probe(path) if code in _PROBED else None
    return found or _BY_SQLITE.get(code, Cause.UNKNOWN)


def _probe(path: Path, size: int = _ROOM) -> Cause | None:
    """Return what the operating system says when a database's file, and new ones beside it, are opened and written."""
    try:
        with ExitStack() as stack:
            for _ in range(_FILES):
                held = os.open(path, os.O_RDWR) if path.exists() else os.open(path.parent, os.O_RDONLY)
                stack.callback(os.close, held)
            with tempfile.TemporaryFile(dir=path.parent) as file:
                file.write(bytes(size))
    except OSError as error:
        return _BY_ERRNO.get(error.errno or 0)
    return None


# What is wrong, and what to do.
_MESSAGES = {
    Cause.FULL: "The disk of {path} is full ({error}). Make room",
    Cause.TOO_LARGE: "{path} may not grow any further ({error}). Raise the limit of a file's size (`ulimit -f`)",
    Cause.DESCRIPTORS: "The process has no file descriptor left for {path} ({error}); it may have {most}. Raise the "
    "limit (`ulimit -n`, LimitNOFILE of a unit)",
    Cause.DENIED: "User {user} may not use {path} ({error}). Give them the right to read and write it",
    Cause.READ_ONLY: "The file system of {path} is read-only ({error}). Mount it to be written, and see why it is not",
    Cause.IN_USE: "{path} is in use by another process ({error}). Stop that one",
    Cause.FAILING: "The disk of {path} fails ({error}). See to the disk (`dmesg`, SMART)",
    Cause.DAMAGED: "{path} is damaged ({error})",
    Cause.UNKNOWN: "{path} cannot be used ({error}). See to its folder and its disk",
}


def _message(cause: Cause, path: Path, told: BaseException) -> str:
    error, most = " ".join(str(told).split()), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MESSAGES[cause].format(path=path, error=error, most=most, user=os.geteuid())
