"""A schema registry on this machine, on loopback: Apicurio Registry, by its Confluent API."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from pathlib import Path

from deploy.local.jars import fetched, java
from deploy.local.processes import Served, Server, free_port

_PATIENCE = 90.0


class RegistryServer(Served):
    """One registry, in memory: what was registered is gone when it ends. port: None for a free one."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.port = port if port is not None else free_port()
        self._server = Server(folder, "registry")

    @property
    def url(self) -> str:
        """The address of its Confluent API."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        (jar,) = fetched(Path(__file__).with_name("registry-pom.xml"), "Apicurio Registry").glob("*-runner.jar")
        self._server.start(
            [java(), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", str(jar)],
            {"QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(self.port)},
        )
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._server.pid is None or time.monotonic() > deadline:
                raise self._server.died()
            time.sleep(0.1)

    def stop(self) -> None:
        """End it in order."""
        self._server.stop()

    def _answers(self) -> bool:
        try:
            # Our own address, on loopback.
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=5) as answer:  # nosec B310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
