"""What may be told of an error that nobody expected: its kind and its place, never its words.

Words of an error quote what the code held: a name, an income, a line of a file. Our own errors are sentences that are
written to quote nothing personal, and those of Kafka's client name brokers, topics and codes.
"""

from __future__ import annotations

import os
import sqlite3
import sysconfig
import traceback
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePath

from schemas.errors import ReprieveError

# Frames of an error that are named, innermost first, and errors that led to it.
_FRAMES, _CAUSES = 12, 5
# Where our modules are, and others.
_HOUSE = str(PurePath(__file__).parents[1])
_LIBRARIES = sorted({sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")}, key=len, reverse=True)
# Packages whose errors may be repeated: they are made of addresses, topics and codes.
_PLAIN = ("aiokafka.errors",)


def redacted(error: BaseException) -> str:
    """Return an error's kind and place, and that its words are left out."""
    return f"{describe_error(error)} (its words are left out, since they may be personal)"


def describe_error(error: BaseException) -> str:
    """Return an error in words that hold nothing personal."""
    where = None if _is_plain(error) else next(places(error), None)
    return _named(error) if where is None else f"{_named(error)} in {where}"


def _is_plain(error: BaseException) -> bool:
    return isinstance(error, ReprieveError | OSError) or type(error).__module__.startswith(_PLAIN)


def _named(error: BaseException) -> str:
    """Return an error's kind, with what may be repeated of its words."""
    kind = type(error).__name__
    if isinstance(error, ReprieveError):
        return str(error)
    if type(error).__module__.startswith(_PLAIN):
        return f"{kind}: {error}"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return f"{kind}: {os.strerror(error.errno)}"
    if isinstance(error, sqlite3.Error):
        return f"{kind}: {getattr(error, 'sqlite_errorname', 'unknown')}"
    return kind


def places(error: BaseException) -> Iterator[str]:
    """Yield where an error was raised and by way of what, innermost first: file, line and function."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        yield f"{short(frame.f_code.co_filename)}:{line} {frame.f_code.co_name}"


def error_fields(error: BaseException) -> dict[str, object]:
    """Return an error as fields of a line of a log: what, where, and what it came of."""
    found: dict[str, object] = {"error": _named(error), "at": list(islice(places(error), _FRAMES))}
    causes = [describe_error(cause) for cause in _led_to(error)]
    return found | ({"because": causes} if causes else {})


def short(file: str) -> str:
    """Return the end of a file's path, which says which module it is on every machine alike."""
    for above in (_HOUSE, *_LIBRARIES):
        if file.startswith(above):
            return file[len(above) :].lstrip("/")
    return "/".join(PurePath(file).parts[-3:])


def _led_to(error: BaseException) -> Iterator[BaseException]:
    for _ in range(_CAUSES):
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None:
            return
        yield cause
        error = cause
