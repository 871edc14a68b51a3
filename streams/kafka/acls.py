"""The access control lists of Kafka: the rights of each role, no more than its work needs, and creating them.

A role that reads whole topics without a group needs no right on a group. A name that ends in `*` counts for every name
with that prefix. A topic that this deployment does not have gives no right. ACLs are created by librdkafka: aiokafka
cannot.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import confluent_kafka.admin
from confluent_kafka import KafkaException

from schemas.errors import FatalError
from schemas.topics import TOPICS
from streams.engine.agents import all_agents
from streams.kafka.changelog_format import changelog_topic
from streams.kafka.topic_admin import DEPLOYMENT_TOPIC, topic_specs
from streams.settings import Settings

# Its types do not say what it exports.
_kafka: Any = confluent_kafka.admin
# Seconds for an answer of the cluster.
_PATIENCE = 30
_INBOUND = tuple(t.name for t in TOPICS.values() if t.inbound)
_SAID = tuple(t.name for t in TOPICS.values() if not t.inbound)
# What tasks tell each other.
_INSIDE = ("plans", "workout-requests", "evidence", "learning", "guardrails", "barriers")


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """Something that may be done. resource: as Kafka calls its kind. prefixed: with all that begins with the name."""

    resource: str
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """What one who takes part does. reads, writes: topics without their prefix; `@` stands for changelogs."""

    what: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    group: bool = False


ROLES: dict[str, Role] = {
    "worker": Role(
        "decides: reads what comes in and its own rows, writes what it says",
        reads=(*_INBOUND, *_INSIDE, DEPLOYMENT_TOPIC, "@"),
        writes=(*_SAID, DEPLOYMENT_TOPIC, "@"),
    ),
    "loan-system": Role("opens and bills accounts", writes=("accounts",)),
    "payment-system": Role("tells of payments", writes=("payments",)),
    "collections": Role("tells of contacts, promises, holds and reviews", writes=("collections",)),
    "profile-source": Role("tells of means and consents", writes=("profiles",)),
    "answers": Role("takes borrowers' answers, online and by telephone", writes=("feedback",)),
    "calendar": Role("closes business dates", writes=("clock",)),
    "notification-service": Role("tells borrowers of offers and of their plans", reads=("offers", "plans"), group=True),
    "bureau": Role("takes arrears and credit standing", reads=("delinquency", "plans"), group=True),
    "partner-gateway": Role(
        "takes partners' signed events in, and sends offers and plans out as far as there is consent",
        reads=("offers", "plans", "profiles", "accounts"),
        writes=("profiles", "feedback", "collections"),
    ),
    "console": Role(
        "shows everything, and sends dead letters in again",
        reads=(*_INBOUND, *_SAID, "replayed", "@"),
        writes=(*(name for name in _INBOUND if name != "clock"), "replayed", "audit"),
    ),
    "operator": Role("lists keys in quarantine, and releases them", reads=("@account",), writes=("clock",)),
    "views": Role("writes views of committed states to Redis", reads=("@account", "@planner")),
    "auditor": Role("reads everything", reads=(*_INBOUND, *_SAID, "replayed"), group=True),
    "admin": Role("makes topics and gives rights"),
}


def role_acls(settings: Settings) -> dict[str, list[Acl]]:
    """Return the rights of each role, in a fixed order."""
    return {name: sorted(_acls_of(settings, name, role)) for name, role in ROLES.items()}


def _acls_of(settings: Settings, name: str, role: Role) -> Iterator[Acl]:
    known = {plan.name for plan in topic_specs(settings)}
    reads, writes = _topics(settings, role.reads) & known, _topics(settings, role.writes) & known
    application = settings.worker.application_id
    # It sees to every topic's settings before it starts.
    seen = ["DescribeConfigs"] if name == "worker" else []
    if name == "worker":
        if settings.worker.wrong_partition == "rekey":
            writes |= _topics(settings, tuple(topic for topic in _INBOUND if TOPICS[topic].key is not None))
        yield Acl("Group", application, ("Read",))
        yield Acl("TransactionalId", f"{application}-", ("Describe", "Write"), prefixed=True)
    for topic in reads | writes:
        operations = (*seen, *(["Read"] if topic in reads else []), *(["Write"] if topic in writes else []))
        yield Acl("Topic", topic, operations)
    for topic in known - reads - writes if seen else ():
        yield Acl("Topic", topic, ("Describe", *seen))
    if name == "console":
        # How far workers are, without joining them.
        yield Acl("Group", application, ("Describe",))
        yield Acl("TransactionalId", f"{application}-letters", ("Describe", "Write"))
    if role.group:
        yield Acl("Group", f"{application}-{name}", ("Read",), prefixed=True)
    if name == "admin":
        asked = ("Alter", "AlterConfigs", "Create", "Describe", "DescribeConfigs")
        yield Acl("Topic", settings.topics.prefix, asked, prefixed=True)
        yield Acl("Cluster", "kafka-cluster", ("Alter", "Describe"))


def _topics(settings: Settings, names: Iterable[str]) -> set[str]:
    found = set()
    for name in names:
        if name == "@":
            found |= {changelog_topic(settings, agent.name) for agent, _ in all_agents()}
        elif name.startswith("@"):
            found.add(changelog_topic(settings, name[1:]))
        else:
            found.add(settings.topics.prefix + name)
    return found


def principals(settings: Settings, named: Mapping[str, str]) -> dict[str, str]:
    """Return the principal of each role: as named, or a user of the role's own name."""
    return {role: named.get(role, f"User:{role}") for role in role_acls(settings)}


def kafka_acls_commands(settings: Settings, who: Mapping[str, str], options: str = "") -> list[str]:
    """Return a line of kafka-acls.sh for each right. options: where the brokers are, and how to connect."""
    lines = []
    servers = options or f"--bootstrap-server {shlex.quote(','.join(settings.kafka.bootstrap_servers))}"
    flags = {"Topic": "--topic", "Group": "--group", "TransactionalId": "--transactional-id"}
    for role, owned in role_acls(settings).items():
        for right in owned:
            what = "--cluster" if right.resource == "Cluster" else f"{flags[right.resource]} {shlex.quote(right.name)}"
            kind = " --resource-pattern-type prefixed" if right.prefixed else ""
            operations = " ".join(f"--operation {operation}" for operation in right.operations)
            user = shlex.quote(who[role])
            lines.append(f"kafka-acls.sh {servers} --add --allow-principal {user} {operations} {what}{kind}")
    return lines


def as_data(settings: Settings, who: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return roles and rights for programs."""
    return [
        {
            "role": role,
            "principal": who[role],
            "what": ROLES[role].what,
            "rights": [
                {
                    "resource": right.resource,
                    "name": right.name,
                    "pattern": "prefixed" if right.prefixed else "literal",
                    "operations": list(right.operations),
                }
                for right in owned
            ],
        }
        for role, owned in role_acls(settings).items()
    ]


def grant(settings: Settings, who: Mapping[str, str]) -> list[str]:
    """Give each role its rights, and return what was done, and what those users may beyond, a line each.

    Nothing is taken away: a user may be somebody else's too. Raises FatalError where Kafka refuses.
    """
    admin = _kafka.AdminClient(librdkafka_options(settings))
    wanted = {b for role, owned in role_acls(settings).items() for right in owned for b in _bindings(who[role], right)}
    there = set(_done(admin.describe_acls(_any())))
    missing = sorted(wanted - there, key=_describe)
    if missing:
        for made in admin.create_acls(missing).values():
            _done(made)
        there |= _seen(admin, wanted)
    users = set(who.values())
    beyond = sorted((b for b in there - wanted if b.principal in users), key=_describe)
    return [f"given: {_describe(b)}" for b in missing] + [f"beyond what is needed: {_describe(b)}" for b in beyond]


def _seen(admin: Any, wanted: set[Any]) -> set[Any]:
    """Return all rights once those that are wanted count: the controller knows of them before brokers do."""
    deadline = time.monotonic() + _PATIENCE
    while not wanted <= (there := set(_done(admin.describe_acls(_any())))):
        if time.monotonic() > deadline:
            raise FatalError(f"Kafka took rights and does not tell of them after {_PATIENCE} seconds. Ask it again.")
        time.sleep(0.05)
    return there


def _bindings(user: str, right: Acl) -> list[Any]:
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


def _describe(binding: Any) -> str:
    kind = "" if binding.resource_pattern_type == _kafka.ResourcePatternType.LITERAL else "*"
    verdict = "may" if binding.permission_type == _kafka.AclPermissionType.ALLOW else "may not"
    return f"{binding.principal} {verdict} {binding.operation.name} {binding.restype.name} {binding.name}{kind}"


def _done(asked: Future[Any]) -> Any:
    try:
        return asked.result(_PATIENCE)
    except KafkaException as error:
        raise FatalError(
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
