"""A task that is told to end ends, also where a library loses the first word; and so does a process."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streams.shutdown import cancel_and_wait


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
        await cancel_and_wait(task)
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
        await cancel_and_wait(task)
        return task.exception()

    assert isinstance(asyncio.run(run()), OSError)


@pytest.mark.parametrize("interrupts", [signal.SIG_DFL, signal.SIG_IGN], ids=["in front", "in the background"])
def test_a_process_ends_on_sigterm_whoever_started_it(
    interrupts: signal.Handlers, repository: Path, tmp_path: Path
) -> None:
    # A script starts what runs in the background with SIGINT ignored.
    start = [sys.executable, "-c", f"import os, signal, sys; signal.signal(signal.SIGINT, {int(interrupts)}); "]
    start[-1] += "os.execv(sys.executable, [sys.executable, '-m', 'streams.cli', *sys.argv[1:]])"
    # It reads its standard input, which brings nothing.
    asked = ["replay", "--input", "/dev/stdin", "--output", str(tmp_path / "said.jsonl")]
    with subprocess.Popen(
        [*start, *asked], cwd=repository, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert _begun(tmp_path / "said.jsonl", process)
            process.terminate()
            assert process.wait(240) == 128 + signal.SIGTERM
        finally:
            process.kill()


def _begun(file: Path, process: subprocess.Popen[str]) -> bool:
    """Wait until a process has begun to write a file, or has ended; returns whether it lives."""
    while process.poll() is None:
        # It stands beside until it is whole.
        if any(file.parent.glob(f".{file.name}.*")):
            return True
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    return False
