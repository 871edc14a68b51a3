"""The body of a request, read within a time."""

from __future__ import annotations

import asyncio

from aiohttp import web


class ClientDisconnectedError(ConnectionResetError):
    """The connection ended before the body was there; nobody waits for an answer."""


async def read_body(request: web.Request, seconds: float) -> bytes:
    """Return a request's body.

    Raises TimeoutError where it does not come within `seconds`, ClientDisconnectedError where the client left.
    """
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except (ConnectionError, RuntimeError) as error:
        # aiohttp raises RuntimeError where a connection ended before its body was asked for.
        if request.transport is not None:
            raise
        raise ClientDisconnectedError("the client left before its body was there") from error
