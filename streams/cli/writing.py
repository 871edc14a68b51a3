"""Files that commands write: as a whole or not at all, and never over what is read."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from schemas.errors import FatalError


@contextmanager
def replacing(path: Path, *, read: Iterable[Path | str | None] = ()) -> Iterator[BinaryIO]:
    """Open a file to be written: it takes the place of an older one when the block ends, and not if it fails.

    read: what the command reads meanwhile; the file must be none of it. What is no ordinary file (a device, a pipe) is
    written as it is.
    Raises UsageError where the file is read too, and FatalError where it cannot be written.
    """
    see_apart(path, read)
    with reporting_write_errors(path):
        if path.exists() and not path.is_file():
            with path.open("wb") as out:
                yield out
            return
        # Behind a link stands the file that is meant.
        place = Path(os.path.realpath(path))
        beside = place.with_name(f".{place.name[:200]}.{os.getpid()}.new")
        try:
            with beside.open("wb") as out:
                yield out
            if place.exists():
                beside.chmod(stat.S_IMODE(place.stat().st_mode))
            beside.replace(place)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)


def write(path: Path, content: bytes, *, read: Iterable[Path | str | None] = ()) -> None:
    """Write a file as a whole. Raises as `replacing` does."""
    with replacing(path, read=read) as out:
        out.write(content)


def see_apart(path: Path, read: Iterable[Path | str | None]) -> None:
    """Raise UsageError where a file that is to be written is one of those that are read (`-` is standard input)."""
    for other in read:
        if other is not None and _same(path, str(other)):
            what = "standard input" if str(other) == "-" else str(other)
            raise click.UsageError(f"{path} would be written over {what}, which is read. Name another file to write.")


@contextmanager
def reporting_write_errors(path: Path) -> Iterator[None]:
    """Raise FatalError with a sentence where the block cannot write a file."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        why = error.strerror or str(error)
        raise FatalError(
            f"{path} cannot be written: {why}. Name another file, make room, or give the right to it."
        ) from error


def _same(path: Path, other: str) -> bool:
    try:
        if other == "-":
            return os.path.samestat(path.stat(), os.fstat(sys.__stdin__.fileno() if sys.__stdin__ else 0))
        return os.path.realpath(path) == os.path.realpath(other) or os.path.samefile(path, other)
    except (OSError, ValueError):
        return False
