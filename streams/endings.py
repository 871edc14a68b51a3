"""Ends tasks for certain, and a process when it is told to."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

# Seconds after which a task that goes on is told again.
_AGAIN = 0.5


async def ended(task: asyncio.Future[Any]) -> None:
    """Cancel a task until it is over; what it raises stays in it.

    Once is not enough: before Python 3.12, `asyncio.wait_for`, which aiokafka's requests are made of, loses a
    cancellation that comes as its answer comes, and the task goes on.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_AGAIN)
    if not task.cancelled():
        task.exception()


async def told_to_end() -> None:
    """Wait until the process is told to end, by SIGTERM or Ctrl-C."""
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    await over.wait()
