"""A redis-server on this machine, on loopback."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from deploy.local.jars import OTHERWISE
from deploy.local.processes import Served, Server, free_port, is_listening
from schemas.errors import FatalError

_PATIENCE = 15.0


class RedisServer(Served):
    """One redis-server with its data in a folder. port: None for a free one."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.port = port if port is not None else free_port()
        self._server = Server(folder, "redis")

    @property
    def url(self) -> str:
        """The address to connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    def arguments(self) -> list[str]:
        """Return redis-server's arguments that say how it listens."""
        return ["--port", str(self.port)]

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._server.pid is not None

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self.running:
            return
        program = shutil.which("redis-server")
        if program is None:
            raise FatalError(
                f"redis-server is missing. Install it (Debian: apt-get install redis-server), leave it out with "
                f"--no-redis, {OTHERWISE}."
            )
        self.see_that_its_port_is_free()
        folder = self._server.folder
        folder.mkdir(parents=True, exist_ok=True)
        command = [program, *self.arguments(), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes"]
        self._server.start(command)
        deadline = time.monotonic() + _PATIENCE
        while not is_listening(self.port):
            if self._server.pid is None or time.monotonic() > deadline:
                raise self._server.died()
            time.sleep(0.02)

    def see_that_its_port_is_free(self) -> None:
        """Raise FatalError where another program has its port."""
        if not self.running and is_listening(self.port):
            raise FatalError(
                f"Port {self.port} is taken by another program. End that one, or leave Redis out: --no-redis."
            )

    def stop(self) -> None:
        """End it in order."""
        self._server.stop()
