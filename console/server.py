"""A console that is served from a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

from console.app import LOOPBACK, ConsoleApp
from console.permissions import RIGHTS
from console.source import LocalSource, Source, sentence
from schemas.errors import FatalError
from streams.http.auth.exposure import check_exposure, server_tls
from streams.http.auth.middleware import Authenticator
from streams.http.health import HealthStatus, health
from streams.http.server import HttpServer, listening
from streams.settings import AccessSettings, ConsoleSettings, HealthSettings, HttpSettings


class ConsoleServer:
    """A console in a thread of its own. Use as a context manager; `url` is where it is.

    source: a data directory of the local runtime, or where else it reads. probes: where metrics are answered too.
    Raises UsageError where others could use it, and nobody would be asked who he is.
    """

    def __init__(
        self,
        source: Path | Source,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        access: AccessSettings | None = None,
        console: ConsoleSettings | None = None,
        probes: HealthSettings | None = None,
        limits: HttpSettings | None = None,
    ) -> None:
        self._source: Source = LocalSource(source) if isinstance(source, Path) else source
        self._host, self._port = host, port
        settings, served = access or AccessSettings(), console or ConsoleSettings()
        self._tls = server_tls(served.tls_cert_file, served.tls_key_file)
        check_exposure(settings, host, tls=self._tls is not None)
        self._probes, self._limits = probes or HealthSettings(), limits or HttpSettings()
        secure, body_seconds = self._tls is not None or settings.behind_proxy, self._limits.body_seconds
        self._access = Authenticator(settings, RIGHTS, secure=secure, body_seconds=body_seconds)
        self._rooms = AsyncExitStack()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._over = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self.url = ""
        self.health_port: int | None = None

    def __enter__(self) -> ConsoleServer:
        self._thread.start()
        self._started.wait()
        if isinstance(self._failed, FatalError):
            raise self._failed
        if self._failed is not None:
            raise FatalError(
                f"The console cannot listen on {self._host}:{self._port}: {self._failed}. Choose another --port."
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(15)

    def wait(self) -> None:
        """Wait until its reading fails, and raise that as FatalError."""
        self._over.wait()
        assert self._failed is not None
        raise FatalError(sentence(self._failed)) from self._failed

    def _fail(self, error: BaseException) -> None:
        self._failed = error
        self._over.set()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server: HttpServer | None = None
        try:
            server = self._loop.run_until_complete(self._serve())
        except (OSError, FatalError) as error:
            self._failed = error
        self._started.set()
        if server is not None:
            self._loop.run_forever()
            self._loop.run_until_complete(server.stop())
        self._loop.run_until_complete(self._rooms.aclose())
        self._loop.close()

    async def _serve(self) -> HttpServer:
        public = urlsplit(self._access.settings.public_url or "").hostname
        hosts = LOOPBACK | {self._host} | ({public} if public else set())
        console = ConsoleApp(self._source, hosts, self._fail, self._access)
        self.health_port = await self._rooms.enter_async_context(
            health(self._probes, lambda: HealthStatus(readiness_error=console.feed.unready()))
        )
        server = HttpServer(
            "console",
            console.application(),
            listening(self._host, self._port),
            self._limits,
            proxies=self._access.proxies,
            body_seconds=self._limits.body_seconds,
            tls=self._tls,
            shutdown_seconds=0.5,
        )
        try:
            await server.start()
        except BaseException:
            await server.stop()
            raise
        self.url = f"http{'s' if self._tls else ''}://{self._host}:{server.port}"
        return server
