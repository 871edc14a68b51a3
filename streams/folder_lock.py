"""A data directory belongs to one process."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from schemas.errors import FatalError
from streams.storage_faults import fault_of


def lock_folder(folder: Path, remedy: str) -> IO[str]:
    """Take a folder for this process alone, made where it is missing, until what is returned is closed.

    Raises FatalError where another process has it, and where it cannot be written; `remedy` says what to do besides
    stopping that one.
    """
    try:
        return _locked(folder, remedy)
    except OSError as error:
        raise FatalError(
            f"The data directory cannot be taken. {fault_of(error, folder).message}, or {remedy}."
        ) from error


def _locked(folder: Path, remedy: str) -> IO[str]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder / "lock", "a+")  # noqa: SIM115 (held open by whoever took the folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "another process"
        lock.close()
        raise FatalError(f"The data directory {folder} is in use by {owner}. Stop that one, or {remedy}.") from None
    try:
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
    except BaseException:
        # It writes once more, and gives the file back whatever comes of that.
        with suppress(OSError):
            lock.close()
        raise
    return lock
