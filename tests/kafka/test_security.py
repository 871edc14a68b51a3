"""Workers on a Kafka that lets in only whom it knows, and lets them do only what they may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from schemas import events as ev
from simulator.runs import simulate
from tests.support.servers import KafkaTestCluster, Secure
from tests.support.worker_cluster import WorkerCluster

PASSWORD = "correct-horse"
WORKER, READER, STRANGER = "worker", "reader", "stranger"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA, the brokers' key, and a worker's certificate and key."""
    made = tmp_path_factory.mktemp("secure")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(made / "ca.pem")
    broker = ca.issue_cert("127.0.0.1", "localhost")
    plain = load_pem_private_key(broker.private_key_pem.bytes(), None)
    key = plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (made / "broker.pem").write_bytes(key + b"".join(blob.bytes() for blob in broker.cert_chain_pems))
    own = ca.issue_cert("worker@reprieve.test", common_name=WORKER)
    own.private_key_pem.write_to_path(made / "worker.key")
    for blob in own.cert_chain_pems:
        blob.write_to_path(made / "worker.pem", append=True)
    trustme.CA().cert_pem.write_to_path(made / "other-ca.pem")
    return made


@pytest.fixture(scope="module")
def cluster(kafka_parts: None, folder: Path) -> Iterator[KafkaTestCluster]:
    """A broker with guarded listeners, where the worker has the rights that docs/security.md names.

    The reader lacks that to transactional ids, and the stranger has none.
    """
    secure = Secure(folder / "broker.pem", folder / "ca.pem", dict.fromkeys((WORKER, READER, STRANGER), PASSWORD))
    with KafkaTestCluster(folder / "kafka", secure=secure) as made:
        topics = [AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS]
        own = [AclOperation.WRITE, AclOperation.DESCRIBE]
        let_be(
            made,
            *(
                rule(user, "secure-", ResourceType.TOPIC, operation)
                for operation in topics
                for user in (WORKER, READER)
            ),
            *(rule(user, "secure-", ResourceType.GROUP, AclOperation.READ) for user in (WORKER, READER)),
            *(rule(WORKER, "secure-", ResourceType.TRANSACTIONAL_ID, operation) for operation in own),
        )
        yield made


def rule(user: str, name: str, resource: ResourceType, operation: AclOperation, *, deny: bool = False) -> AclBinding:
    """Return a right, or a ban, to do something with all that begins with a name."""
    verdict = AclPermissionType.DENY if deny else AclPermissionType.ALLOW
    return AclBinding(resource, name, ResourcePatternType.PREFIXED, f"User:{user}", "*", operation, verdict)


def let_be(cluster: KafkaTestCluster, *rules: AclBinding) -> None:
    """Let rules hold from now on."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    for done in admin.create_acls(list(rules)).values():
        done.result(30)


def let_go(cluster: KafkaTestCluster, gone: AclBinding) -> None:
    """Let a rule hold no more."""
    parts = (gone.restype, gone.name, gone.resource_pattern_type, gone.principal, gone.host)
    which = AclBindingFilter(*parts, gone.operation, gone.permission_type)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    for done in admin.delete_acls([which]).values():
        assert done.result(30)


@pytest.fixture(scope="module")
def events() -> list[ev.Event]:
    """Ten days of a small lender."""
    return list(simulate(accounts=15, days=10, seed=4, start=date(2026, 1, 5), close_every=3))


def by_password(cluster: KafkaTestCluster, folder: Path, **other: object) -> dict[str, object]:
    """Return the settings of a worker that shows a password."""
    return {
        "bootstrap_servers": cluster.sasl_bootstrap,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": WORKER,
        "sasl_password": PASSWORD,
        "ssl_ca_file": str(folder / "ca.pem"),
        **other,
    }


def by_certificate(cluster: KafkaTestCluster, folder: Path) -> dict[str, object]:
    """Return the settings of a worker that shows a certificate."""
    return {
        "bootstrap_servers": cluster.tls_bootstrap,
        "security_protocol": "SSL",
        "ssl_ca_file": str(folder / "ca.pem"),
        "ssl_cert_file": str(folder / "worker.pem"),
        "ssl_key_file": str(folder / "worker.key"),
    }


@pytest.mark.parametrize("settings", [by_password, by_certificate])
def test_a_worker_that_shows_who_it_is_gives_the_exact_answer(
    settings: Any, cluster: KafkaTestCluster, folder: Path, tmp_path: Path, events: list[ev.Event]
) -> None:
    name = f"secure-{settings.__name__}"
    with WorkerCluster(cluster.bootstrap, tmp_path, name, connection=settings(cluster, folder)) as workers:
        workers.publish(events)
        workers.start()
        workers.wait_until_idle()
        workers.assert_exact(events)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"sasl_password": "wrong"}, "refuses this user: .*See to kafka.sasl_username, kafka.sasl_password"),
        ({"sasl_username": STRANGER}, r"Kafka refuses this process \(looking at the topics\): .*TopicAuthorization"),
        ({"sasl_username": READER}, r"Kafka refuses this process \(looking at the topics\): .*TransactionalIdAuth"),
        ({"ssl_ca_file": "other-ca.pem"}, "The certificate of Kafka at .* is not trusted.*See to kafka.ssl_ca_file"),
    ],
)
def test_a_worker_that_is_not_let_in_says_so_and_ends(
    other: dict[str, str], sentence: str, cluster: KafkaTestCluster, folder: Path, tmp_path: Path
) -> None:
    other = {name: str(folder / value) if name.endswith("file") else value for name, value in other.items()}
    with WorkerCluster(
        cluster.bootstrap, tmp_path, "secure-refused", connection=by_password(cluster, folder, **other)
    ) as workers:
        workers.start()
        workers.wait(lambda: workers.processes["one"].poll() is not None, "its end")
        assert workers.processes.pop("one").returncode == 1
        last = workers.log().splitlines()[-1]
        assert last.startswith("reprieve: ")
        assert re.search(sentence, last), last
        assert "Traceback" not in workers.log()


def test_a_right_that_is_taken_away_ends_the_worker_safely(
    cluster: KafkaTestCluster, folder: Path, tmp_path: Path, events: list[ev.Event]
) -> None:
    half = len(events) // 2
    settings = by_password(cluster, folder)
    with WorkerCluster(cluster.bootstrap, tmp_path, "secure-taken", connection=settings) as workers:
        workers.start()
        workers.publish(events[:half])
        workers.wait_until_idle()
        ban = rule(WORKER, "secure-taken.account-", ResourceType.TOPIC, AclOperation.WRITE, deny=True)
        let_be(cluster, ban)
        workers.publish(events[half:])
        workers.wait(lambda: workers.processes["one"].poll() is not None, "its end")
        assert workers.processes.pop("one").returncode == 1
        assert "Kafka refuses what partition" in workers.log().splitlines()[-1]
        let_go(cluster, ban)
        workers.start()
        workers.wait_until_idle()
        workers.assert_exact(events)
