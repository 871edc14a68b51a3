"""Ends tasks for certain, and a process when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

# Seconds that a process may take to end once it was told to; what then hangs holds nothing that is not committed.
CLOSING_SECONDS = 15.0
# Seconds of them for what ends by itself, and for what closes after its cancellation.
_GRACE_SECONDS, _CLOSE_SECONDS = 8.0, 2.0
# Seconds after which a task that goes on is told again.
_AGAIN = 0.5


async def cancel_and_wait(task: asyncio.Future[Any]) -> None:
    """Cancel a task until it is over; what it raises stays in it.

    Once is not enough: before Python 3.12, `asyncio.wait_for`, which aiokafka's requests are made of, loses a
    cancellation that comes as its answer comes, and the task goes on.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_AGAIN)
    if not task.cancelled():
        task.exception()


def run_until_signal(work: Coroutine[Any, Any, T], *, graceful: bool = False) -> T:
    """Run a coroutine in a loop of its own, until it returns or the process is told to end (SIGTERM, Ctrl-C).

    Once told, the work is cancelled until it is over, whatever swallows a cancellation on its way; what hangs even
    then, a thread that asks a neighbour among it, ends with the process after CLOSING_SECONDS. graceful: the work sees
    to its end itself (`wait_for_signal`), and is cancelled only where that takes too long.
    Raises KeyboardInterrupt where it was told to end and did not return.
    """
    try:
        return asyncio.run(_until_signal(work, graceful=graceful))
    except _StoppedError:
        raise KeyboardInterrupt from None


class _StoppedError(Exception):
    """The process was told to end, and the work has."""


async def _until_signal(work: Coroutine[Any, Any, T], *, graceful: bool) -> T:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    _over.set(over)

    def tell(number: int, frame: FrameType | None) -> None:
        note_signal(number)
        exit_after_grace(0)
        loop.call_soon_threadsafe(over.set)

    before = _handled(tell)
    task, told = asyncio.ensure_future(work), asyncio.ensure_future(over.wait())
    try:
        await asyncio.wait((task, told), return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and graceful:
            await asyncio.wait((task,), timeout=_GRACE_SECONDS)
        if not task.done():
            task.cancel()
            # What it closes on its way takes a moment, in which it is not cancelled again.
            await asyncio.wait((task,), timeout=_CLOSE_SECONDS)
        await cancel_and_wait(task)
        if task.cancelled() or (over.is_set() and task.exception() is not None):
            raise _StoppedError
        return task.result()
    finally:
        await cancel_and_wait(task)
        await cancel_and_wait(told)
        for number, handler in before.items():
            signal.signal(number, handler)


def _handled(tell: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    """Have signals that end a process tell us; returns who was told before."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    # What a script starts in the background ignores Ctrl-C.
    numbers = [n for n in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(n) is not signal.SIG_IGN]
    return {number: signal.signal(number, tell) for number in numbers}


async def wait_for_signal() -> None:
    """Wait until the process is told to end; within `run_until_signal`."""
    await _over.get().wait()


def exit_after_grace(code: int) -> None:
    """End the process after CLOSING_SECONDS, whatever hangs in it; where it ends before, nothing comes of this."""
    last = threading.Timer(CLOSING_SECONDS, os._exit, [code])
    last.daemon = True
    last.start()
    _timers.append(last)


def finish_undisturbed() -> None:
    """Let a process that ends end its children first: no timer ends it, and further signals are noted only."""
    for timer in _timers:
        timer.cancel()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda one, frame: note_signal(one))


def note_signal(number: int) -> None:
    """Note that a signal told the process to end."""
    _signals.append(number)


def was_terminated() -> bool:
    """Say whether SIGTERM told the process to end."""
    return signal.SIGTERM in _signals


_signals: list[int] = []
_timers: list[threading.Timer] = []
_over: ContextVar[asyncio.Event] = ContextVar("over")
