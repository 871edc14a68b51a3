"""Processes of `reprieve` that a test kills, and a receiver in a thread that stays."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook


class Process:
    """One command of `reprieve`, started again after each kill. Its log stays in one file."""

    def __init__(self, log: Path, arguments: list[str], environment: Mapping[str, str]) -> None:
        self._log, self._arguments, self._environment = log, arguments, environment
        self._running: subprocess.Popen[bytes] | None = None
        # A test that fails in the middle leaves it behind.
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self._running is not None and self._running.poll() is None:
            self.kill()

    def start(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("REPRIEVE_")}
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", *self._arguments],
                stdout=log,
                stderr=log,
                env={**kept, **self._environment},
                cwd=Path(__file__).parents[2],
            )

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._running is not None
        self._running.send_signal(signal.SIGKILL)
        self._running.wait()

    def end(self) -> int:
        """Ask it to end; returns its exit code."""
        assert self._running is not None
        self._running.terminate()
        return self._running.wait(120)

    def assert_at_work(self) -> None:
        assert self._running is not None
        assert self._running.poll() is None, self.said()[-3000:]

    def said(self) -> str:
        return self._log.read_text("utf-8")


class Endpoint:
    """A receiver in a thread of its own, which refuses, loses and delays by a seed. Verifies every call.

    calls: by id, the bodies that came. order: by borrower, the ids that were answered with 200.
    """

    def __init__(self, secret: str, seed: int) -> None:
        self._webhook = Webhook(secret)
        self._random = random.Random(seed)
        self.calls: Counter[str] = Counter()
        self.bodies: dict[str, bytes] = {}
        self.answered: list[str] = []
        self.faults: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            self._webhook.verify(body, dict(request.headers))
        except Exception as error:
            self.faults.append(repr(error))
        name = request.headers["webhook-id"]
        self.calls[name] += 1
        if self.bodies.setdefault(name, body) != body:
            self.faults.append(f"{name} came with another body")
        fate = self._random.random()
        if fate < 0.1:
            return web.Response(status=500)
        if fate < 0.2:
            await asyncio.sleep(0.05)
        if fate > 0.95 and request.transport is not None:
            # It was taken, but nobody hears of it.
            request.transport.abort()
            return web.Response()
        self.answered.append(name)
        return web.Response()

    @contextmanager
    def served(self) -> Iterator[str]:
        from tests.support.webhook_receivers import served

        found, began, over = [""], threading.Event(), threading.Event()

        async def run() -> None:
            async with served(self.handle) as url:
                found[0] = url
                began.set()
                await asyncio.to_thread(over.wait)

        thread = threading.Thread(target=asyncio.run, args=(run(),))
        thread.start()
        assert began.wait(120)
        try:
            yield found[0]
        finally:
            over.set()
            thread.join()


def config(path: Path, **groups: Mapping[str, Any]) -> Path:
    """Write a settings file. A number or a string is the same in JSON and in TOML."""
    text = "".join(
        f"[{group}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        for group, values in groups.items()
    )
    path.write_text(text, "utf-8")
    return path


def wait(condition: Callable[[], bool], what: str, process: Process | None = None, patience: float = 60) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        if process is not None:
            process.assert_at_work()
        log = process.said()[-3000:] if process is not None else ""
        assert time.monotonic() < deadline, f"{what} did not come\n{log}"
        time.sleep(0.02)
