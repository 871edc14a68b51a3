"""A task that is told to end ends, also where a library loses the first word."""

from __future__ import annotations

import asyncio

from streams.endings import ended


def test_a_task_that_loses_a_cancellation_is_told_again() -> None:
    async def run() -> int:
        lost = 0

        async def goes_on() -> None:
            nonlocal lost
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    lost += 1
                    if lost == 3:
                        raise

        task = asyncio.ensure_future(goes_on())
        await asyncio.sleep(0)
        await ended(task)
        assert task.cancelled()
        return lost

    assert asyncio.run(run()) == 3


def test_a_task_that_fails_as_it_ends_is_over() -> None:
    async def run() -> BaseException | None:
        async def fails() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                raise OSError("the disk is gone")

        task = asyncio.ensure_future(fails())
        await asyncio.sleep(0)
        await ended(task)
        return task.exception()

    assert isinstance(asyncio.run(run()), OSError)
