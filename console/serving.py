"""A console that is served from a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from console.rights import RIGHTS
from console.server import LOOPBACK, Console
from console.source import LocalSource, Source, sentence
from schemas.errors import Fatal
from streams.access.guard import Access
from streams.access.serving import see_that_it_is_guarded, server_tls
from streams.health import Standing, health
from streams.settings import AccessSettings, ConsoleSettings, HealthSettings


class ServedConsole:
    """A console in a thread of its own. Use as a context manager; `url` is where it is.

    source: a data directory of the local runtime, or where else it reads. probes: where metrics are answered too.
    Raises WrongUse where others could use it, and nobody would be asked who he is.
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
    ) -> None:
        self._source: Source = LocalSource(source) if isinstance(source, Path) else source
        self._host, self._port = host, port
        settings, served = access or AccessSettings(), console or ConsoleSettings()
        self._tls = server_tls(served.tls_cert_file, served.tls_key_file)
        see_that_it_is_guarded(settings, host, tls=self._tls is not None)
        self._access = Access(settings, RIGHTS, secure=self._tls is not None or settings.behind_proxy)
        self._probes = probes or HealthSettings()
        self._rooms = AsyncExitStack()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._over = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self.url = ""
        self.health_port: int | None = None

    def __enter__(self) -> ServedConsole:
        self._thread.start()
        self._started.wait()
        if isinstance(self._failed, Fatal):
            raise self._failed
        if self._failed is not None:
            raise Fatal(
                f"The console cannot listen on {self._host}:{self._port}: {self._failed}. Choose another --port."
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(15)

    def wait(self) -> None:
        """Wait until its reading fails, and raise that as Fatal."""
        self._over.wait()
        assert self._failed is not None
        raise Fatal(sentence(self._failed)) from self._failed

    def _fail(self, error: BaseException) -> None:
        self._failed = error
        self._over.set()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner: web.AppRunner | None = None
        try:
            runner = self._loop.run_until_complete(self._serve())
        except (OSError, Fatal) as error:
            self._failed = error
        self._started.set()
        if runner is not None:
            self._loop.run_forever()
            self._loop.run_until_complete(runner.cleanup())
        self._loop.run_until_complete(self._rooms.aclose())
        self._loop.close()

    async def _serve(self) -> web.AppRunner:
        public = urlsplit(self._access.settings.public_url or "").hostname
        hosts = LOOPBACK | {self._host} | ({public} if public else set())
        console = Console(self._source, hosts, self._fail, self._access)
        self.health_port = await self._rooms.enter_async_context(
            health(self._probes, lambda: Standing(unready=console.live.unready()))
        )
        runner = web.AppRunner(console.application(), access_log=None, shutdown_timeout=0.5)
        try:
            await runner.setup()
            await web.TCPSite(runner, self._host, self._port, ssl_context=self._tls).start()
        except BaseException:
            await runner.cleanup()
            raise
        self.url = f"http{'s' if self._tls else ''}://{self._host}:{runner.addresses[0][1]}"
        return runner
