"""A proxy between workers and brokers, whose connections break when they are told to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from deploy.local.processes import free_port

_CHUNK = 64 * 1024
# With it a closed socket is reset, and what was under way is lost.
_RESET = struct.pack("ii", 1, 0)


class FaultyProxy:
    """Listens on one port for each broker; runs in a thread of its own from entering to leaving."""

    def __init__(self, brokers: int) -> None:
        self.ports = [free_port() for _ in range(brokers)]
        self._targets: Sequence[int] = ()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        # Bytes of answers that still come through before all connections are cut, None for no end.
        self._left: int | None = None

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        self._flows.set()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set_targets(self, targets: Sequence[int]) -> None:
        """Say on which ports of loopback the brokers listen, in the order of `ports`."""
        self._targets = targets

    # -- faults

    def cut(self) -> None:
        """Reset every connection."""
        self._do(self._cut)

    def truncate_after(self, answers: int) -> None:
        """Reset every connection after so many more bytes of answers, in the middle of one as often as not."""

        def begin() -> None:
            self._left = answers

        self._do(begin)

    def hold(self) -> None:
        """Let nothing through; connections stay open."""
        self._do(self._flows.clear)

    def release(self) -> None:
        """Let all through that was held."""
        self._do(self._flows.set)

    def _do(self, fault: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(fault)

    def _cut(self) -> None:
        self._left = None
        for writer in list(self._open):
            _reset(writer)

    # -- what passes

    async def _listen(self) -> None:
        self._servers = [
            await asyncio.start_server(lambda r, w, n=n: self._passing(n, r, w), "127.0.0.1", port)  # type: ignore[misc]
            for n, port in enumerate(self.ports)
        ]

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        self._cut()
        me = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not me]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _passing(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, here = await asyncio.open_connection("127.0.0.1", self._targets[number])
        except OSError:
            _reset(writer)
            return
        both = {writer, here}
        self._open |= both
        try:
            await asyncio.gather(self._pump(reader, here, False), self._pump(there, writer, True))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open -= both
            for end in both:
                _reset(end)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool) -> None:
        while data := await source.read(_CHUNK):
            await self._flows.wait()
            if answers and self._left is not None:
                data = data[: self._left]
                self._left -= len(data)
            sink.write(data)
            await sink.drain()
            if answers and self._left == 0:
                self._cut()
        raise ConnectionResetError("one side has gone")


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
