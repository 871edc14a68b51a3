"""Raises a marked error everywhere a process can, and logs a marked value in every way that libraries do.

Run as a program: level, form, and the mark. What it prints is looked at by whoever runs it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import structlog

from schemas.errors import FatalError
from streams.logs import set_up_logging

LEVEL, FORM, MARK = sys.argv[1], sys.argv[2], sys.argv[3]


def fails(mark: str = MARK) -> None:
    """Raise errors that led to one another, each with a mark in its words and in a local variable."""
    income = f"income {mark}"
    try:
        try:
            raise KeyError(income)
        except KeyError as error:
            raise ValueError(f"cannot parse {mark}") from error
    except ValueError as error:
        error.add_note(mark)
        raise RuntimeError(income)  # noqa: B904 (it comes while another is handled)


class Odd:
    """Says what it holds wherever it is shown."""

    def __repr__(self) -> str:
        return MARK

    def __str__(self) -> str:
        return MARK

    def __del__(self) -> None:
        fails()


class Unprintable:
    """Fails where it is shown, with a mark."""

    def __repr__(self) -> str:
        raise ValueError(MARK)

    __str__ = __repr__


def caught(act: Callable[[], Any]) -> BaseException:
    """Return what something raises."""
    try:
        act()
    except Exception as error:
        return error
    raise AssertionError


def by_libraries() -> None:
    """Log as libraries do."""
    for name in ("aiohttp.server", "aiokafka.producer.producer", "asyncio", "faust.app.base", "mode.services", "x.y"):
        log = logging.getLogger(name)
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
            log.log(level, f"put together: {MARK}")
            log.log(level, "filled in: %s", MARK + " with spaces")
            log.log(level, "filled in: %r %s", {"phone": MARK}, MARK.encode())
            log.log(level, "%(phone)s", {"phone": MARK})
            log.log(level, MARK)
            log.log(level, {"phone": MARK})
            log.log(level, "%s and %d", MARK + " or", Odd)
            log.log(level, "%s", Unprintable())
            log.log(level, "%s", ValueError(MARK))
            log.log(level, "with what is on the stack", exc_info=caught(fails), stack_info=True)
            log.log(level, "extra", extra={"phone": MARK})
        try:
            fails()
        except RuntimeError:
            log.exception("of an error: %s", sys.exc_info()[1])


def by_us() -> None:
    """Log as we do."""
    log = structlog.get_logger("streams.x")
    for tell in (log.debug, log.info, log.warning, log.error, log.critical, log.exception):
        try:
            fails()
        except RuntimeError as error:
            tell("ours", error=error, value=MARK.encode(), exc_info=True)
            tell("ours", exc_info=error, stack_info=True)
            tell("ours", exc_info=sys.exc_info())
    log.error("ours", error=FatalError("a sentence of ours"))


async def in_a_loop() -> None:
    """Fail in callbacks, in tasks that nobody asks, and in generators that nobody closes."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.call_soon(fails, MARK)

    async def failing(mark: str) -> None:
        fails(mark)

    async def generator() -> Any:
        try:
            yield MARK
        finally:
            fails()

    task = asyncio.create_task(failing(MARK), name=MARK)
    await asyncio.sleep(0.01)
    del task
    left = generator()
    await left.__anext__()
    del left
    loop.call_exception_handler({"message": MARK, "exception": caught(fails), "phone": MARK, "handle": Odd()})
    loop.call_soon(time.sleep, 0.15)
    await asyncio.sleep(0.01)
    gc.collect()


def main() -> None:
    """Fail in every way, at last for good."""
    set_up_logging(LEVEL, FORM)
    by_libraries()
    by_us()
    warnings.simplefilter("always")
    warnings.warn(f"{MARK} is deprecated", DeprecationWarning, stacklevel=1)
    asyncio.run(in_a_loop())
    thread = threading.Thread(target=fails, name="a-thread")
    thread.start()
    thread.join()
    odd = Odd()
    del odd
    print("all done", file=sys.stderr)
    fails()


if __name__ == "__main__":
    main()
