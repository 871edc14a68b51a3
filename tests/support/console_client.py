"""What the tests of access share: the console with somebody at the door, a clock, and a client to ask with."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from console.app import ConsoleApp
from console.permissions import RIGHTS
from console.source import LocalSource
from deploy.local.processes import free_port
from streams.http.auth.middleware import Authenticator
from streams.http.auth.permissions import ROLES
from streams.settings import AccessSettings
from tests.support.openid_provider import AUDIENCE, CLIENT, Provider

# Of the provider; `clerk` works there too and has nothing to do with us.
PEOPLE = {role: [role, "staff"] for role in ROLES} | {"clerk": ["staff"]}


@dataclass
class Clock:
    """The time, which a test may put forward."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: str

    def cookies(self) -> dict[str, Any]:
        """Return what it sets, by name."""
        found = SimpleCookie()
        for line in self.headers.get_all("Set-Cookie", []):
            found.load(line)
        return dict(found)


@dataclass
class Client:
    """Asks like a browser or a program: keeps cookies, follows no redirect. headers: sent with every request."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> Answer:
        """Return the answer; of a stream, its beginning. headers: with underscores for dashes."""
        parts = urlsplit(self.url)
        sent = dict(self.headers) | {name.replace("_", "-"): value for name, value in headers.items()}
        if self.kept:
            sent["Cookie"] = "; ".join(f"{n}={v}" for n, v in self.kept.items())
        body = None
        if form is not None:
            body, sent["Content-Type"] = urlencode(form), "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            stream = answer.headers.get_content_type() == "text/event-stream"
            found = Answer(answer.status, answer.headers, "" if stream else answer.read().decode("utf-8", "replace"))
        finally:
            connection.close()
        for name, morsel in found.cookies().items():
            self.kept[name] = morsel.value
            if not morsel.value:
                del self.kept[name]
        return found


class Guarded:
    """The console in a thread of its own, at `url`, under settings and a clock."""

    def __init__(
        self, folder: Path, settings: AccessSettings, clock: Clock, port: int, *, secure: bool = False
    ) -> None:
        self.access_settings, self.clock, self.secure = settings, clock, secure
        self._folder, self._port = folder, port
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.url = f"http://127.0.0.1:{port}"
        self.app: web.Application

    def __enter__(self) -> Guarded:
        self._thread.start()
        assert self._ready.wait(120)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def client(self, **headers: str) -> Client:
        """Return somebody who asks."""
        return Client(self.url, {name.replace("_", "-"): value for name, value in headers.items()})

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._serve())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _serve(self) -> web.AppRunner:
        access = Authenticator(self.access_settings, RIGHTS, secure=self.secure, now=self.clock)
        self.app = ConsoleApp(LocalSource(self._folder), access=access).application()
        runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        return runner


def access_settings(folder: Path, provider: Provider | None, **other: Any) -> AccessSettings:
    """Return settings; the console is to listen where `public_url` says."""
    issuer = (
        {}
        if provider is None
        else {
            "oidc_issuer": provider.issuer,
            "oidc_client_id": CLIENT,
            "oidc_audience": AUDIENCE,
            "oidc_roles_claim": "realm.roles",
        }
    )
    # The tests ask more than anybody would.
    many = {"requests_per_minute": 100_000, "failures_per_quarter_hour": 100_000}
    public = {"public_url": f"http://127.0.0.1:{free_port()}"}
    return AccessSettings.model_validate({"tokens_file": folder / "tokens.json", **public, **issuer, **many, **other})


def guarded(lender: Path, settings: AccessSettings, clock: Clock) -> Guarded:
    """Return the console at the address that settings make public."""
    return Guarded(lender, settings, clock, urlsplit(settings.public_url or "").port or 0)


def sign_in(client: Client, provider: Provider, person: str) -> Answer:
    """Sign in at the issuer as a browser would, and return what the console says in the end."""
    left = client.ask("GET", "/login/issuer")
    assert left.status == 303, left.body
    asked = dict(part.split("=", 1) for part in urlsplit(left.headers["Location"]).query.split("&"))
    assert "code_challenge" in asked
    connection = http.client.HTTPConnection("localhost", urlsplit(provider.issuer).port or 0, timeout=120)
    connection.request("GET", f"/authorize?{urlsplit(left.headers['Location']).query}&person={person}")
    back = connection.getresponse()
    location = back.headers["Location"]
    connection.close()
    return client.ask("GET", location.removeprefix(client.url))
