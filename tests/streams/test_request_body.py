"""A body that does not come, or whose client leaves."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from streams.http.server import ClientDisconnectedError, read_body

BEGUN = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{"


@pytest.mark.parametrize("asked", ["before", "after"])
@pytest.mark.parametrize("leaves", [True, False])
def test_a_body_is_read_in_time_or_told_why_not(asked: str, leaves: bool) -> None:
    async def run() -> BaseException:
        met: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        begun, left = asyncio.Event(), asyncio.Event()

        async def handler(request: web.Request) -> web.Response:
            begun.set()
            if asked == "after":
                await left.wait()
                while leaves and request.transport is not None:
                    await asyncio.sleep(0)
            try:
                await read_body(request, 30.0 if leaves else 0.1)
            except BaseException as error:
                met.set_result(error)
            return web.Response()

        app = web.Application()
        app.add_routes([web.post("/", handler)])
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
            writer.write(BEGUN)
            await begun.wait()
            if leaves:
                writer.close()
                await writer.wait_closed()
            left.set()
            found = await asyncio.wait_for(met, 120)
            writer.close()
            return found
        finally:
            await runner.cleanup()

    assert type(asyncio.run(run())) is (ClientDisconnectedError if leaves else TimeoutError)
