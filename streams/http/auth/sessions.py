"""Sessions: who signed in, carried by the browser in a cookie that only we can open, with an end however busy it is.

Nothing is kept here but which sessions were signed out, so a restart and a second server with the same keys let people
go on. On a second server a copy of a cookie that was signed out lives until it has been idle for long enough.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web
from msgspec import Struct, convert, to_builtins

from streams.http.auth.cookie_keys import CookieKeys
from streams.http.auth.permissions import Identity

# A cookie is made anew at most this often, in seconds.
_RENEW = 30.0


class Session(Struct, frozen=True):
    """A session. began, seen: seconds since 1970."""

    id: str
    subject: str
    name: str
    roles: tuple[str, ...]
    how: str
    began: float
    seen: float

    def identity(self) -> Identity:
        """Return who signed in."""
        return Identity(self.subject, self.name, frozenset(self.roles), self.how)


class Sessions:
    """Opens, renews and ends sessions. idle, whole: seconds. secure: whether browsers come by TLS."""

    def __init__(
        self, keys: CookieKeys, idle: float, whole: float, *, secure: bool, now: Callable[[], float] = time.time
    ) -> None:
        self._keys, self._idle, self._whole, self._secure, self._now = keys, idle, whole, secure, now
        self._ended: dict[str, float] = {}
        # Browsers take a cookie of this name only from this host, for all of it, by TLS.
        self.cookie = "__Host-reprieve" if secure else "reprieve"

    def begin(self, response: web.StreamResponse, identity: Identity) -> None:
        """Sign somebody in: always a new session, never one that the browser brought."""
        now, roles = self._now(), tuple(sorted(identity.roles))
        new = secrets.token_urlsafe(16)
        self._give(response, Session(new, identity.subject, identity.name, roles, identity.how, now, now))

    def of(self, request: web.Request) -> Session | None:
        """Return the session of a request, None where there is none that still holds."""
        shown = request.cookies.get(self.cookie)
        content: dict[str, Any] | None = self._keys.open("session", shown, self._idle) if shown else None
        if content is None:
            return None
        session, now = convert(content, Session), self._now()
        over = now - session.seen > self._idle or now - session.began > self._whole
        return None if over or session.id in self._ended else session

    def renew(self, response: web.StreamResponse, session: Session) -> None:
        """Note that somebody is still there."""
        if self._now() - session.seen >= min(_RENEW, self._idle / 10):
            parts = to_builtins(session) | {"seen": self._now()}
            self._give(response, convert(parts, Session))

    def end(self, response: web.StreamResponse, session: Session | None) -> None:
        """Sign somebody out, here and in every copy of the cookie."""
        if session is not None:
            now = self._now()
            self._ended = {i: at for i, at in self._ended.items() if now - at <= self._whole}
            self._ended[session.id] = now
        response.del_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="Strict")

    def _give(self, response: web.StreamResponse, session: Session) -> None:
        closed = self._keys.close("session", to_builtins(session))
        response.set_cookie(self.cookie, closed, path="/", httponly=True, secure=self._secure, samesite="Strict")
