"""Apache Kafka on this machine, in KRaft mode: each process is a broker and a controller."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.jars import classpath, java
from deploy.local.processes import FAREWELL, Served, Server, addresses, free_port, is_listening
from schemas.errors import FatalError

# A cluster's id is 16 bytes in base64; a local one need not differ from others.
_CLUSTER_ID = "cmVwcmlldmUtbG9jYWwtMQ"
# Seconds until a broker must answer.
_PATIENCE = 60.0
_HEAP = "384m"


class KafkaCluster(Served):
    """One to three brokers on loopback, with their data in a folder; the data stay when they are stopped.

    ports: of the brokers; without them, those that the folder had before, or free ones.
    """

    # What the storage of a broker is formatted with besides.
    format_options: Sequence[str] = ()

    def __init__(self, folder: Path, brokers: int = 1, *, ports: Sequence[int] | None = None) -> None:
        self.folder = folder
        self._servers = [Server(folder / str(n), f"kafka-{n}") for n in range(brokers)]
        self._known = folder / "ports.json"
        # Whether the folder holds no cluster yet.
        self.fresh = not self._known.exists()
        if self.fresh:
            self.ports = list(ports) if ports is not None else [free_port() for _ in range(brokers)]
            self._controllers = [free_port() for _ in range(brokers)]
        else:
            self.ports, self._controllers = json.loads(self._known.read_text("utf-8"))
            other = ports is not None and list(ports) != self.ports
            if len(self.ports) != brokers or (other and any(self.running)):
                raise FatalError(
                    f"{folder} holds a cluster of {len(self.ports)} brokers on {self.ports}. "
                    "Ask for the same, or name another folder."
                )
            # No data of a broker say where clients find it.
            self.ports = list(ports) if ports is not None else self.ports

    @property
    def bootstrap(self) -> str:
        """The addresses to connect to, with commas between."""
        return addresses(self.ports)

    @property
    def running(self) -> list[bool]:
        """Which brokers run."""
        return [server.pid is not None for server in self._servers]

    def start(self) -> None:
        """Start all brokers that do not run, and wait until they answer."""
        self.see_that_ports_are_free()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._known.write_text(json.dumps([self.ports, self._controllers]), "utf-8")
        for number in range(len(self._servers)):
            self._start(number)
        self._wait()

    def see_that_ports_are_free(self) -> None:
        """Raise FatalError where another program has the port of a broker that does not run."""
        for number in range(len(self._servers)):
            self._see_that_its_port_is_free(number)

    def forget(self) -> None:
        """Remove what a first start has made that failed; the logs of its brokers stay, which say why."""
        self.stop()
        self._known.unlink(missing_ok=True)
        for server in self._servers:
            shutil.rmtree(server.folder / "data", ignore_errors=True)
            (server.folder / "server.properties").unlink(missing_ok=True)
        for folder in (*(server.folder for server in self._servers), self.folder, self.folder.parent):
            # One that holds something stays.
            with contextlib.suppress(OSError):
                folder.rmdir()

    def stop(self) -> None:
        """End all brokers in order; those that hang are killed, after one time for all."""
        for server in self._servers:
            server.send(signal.SIGCONT)
            server.send(signal.SIGTERM)
        deadline = time.monotonic() + FAREWELL
        for server in self._servers:
            server.stop(patience=deadline - time.monotonic())

    def _start(self, number: int) -> None:
        server = self._servers[number]
        if server.pid is not None:
            return
        self._see_that_its_port_is_free(number)
        runtime, path = java(), classpath()
        server.folder.mkdir(parents=True, exist_ok=True)
        properties = server.folder / "server.properties"
        properties.write_text("".join(f"{k}={v}\n" for k, v in self._properties(number).items()), "utf-8")
        if not (server.folder / "data" / "meta.properties").exists():
            command = [runtime, "-cp", path, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID]
            command += [*self.format_options, "-c", str(properties)]
            made = subprocess.run(command, capture_output=True, text=True, check=False, cwd=server.folder)
            if made.returncode:
                raise FatalError(f"Kafka could not prepare {server.folder}: {(made.stdout + made.stderr).strip()}")
        server.start(
            [
                runtime,
                f"-Xms{_HEAP}",
                f"-Xmx{_HEAP}",
                "-XX:+UseSerialGC",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-cp",
                path,
                "kafka.Kafka",
                str(properties),
            ]
        )

    def _see_that_its_port_is_free(self, number: int) -> None:
        if self._servers[number].pid is None and is_listening(self.ports[number]):
            raise FatalError(
                f"Port {self.ports[number]} is taken by another program. End that one, or choose another with --port."
            )

    def _properties(self, number: int) -> dict[str, object]:
        """Return the properties of a broker."""
        brokers = len(self._servers)
        replicas, least = min(brokers, 3), 2 if brokers >= 3 else 1
        own = f"PLAINTEXT://127.0.0.1:{self.ports[number]}"
        return {
            "process.roles": "broker,controller",
            "node.id": number + 1,
            "controller.quorum.voters": ",".join(
                f"{n + 1}@127.0.0.1:{port}" for n, port in enumerate(self._controllers)
            ),
            "listeners": f"{own},CONTROLLER://127.0.0.1:{self._controllers[number]}",
            "advertised.listeners": own,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self._servers[number].folder / "data",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": least,
            "transaction.state.log.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            # A broker that is gone loses its partitions' leadership soon.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "controlled.shutdown.enable": "true",
            "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
            "num.network.threads": 2,
            "num.io.threads": 4,
        }

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not asyncio.run(self._answers()):
            for server in self._servers:
                if server.pid is None or time.monotonic() > deadline:
                    raise server.died()
            time.sleep(0.1)

    async def _answers(self) -> bool:
        """Say whether every broker knows of all others."""
        if not all(map(is_listening, self.ports)):
            return False
        for port in self.ports:
            admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}", request_timeout_ms=5_000)
            try:
                await admin.start()
                if len((await admin.describe_cluster())["brokers"]) < len(self.ports):
                    return False
            except (KafkaError, OSError):
                return False
            finally:
                await admin.close()
        return True
