"""The pages by which people sign in and out, and what a page may ask of who is signed in."""

from __future__ import annotations

from typing import Any

import structlog
from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from msgspec import convert, json, to_builtins

from schemas.errors import RetryableError
from streams.http.auth.middleware import REFUSED, Authenticator, too_many
from streams.http.auth.oidc import Leaving, SignInRefusedError
from streams.http.auth.permissions import ANYBODY, IDENTITY, LOGIN, Identity

# What an app's table must say of these routes.
LOGIN_PERMISSIONS = {
    ("GET", "/login"): LOGIN,
    ("POST", "/login"): LOGIN,
    ("GET", "/login/issuer"): LOGIN,
    ("GET", "/login/back"): LOGIN,
    ("POST", "/logout"): LOGIN,
    ("GET", "/api/me"): ANYBODY,
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
}
# Seconds that signing in at the issuer may take.
_AWAY = 600
_PAGES = Environment(
    loader=PackageLoader("streams", "pages"), undefined=StrictUndefined, autoescape=select_autoescape(["html"])
)
log = structlog.get_logger("reprieve.access")


class LoginRoutes:
    """The login routes of a guarded app."""

    def __init__(self, access: Authenticator) -> None:
        self._access = access
        # It must come along when the issuer, another site, sends the browser back.
        self._cookie = "__Host-reprieve-leaving" if access.secure else "reprieve-leaving"

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add."""
        return [
            web.get("/login", self._login_page),
            web.post("/login", self._token_login),
            web.get("/login/issuer", self._redirect_to_issuer),
            web.get("/login/back", self._callback),
            web.post("/logout", self._sign_out),
            web.get("/api/me", self._me),
        ]

    async def _login_page(self, request: web.Request) -> web.Response:
        return self._shown()

    async def _token_login(self, request: web.Request) -> web.Response:
        access, address = self._access, self._access.address(request)
        if access.tokens is None:
            raise web.HTTPNotFound(text="Nobody signs in with a token here.\n")
        if wait := access.failures.wait(address):
            raise too_many(wait)
        if request.content_type != "application/x-www-form-urlencoded":
            raise web.HTTPUnsupportedMediaType(text="Send the form as the page does.\n")
        held = access.tokens.holder(str((await request.post()).get("token", "")).strip())
        if held is None:
            access.failures.take(address)
            return self._refused(
                "This token is not known, was revoked, or has ended.", "此令牌无效、已撤销或已过期。", 401
            )
        return self._sign_in(held.identity(), web.Response(status=303, headers={"Location": "/"}))

    async def _redirect_to_issuer(self, request: web.Request) -> web.Response:
        access = self._access
        if access.issuer is None:
            raise web.HTTPNotFound(text="Nobody signs in at an issuer here.\n")
        try:
            url, leaving = await access.issuer.leave(self._callback_url())
        except (RetryableError, SignInRefusedError) as error:
            return self._issuer_unavailable(error)
        response = web.Response(status=303, headers={"Location": url})
        closed = access.keys.close("leaving", to_builtins(leaving))
        response.set_cookie(
            self._cookie, closed, max_age=_AWAY, path="/", httponly=True, secure=access.secure, samesite="Lax"
        )
        return response

    async def _callback(self, request: web.Request) -> web.Response:
        access, address = self._access, self._access.address(request)
        if access.issuer is None:
            raise web.HTTPNotFound(text="Nobody signs in at an issuer here.\n")
        if wait := access.failures.wait(address):
            raise too_many(wait)
        left = access.keys.open("leaving", request.cookies.get(self._cookie, ""), _AWAY)
        leaving = None if left is None else convert(left, Leaving)
        try:
            # A page of another site must not sign anybody in as somebody else.
            if leaving is None or request.query.get("state") != leaving.state:
                raise SignInRefusedError("This browser did not ask to sign in, or too long ago.")
            if "code" not in request.query:
                raise SignInRefusedError("The issuer did not sign anybody in.")
            identity = await access.issuer.arrive(request.query["code"], leaving, self._callback_url())
        except SignInRefusedError as error:
            access.failures.take(address)
            log.warning("a sign-in was refused", why=str(error))
            return self._refused(str(error), "登录未成功，请重试。", 401)
        except RetryableError as error:
            return self._issuer_unavailable(error)
        if not identity.roles:
            return self._refused("You have no role here. Ask for one.", "您没有任何角色，请申请。", 403)
        # A cookie for our own pages alone does not go along where another site sent the browser, so the page goes on
        # by itself instead of being sent on.
        response = self._sign_in(
            identity, web.Response(text=_PAGES.get_template("onward.html").render(), content_type="text/html")
        )
        response.del_cookie(self._cookie, path="/", secure=access.secure, httponly=True, samesite="Lax")
        return response

    async def _sign_out(self, request: web.Request) -> web.Response:
        response = web.Response(status=303, headers={"Location": "/login"})
        self._access.sessions.end(response, self._access.sessions.of(request))
        return response

    async def _me(self, request: web.Request) -> web.Response:
        identity: Identity = request[IDENTITY]
        told: dict[str, Any] = {
            "name": identity.name,
            "how": identity.how,
            "roles": sorted(identity.roles),
            "views": sorted(
                v for v, needed in self._access.rights.views.items() if self._access.rights.may(identity, needed)
            ),
            "permissions": self._access.rights.permissions(identity),
        }
        return web.Response(body=json.encode(told), content_type="application/json")

    def _sign_in(self, identity: Identity, response: web.Response) -> web.Response:
        self._access.sessions.begin(response, identity)
        log.info("signed in", who=identity.subject, roles=sorted(identity.roles))
        response.headers.update(_HEADERS)
        return response

    def _callback_url(self) -> str:
        return (self._access.settings.public_url or "").rstrip("/") + "/login/back"

    def _issuer_unavailable(self, error: Exception) -> web.Response:
        log.warning("the issuer cannot be used", why=str(error))
        return self._refused(
            "Nobody can sign in at the issuer now. Try again later.", "暂时无法登录，请稍后再试。", 503
        )

    def _refused(self, english: str, chinese: str, status: int) -> web.Response:
        REFUSED.labels(why="sign_in").inc()
        return self._shown(english, chinese, status)

    def _shown(self, english: str = "", chinese: str = "", status: int = 200) -> web.Response:
        access = self._access
        page = _PAGES.get_template("login.html").render(
            english=english, chinese=chinese, tokens=access.tokens is not None, issuer=access.issuer is not None
        )
        return web.Response(text=page, content_type="text/html", status=status, headers=_HEADERS)
