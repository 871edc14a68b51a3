"""Ends tasks for certain."""

from __future__ import annotations

import asyncio
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
