"""Kafka and Redis as tests need them: with faults, guarded listeners and other properties."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.kafka import KafkaCluster
from deploy.local.processes import FAREWELL, Server, addresses, free_port
from deploy.local.redis import RedisServer


@dataclass(frozen=True)
class Secure:
    """What guarded listeners need. Each path is of a PEM file.

    key: the brokers' private key (PKCS #8) with its chain, for 127.0.0.1. ca: who is trusted. users: passwords by
    name, for SCRAM-SHA-512.
    """

    key: Path
    ca: Path
    users: Mapping[str, str]

    def properties(self) -> dict[str, object]:
        """Return a broker's properties."""
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.key,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.ca,
            "listener.name.sasl.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "listener.name.sasl.ssl.client.auth": "none",
            "listener.name.tls.ssl.client.auth": "required",
            # A certificate's common name is a user's.
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # Who comes by the open listener.
            "super.users": "User:ANONYMOUS",
        }


class KafkaTestCluster(KafkaCluster):
    """Brokers that can be killed and frozen.

    fronts: ports of a proxy, one a broker, which stands before a listener of its own (`behind`); who comes through it
    is always sent to it. secure: listeners that let in only who shows a password or a certificate, on `sasl_bootstrap`
    and `tls_bootstrap`; who may do what is then told by ACLs, and who comes by the open listener may do all.
    properties: of brokers, over those that they have here.
    """

    def __init__(
        self,
        folder: Path,
        brokers: int = 1,
        *,
        fronts: Sequence[int] = (),
        secure: Secure | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(folder, brokers)
        self._more = properties or {}
        self._fronts = fronts
        self.behind = [free_port() for _ in fronts]
        self._secure = secure
        self._guarded = [(free_port(), free_port()) for _ in range(brokers)]
        users = {} if secure is None else secure.users
        scram = [f"SCRAM-SHA-512=[name={name},password={password}]" for name, password in users.items()]
        self.format_options = [part for user in scram for part in ("--add-scram", user)]

    @property
    def sasl_bootstrap(self) -> str:
        """The addresses for those who have a password."""
        return addresses(sasl for sasl, _ in self._guarded)

    @property
    def tls_bootstrap(self) -> str:
        """The addresses for those who have a certificate."""
        return addresses(tls for _, tls in self._guarded)

    def kill(self, broker: int) -> None:
        """End a broker at once, as a crash would."""
        self._servers[broker].stop(signal.SIGKILL)

    def pause(self, broker: int) -> None:
        """Freeze a broker."""
        _freeze(self._servers[broker])

    def resume(self, broker: int) -> None:
        """Let a frozen broker go on."""
        self._servers[broker].send(signal.SIGCONT)

    def restart(self, broker: int) -> None:
        """Start a broker that ended, and wait until it answers."""
        self._start(broker)
        self._wait()

    def _properties(self, number: int) -> dict[str, object]:
        found = super()._properties(number)
        listeners, advertised = "", ""
        if self._fronts:
            listeners += f",FRONT://127.0.0.1:{self.behind[number]}"
            advertised += f",FRONT://127.0.0.1:{self._fronts[number]}"
        if self._secure is not None:
            sasl, tls = self._guarded[number]
            guarded = f",SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}"
            listeners, advertised = listeners + guarded, advertised + guarded
            found |= self._secure.properties()
        found["listeners"] = f"{found['listeners']}{listeners}"
        found["advertised.listeners"] = f"{found['advertised.listeners']}{advertised}"
        protocols = found["listener.security.protocol.map"]
        found["listener.security.protocol.map"] = f"{protocols},FRONT:PLAINTEXT,SASL:SASL_SSL,TLS:SSL"
        return {**found, **self._more}


def _freeze(server: Server) -> None:
    """Stop a server where it is, and wait until all its threads stand; it has to be a child of this process."""
    server.send(signal.SIGSTOP)
    deadline = time.monotonic() + FAREWELL
    while server.pid is not None and time.monotonic() < deadline:
        if os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG) is not None:
            return
        time.sleep(0.001)


class GuardedRedis(RedisServer):
    """A redis-server that lets in only whom it knows, by TLS.

    ca_file: the CA of clients' certificates. users: rules of Redis's ACL, as `worker on >secret ~reprieve:* +@all`; who
    is in none is not let in.
    """

    def __init__(self, folder: Path, ca_file: Path, cert_file: Path, key_file: Path, users: Sequence[str]) -> None:
        super().__init__(folder)
        self._files = {"tls-ca-cert-file": ca_file, "tls-cert-file": cert_file, "tls-key-file": key_file}
        self._users = users

    @property
    def url(self) -> str:
        """The address to connect to."""
        return super().url.replace("redis:", "rediss:")

    def arguments(self) -> list[str]:
        """Return redis-server's arguments that say how it listens."""
        given = ["--port", "0", "--tls-port", str(self.port)]
        for name, file in self._files.items():
            given += [f"--{name}", str(file)]
        for user in ("default off", *self._users):
            given += ["--user", *user.split()]
        return given


async def group_offsets(bootstrap: str, group: str) -> dict[TopicPartition, int]:
    """Return how far a group has committed; nothing while it has no coordinator, or the broker is away."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        return await offsets_of(admin, group)
    except KafkaError:
        return {}
    finally:
        await admin.close()


async def offsets_of(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    """Return how far a group has committed. Raises KafkaError while it has no coordinator, or the broker is away."""
    found = await admin.list_consumer_group_offsets(group)
    return {place: at.offset for place, at in found.items()}
