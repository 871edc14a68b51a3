"""The rights on Kafka of each who takes part: no more than his work needs.

Who reads whole topics without a group needs no right on one. What a name ends in `*` counts for all that begins so. A
topic that this deployment does not have gives no right.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.topics import TOPICS
from streams.at_work import agents_at_work
from streams.kafka.broker import changelog
from streams.kafka.topology import plans
from streams.settings import Settings

_INBOUND = tuple(t.name for t in TOPICS.values() if t.inbound)
_SAID = tuple(t.name for t in TOPICS.values() if not t.inbound)
# What lanes tell each other.
_INSIDE = ("plans", "workout-requests", "evidence", "learning", "guardrails", "barriers")


@dataclass(frozen=True, slots=True, order=True)
class Right:
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
        reads=(*_INBOUND, *_INSIDE, "@"),
        writes=(*_SAID, "@"),
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
    "views": Role("writes views of committed states to Redis", reads=("@account", "@planner")),
    "auditor": Role("reads everything", reads=(*_INBOUND, *_SAID, "replayed"), group=True),
    "admin": Role("makes topics and gives rights"),
}


def rights(settings: Settings) -> dict[str, list[Right]]:
    """Return the rights of each role, in a fixed order."""
    return {name: sorted(_rights(settings, name, role)) for name, role in ROLES.items()}


def _rights(settings: Settings, name: str, role: Role) -> Iterator[Right]:
    known = {plan.name for plan in plans(settings)}
    reads, writes = _topics(settings, role.reads) & known, _topics(settings, role.writes) & known
    application = settings.worker.application_id
    # It sees to every topic's settings before it starts.
    seen = ["DescribeConfigs"] if name == "worker" else []
    if name == "worker":
        if settings.worker.wrong_partition == "rekey":
            writes |= _topics(settings, tuple(topic for topic in _INBOUND if TOPICS[topic].key is not None))
        yield Right("Group", application, ("Read",))
        yield Right("TransactionalId", f"{application}-", ("Describe", "Write"), prefixed=True)
    for topic in reads | writes:
        operations = (*seen, *(["Read"] if topic in reads else []), *(["Write"] if topic in writes else []))
        yield Right("Topic", topic, operations)
    for topic in known - reads - writes if seen else ():
        yield Right("Topic", topic, ("Describe", *seen))
    if name == "console":
        # How far workers are, without joining them.
        yield Right("Group", application, ("Describe",))
        yield Right("TransactionalId", f"{application}-letters", ("Describe", "Write"))
    if role.group:
        yield Right("Group", f"{application}-{name}", ("Read",), prefixed=True)
    if name == "admin":
        asked = ("Alter", "AlterConfigs", "Create", "Describe", "DescribeConfigs")
        yield Right("Topic", settings.topics.prefix, asked, prefixed=True)
        yield Right("Cluster", "kafka-cluster", ("Alter", "Describe"))


def _topics(settings: Settings, names: Iterable[str]) -> set[str]:
    found = set()
    for name in names:
        if name == "@":
            found |= {changelog(settings, agent.name) for agent, _ in agents_at_work()}
        elif name.startswith("@"):
            found.add(changelog(settings, name[1:]))
        else:
            found.add(settings.topics.prefix + name)
    return found


def principals(settings: Settings, named: Mapping[str, str]) -> dict[str, str]:
    """Return the principal of each role: as named, or a user of the role's own name."""
    return {role: named.get(role, f"User:{role}") for role in rights(settings)}


def commands(settings: Settings, who: Mapping[str, str], options: str = "") -> list[str]:
    """Return a line of kafka-acls.sh for each right. options: where the brokers are, and how to connect."""
    lines = []
    servers = options or f"--bootstrap-server {shlex.quote(','.join(settings.kafka.bootstrap_servers))}"
    flags = {"Topic": "--topic", "Group": "--group", "TransactionalId": "--transactional-id"}
    for role, owned in rights(settings).items():
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
        for role, owned in rights(settings).items()
    ]
