"""Stands before an aiohttp app: who asks, whether he may, and how often. What the table does not name is refused.

`request[IDENTITY]` is who asks, for handlers and for the audit log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Counter

from schemas.errors import RetryableError
from streams.http.auth.cookie_keys import CookieKeys
from streams.http.auth.oidc import Issuer, SignInRefusedError
from streams.http.auth.permissions import IDENTITY, OPEN, PUBLIC, SOMEBODY_HERE, Identity, Permissions
from streams.http.auth.sessions import Session, Sessions
from streams.http.auth.tokens import Tokens
from streams.http.rate_limiter import RateLimiter
from streams.http.request_origin import SAFE_METHODS, client_address, is_same_origin, networks
from streams.http.server import read_body
from streams.settings import AccessSettings

# No request of a page needs more.
BODY_BYTES = 64 * 1024
_OTHER_SITE = (
    "This was not asked by a page of the console: neither Sec-Fetch-Site nor Origin says so. A script sends the header "
    "Origin with the console's own address, or Authorization with its token."
)
REFUSED = Counter("reprieve_access_refused", "Requests that were not let in, by why.", ["why"])
log = structlog.get_logger("reprieve.access")


class Authenticator:
    """Guards one app.

    secure: whether browsers come by TLS, ours or a proxy's. now: seconds since 1970. body_seconds: for a body to come.
    """

    def __init__(
        self,
        settings: AccessSettings,
        rights: Permissions,
        *,
        secure: bool = False,
        now: Callable[[], float] = time.time,
        body_seconds: float = 10.0,
    ) -> None:
        self.settings, self.rights, self.secure, self.body_seconds = settings, rights, secure, body_seconds
        self.tokens = None if settings.tokens_file is None else Tokens(settings.tokens_file, now)
        self.issuer = None if settings.oidc_issuer is None else Issuer(settings, now)
        self.keys = CookieKeys(settings.keys_file, now)
        self.sessions = Sessions(
            self.keys, settings.idle_minutes * 60, settings.session_hours * 3_600, secure=secure, now=now
        )
        self.failures = RateLimiter(settings.failures_per_quarter_hour, 900)
        self._requests = RateLimiter(settings.requests_per_minute, 60)
        self.proxies = networks(settings.trusted_proxies) if settings.behind_proxy else []

    async def running(self, app: web.Application) -> AsyncIterator[None]:
        """See that keys and tokens can be read before anybody asks. For `app.cleanup_ctx`."""
        self.keys.open("", "", 0)
        if self.tokens is not None:
            self.tokens.all()
        yield
        if self.issuer is not None:
            await self.issuer.close()

    @property
    def middleware(self) -> Middleware:
        """What has to stand before every handler."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._guard(request, handler)

        return guard

    def address(self, request: web.Request) -> str:
        """Return the address of who asks."""
        return client_address(request, self.proxies) or ""

    def of_our_own_page(self, request: web.Request, *, ambient: bool) -> bool:
        """Say whether no page of another site makes a browser ask this."""
        return is_same_origin(request, self.settings.public_url, ambient=ambient)

    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource is None:
            return await handler(request)
        needed = self.rights.needed(request.method, resource.canonical)
        if needed is None:
            raise refused("no_rule", 403, f"Nobody may {request.method} {resource.canonical}: no rule says who.")
        if needed == PUBLIC and request.method in SAFE_METHODS:
            return await handler(request)
        address = client_address(request, self.proxies)
        if address is None:
            raise refused("past_proxy", 403, "Come by the proxy, and by https.")
        self._count(f"address:{address}")
        session = self.sessions.of(request)
        if request.method not in SAFE_METHODS:
            # Where nobody is asked who he is, any browser on this machine may do all, like one with a session.
            by_itself = session is not None or not self.settings.configured
            ambient = by_itself and "Authorization" not in request.headers
            if not self.of_our_own_page(request, ambient=ambient):
                raise refused("other_site", 403, _OTHER_SITE)
            await _body(request, self.body_seconds)
        if needed in OPEN:
            return await handler(request)
        identity = await self.identity(request, session)
        if identity is None:
            return self._unknown(request)
        self._count(f"who:{identity.subject}")
        request[IDENTITY] = identity
        if not self.rights.may(identity, needed):
            raise refused("not_allowed", 403, f"This asks for the right {needed}, which you do not have.")
        return await self._answer(request, handler, session)

    async def identity(self, request: web.Request, session: Session | None) -> Identity | None:
        """Return who asks, None where nobody knows. What is shown in a header counts alone, even if it is wrong."""
        if not self.settings.configured:
            return SOMEBODY_HERE
        kind, _, shown = request.headers.get("Authorization", "").partition(" ")
        if kind:
            return await self._bearer(request, shown.strip()) if kind.lower() == "bearer" else None
        if session is None:
            return None
        if session.how == "token":
            # The token may have been revoked meanwhile, or have ended.
            held = self.tokens.valid(session.subject.removeprefix("token:")) if self.tokens is not None else None
            return None if held is None else held.identity()
        return None if self.issuer is None else session.identity()

    async def _bearer(self, request: web.Request, shown: str) -> Identity | None:
        address = self.address(request)
        if wait := self.failures.wait(address):
            raise too_many(wait)
        held = None if self.tokens is None else self.tokens.holder(shown)
        if held is not None:
            return held.identity()
        if self.issuer is not None and shown.count(".") == 2:
            try:
                return await self.issuer.bearer(shown)
            except SignInRefusedError as error:
                log.warning("a token was refused", why=str(error))
            except RetryableError as error:
                raise web.HTTPServiceUnavailable(text=f"{error} Try again later.\n") from error
        self.failures.take(address)
        return None

    def _unknown(self, request: web.Request) -> web.StreamResponse:
        REFUSED.labels(why="unknown").inc()
        if request.method in SAFE_METHODS and "text/html" in request.headers.get("Accept", ""):
            return web.Response(status=303, headers={"Location": "/login"})
        headers = {"WWW-Authenticate": "Bearer"}
        return web.Response(status=401, text="Sign in, or show a token that still holds.\n", headers=headers)

    async def _answer(self, request: web.Request, handler: Handler, session: Session | None) -> web.StreamResponse:
        if not self.settings.configured:
            return await handler(request)
        resource = request.match_info.route.resource
        if resource is not None and resource.canonical in self.rights.background:
            # Whoever is signed out or loses a right meanwhile is shown no more than this.
            async with asyncio.timeout(self.settings.recheck_seconds):
                return await handler(request)
        response = await handler(request)
        if session is not None and "Authorization" not in request.headers and not response.prepared:
            self.sessions.renew(response, session)
        return response

    def _count(self, key: str) -> None:
        if self.settings.configured and (wait := self._requests.take(key)):
            raise too_many(wait)


async def _body(request: web.Request, seconds: float) -> None:
    """Read a body, so that no handler waits for one."""
    try:
        await read_body(request, seconds)
    except TimeoutError as error:
        late = "The body did not come in time.\n"
        raise web.HTTPRequestTimeout(text=late, headers={"Connection": "close"}) from error


def refused(why: str, status: int, text: str) -> web.HTTPException:
    """Return a refusal, counted."""
    REFUSED.labels(why=why).inc()
    kinds: dict[int, type[web.HTTPException]] = {403: web.HTTPForbidden, 429: web.HTTPTooManyRequests}
    return kinds[status](text=text + "\n")


def too_many(wait: int) -> web.HTTPException:
    """Return a refusal that says when to come again."""
    found = refused("too_many", 429, f"Too many requests. Come again in {wait} seconds.")
    found.headers["Retry-After"] = str(wait)
    return found
