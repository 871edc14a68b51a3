"""One call of a partner's endpoint, and what its answer means. Whatever the endpoint does, the call ends in time.

No redirect is followed, no cookie kept, no proxy of the environment asked, and of an answer's body nothing is used: it
is read only where it is short, so that the connection can serve again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from importlib.metadata import version
from typing import Literal

import aiohttp
from msgspec import Struct

from streams.partners.network import Resolver, open_socket
from streams.partners.partner_registry import Receives
from streams.settings import WebhookSettings

Outcome = Literal["delivered", "gone", "busy", "failed", "unreachable"]
# An answer this short is read to its end.
_SHORT = 4_096


class EndpointAnswer(Struct, frozen=True):
    """What came of a call. why: for people, made of nothing that the endpoint wrote. wait: seconds that it asks for."""

    outcome: Outcome
    why: str = ""
    wait: float = 0.0


class EndpointClient:
    """Calls one endpoint. Use as a context manager, within a running loop."""

    def __init__(self, part: Receives, settings: WebhookSettings, wall: Callable[[], float] = time.time) -> None:
        self._part = part
        self._settings = settings
        self._wall = wall
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> EndpointClient:
        context = ssl.create_default_context(cafile=self._part.ca_file or None)
        connector = aiohttp.TCPConnector(
            limit=self._part.concurrent,
            resolver=Resolver(self._part.network),
            socket_factory=partial(open_socket, self._part.network),
            ssl=context,
            use_dns_cache=False,
        )
        timeout = aiohttp.ClientTimeout(
            total=self._settings.connect_seconds + self._settings.answer_seconds,
            sock_connect=self._settings.connect_seconds,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": f"reprieve/{version('reprieve')}"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, headers: Mapping[str, str], body: bytes) -> EndpointAnswer:
        """Post a body; returns what came of it."""
        assert self._session is not None
        try:
            response = await self._session.post(
                self._part.url,
                data=body,
                headers={**headers, "content-type": "application/json"},
                allow_redirects=False,
            )
        except TimeoutError:
            return EndpointAnswer("unreachable", "no answer in time")
        except (aiohttp.ClientError, OSError, ValueError, asyncio.IncompleteReadError) as error:
            # The words of an error may hold what the endpoint sent; its kind does not.
            return EndpointAnswer("unreachable", type(error).__name__)
        try:
            return self._meant(response)
        finally:
            await _finish(response)

    def _meant(self, response: aiohttp.ClientResponse) -> EndpointAnswer:
        status = response.status
        if 200 <= status < 300:
            return EndpointAnswer("delivered")
        if status == 410:
            return EndpointAnswer("gone", "HTTP 410")
        wait = self._wait(response.headers.get("retry-after", ""))
        if status in (408, 425, 429) or status >= 500:
            return EndpointAnswer("busy", f"HTTP {status}", wait)
        return EndpointAnswer("failed", f"HTTP {status}", wait)

    def _wait(self, said: str) -> float:
        """Return the seconds that a Retry-After asks for, at most the longest pause; 0 where it makes no sense."""
        seconds = 0.0
        if said.isascii() and said.isdigit():
            seconds = float(said[:12])
        elif said:
            with contextlib.suppress(ValueError, TypeError, OverflowError):
                seconds = parsedate_to_datetime(said).timestamp() - self._wall()
        return min(max(0.0, seconds), self._settings.retry_most_seconds)


async def _finish(response: aiohttp.ClientResponse) -> None:
    """Let the connection go: back where the answer is short and complete, else closed."""
    length = response.content_length
    if length is not None and length <= _SHORT:
        # It may break off or come too late: it has been judged by its status already.
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            await response.read()
    if response.content.at_eof():
        response.release()
    else:
        response.close()
