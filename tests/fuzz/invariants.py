"""What a target promises of any input. `BrokenInvariantError` is a finding: an answer that no document allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Seconds of CPU that one input may take, a hundred times what the dearest one of them needs.
MOST_SECONDS = 5.0
# Inputs longer than this are for the tests of single limits: here they would only slow the search.
MOST_BYTES = 16_384


class BrokenInvariantError(AssertionError):
    """An oracle does not ensure."""


@dataclass(frozen=True, slots=True)
class Target:
    """One door: its name, inputs to begin with, and what is tried with each input.

    attempt: raises anything but what the documents allow where there is a finding.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    attempt: Callable[[bytes], None]


def ensure(promise: bool, what: str) -> None:
    """Raise BrokenInvariantError where a promise is not kept."""
    if not promise:
        raise BrokenInvariantError(what)


@contextmanager
def bounded(seconds: float = MOST_SECONDS) -> Iterator[None]:
    """Raise BrokenInvariantError where the block takes more CPU time than an input may."""
    began = time.process_time()
    yield
    took = time.process_time() - began
    if took > seconds:
        raise BrokenInvariantError(f"it took {took:.1f} s of CPU time, more than {seconds} s")


def named(error: BaseException) -> str:
    """Return what tells one finding from another: the error's kind and the line of ours that raised it."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    what = str(error) if isinstance(error, BrokenInvariantError) else ""
    return " ".join(filter(None, (type(error).__name__, what[:120], "at", " < ".join(reversed(places[-3:])))))
