"""Gives rights on Kafka, and says which there are beyond them. By librdkafka: aiokafka cannot."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import confluent_kafka.admin
from confluent_kafka import KafkaException

from schemas.errors import Fatal
from streams.kafka.rights import Right, rights
from streams.settings import Settings

# Its types do not say what it exports.
_kafka: Any = confluent_kafka.admin
_PATIENCE = 30


def grant(settings: Settings, who: Mapping[str, str]) -> list[str]:
    """Give each role its rights, and return what was done, and what those users may beyond, a line each.

    Nothing is taken away: a user may be somebody else's too. Raises Fatal where Kafka refuses.
    """
    admin = _kafka.AdminClient(librdkafka_options(settings))
    wanted = {b for role, owned in rights(settings).items() for right in owned for b in _bindings(who[role], right)}
    there = set(_done(admin.describe_acls(_any())))
    missing = sorted(wanted - there, key=_told)
    if missing:
        for made in admin.create_acls(missing).values():
            _done(made)
        there |= _seen(admin, wanted)
    users = set(who.values())
    beyond = sorted((b for b in there - wanted if b.principal in users), key=_told)
    return [f"given: {_told(b)}" for b in missing] + [f"beyond what is needed: {_told(b)}" for b in beyond]


def _seen(admin: Any, wanted: set[Any]) -> set[Any]:
    """Return all rights once those that are wanted count: the controller knows of them before brokers do."""
    deadline = time.monotonic() + _PATIENCE
    while not wanted <= (there := set(_done(admin.describe_acls(_any())))):
        if time.monotonic() > deadline:
            raise Fatal(f"Kafka took rights and does not tell of them after {_PATIENCE} seconds. Ask it again.")
        time.sleep(0.05)
    return there


def _bindings(user: str, right: Right) -> list[Any]:
    kind = _kafka.ResourcePatternType.PREFIXED if right.prefixed else _kafka.ResourcePatternType.LITERAL
    # The cluster is a resource of its broker kind to librdkafka.
    resource = (
        _kafka.ResourceType.BROKER
        if right.resource == "Cluster"
        else getattr(_kafka.ResourceType, _constant(right.resource))
    )
    return [
        _kafka.AclBinding(
            resource,
            right.name,
            kind,
            user,
            "*",
            getattr(_kafka.AclOperation, _constant(operation)),
            _kafka.AclPermissionType.ALLOW,
        )
        for operation in right.operations
    ]


def _constant(name: str) -> str:
    """Return what librdkafka calls it: `DESCRIBE_CONFIGS` for DescribeConfigs."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def _any() -> Any:
    return _kafka.AclBindingFilter(
        _kafka.ResourceType.ANY,
        None,
        _kafka.ResourcePatternType.ANY,
        None,
        None,
        _kafka.AclOperation.ANY,
        _kafka.AclPermissionType.ANY,
    )


def _told(binding: Any) -> str:
    kind = "" if binding.resource_pattern_type == _kafka.ResourcePatternType.LITERAL else "*"
    verdict = "may" if binding.permission_type == _kafka.AclPermissionType.ALLOW else "may not"
    return f"{binding.principal} {verdict} {binding.operation.name} {binding.restype.name} {binding.name}{kind}"


def _done(asked: Future[Any]) -> Any:
    try:
        return asked.result(_PATIENCE)
    except KafkaException as error:
        raise Fatal(
            f"Kafka does not let this user give rights: {error.args[0].str()}. It needs Alter and Describe on the "
            "cluster, and the broker an authorizer."
        ) from error


def librdkafka_options(settings: Settings) -> dict[str, Any]:
    """Return librdkafka's options for the same connection that aiokafka has."""
    kafka = settings.kafka
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(kafka.bootstrap_servers),
        "client.id": kafka.client_id,
        # What goes wrong is said once, by us.
        "log_level": 2,
        "security.protocol": kafka.security_protocol,
        "request.timeout.ms": int(kafka.request_timeout_seconds * 1000),
    }
    if kafka.security_protocol.startswith("SASL"):
        password = kafka.sasl_password
        options["sasl.mechanism"] = kafka.sasl_mechanism
        options["sasl.username"] = kafka.sasl_username
        options["sasl.password"] = None if password is None else password.get_secret_value()
    if kafka.security_protocol.endswith("SSL"):
        files = {
            "ssl.ca.location": kafka.ssl_ca_file,
            "ssl.certificate.location": kafka.ssl_cert_file,
            "ssl.key.location": kafka.ssl_key_file,
        }
        options |= {name: str(file) for name, file in files.items() if file is not None}
        if kafka.ssl_key_password is not None:
            options["ssl.key.password"] = kafka.ssl_key_password.get_secret_value()
        options["ssl.endpoint.identification.algorithm"] = "https" if kafka.ssl_check_hostname else "none"
    return options
