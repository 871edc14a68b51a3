"""Each who takes part does his work on a guarded Kafka and Redis with his own rights, and nothing that is another's."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as Place
from aiokafka.errors import ClusterAuthorizationFailedError, TopicAuthorizationFailedError
from aiokafka.errors import KafkaError as AiokafkaError
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from msgspec import msgpack
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import AuthenticationError, NoPermissionError

from deploy.local.redis import RedisServer
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import FatalError, UsageError
from simulator.runs import simulate
from streams.cli import cli
from streams.cli.cluster import run_on_kafka
from streams.engine.quarantine import HeldKey
from streams.kafka.acls import ROLES, grant, kafka_acls_commands, librdkafka_options, principals
from streams.kafka.audit import KafkaAudit
from streams.kafka.changelog_format import quarantine_key
from streams.kafka.compat import connected
from streams.kafka.publishing import publish
from streams.kafka.topic_admin import apply_topics, topic_specs
from streams.security.audit_chain import breaks
from streams.settings import Settings
from streams.views.keys import acl_rules
from streams.views.projector import Projector
from streams.views.rebuilding import rebuild
from streams.views.view import Views
from tests.support.servers import GuardedRedis, KafkaTestCluster, Secure
from tests.support.worker_cluster import WorkerCluster

PASSWORD = "correct-horse"
NAME = "rights"
# Said again, by hand: who reads and who writes what. A topic that a deployment does not have is left out.
READERS: dict[str, set[str]] = {
    "accounts": {"worker", "console", "auditor", "partner-gateway"},
    "payments": {"worker", "console", "auditor"},
    "collections": {"worker", "console", "auditor"},
    "profiles": {"worker", "console", "auditor", "partner-gateway"},
    "feedback": {"worker", "console", "auditor"},
    "clock": {"worker", "console", "auditor"},
    "delinquency": {"console", "auditor", "bureau"},
    "workout-requests": {"worker", "console", "auditor"},
    "evidence": {"worker", "console", "auditor"},
    "learning": {"worker", "console", "auditor"},
    "guardrails": {"worker", "console", "auditor"},
    "barriers": {"worker", "console", "auditor"},
    "offers": {"console", "auditor", "notification-service", "partner-gateway"},
    "plans": {"worker", "console", "auditor", "notification-service", "partner-gateway", "bureau"},
    "decisions": {"console", "auditor"},
    "dead-letters": {"console", "auditor"},
    "replayed": {"console", "auditor"},
    "deployment": {"worker"},
    "audit": {"console", "auditor"},
    "account-changelog": {"worker", "console", "operator", "views"},
    "planner-changelog": {"worker", "console", "views"},
    "learner-changelog": {"worker", "console"},
}
WRITERS: dict[str, set[str]] = {
    "accounts": {"loan-system", "console"},
    "payments": {"payment-system", "console"},
    "collections": {"collections", "console", "partner-gateway"},
    "profiles": {"profile-source", "console", "partner-gateway"},
    "feedback": {"answers", "console", "partner-gateway"},
    "clock": {"calendar", "operator"},
    "replayed": {"console"},
    "audit": {"worker", "console"},
    **{
        topic: {"worker"}
        for topic in (
            "delinquency",
            "workout-requests",
            "evidence",
            "learning",
            "guardrails",
            "barriers",
            "offers",
            "plans",
            "decisions",
            "dead-letters",
            "deployment",
            "account-changelog",
            "planner-changelog",
            "learner-changelog",
        )
    },
}
GROUPS = {"worker": NAME, **{r: f"{NAME}-{r}-one" for r in ("notification-service", "bureau", "auditor")}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA, and a key and certificate for this machine."""
    made = tmp_path_factory.mktemp("rights")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(made / "ca.pem")
    own = ca.issue_cert("127.0.0.1", "localhost")
    own.private_key_pem.write_to_path(made / "own.key")
    own.cert_chain_pems[0].write_to_path(made / "own.pem")
    plain = load_pem_private_key(own.private_key_pem.bytes(), None)
    key = plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (made / "broker.pem").write_bytes(key + own.cert_chain_pems[0].bytes())
    return made


@pytest.fixture(scope="module")
def cluster(kafka_parts: None, folder: Path) -> Iterator[KafkaTestCluster]:
    """A guarded broker where each role is a user of its name, and `other` a user of none."""
    users = dict.fromkeys((*ROLES, "other"), PASSWORD)
    with KafkaTestCluster(folder / "kafka", secure=Secure(folder / "broker.pem", folder / "ca.pem", users)) as made:
        yield made


def settings_for(cluster: KafkaTestCluster, folder: Path, user: str | None, name: str = NAME) -> Settings:
    """Return the settings of a user of the guarded listener; of one who may do all, without a user."""
    kafka: dict[str, Any] = {"bootstrap_servers": cluster.bootstrap}
    if user is not None:
        kafka = connection(cluster, folder, user)
    kafka |= {"retry_pause_max_seconds": 1, "request_timeout_seconds": 10}
    topics = {"prefix": f"{name}.", "partitions": 1}
    return Settings.load(kafka=kafka, topics=topics, worker={"application_id": name})


def connection(cluster: KafkaTestCluster, folder: Path, user: str) -> dict[str, Any]:
    """Return how a user connects."""
    return {
        "bootstrap_servers": cluster.sasl_bootstrap,
        "security_protocol": "SASL_SSL",
        "sasl_username": user,
        "sasl_password": PASSWORD,
        "ssl_ca_file": str(folder / "ca.pem"),
    }


@pytest.fixture(scope="module")
def topics(cluster: KafkaTestCluster, folder: Path) -> list[str]:
    """Give all rights, and return the topics without their prefix, each with one record."""
    settings = settings_for(cluster, folder, None)
    asyncio.run(apply_topics(settings))
    given = grant(settings, principals(settings, {}))
    assert given
    assert all(line.startswith("given: ") for line in given)
    assert grant(settings, principals(settings, {})) == []
    names = [plan.name for plan in topic_specs(settings)]

    async def fill() -> None:
        async with connected(AIOKafkaProducer(bootstrap_servers=cluster.bootstrap)) as producer:
            for name in names:
                await producer.send_and_wait(name, b"x", key=b"k")

    asyncio.run(fill())
    return [name.removeprefix(f"{NAME}.") for name in names]


def test_every_topic_has_a_reader_and_a_writer_in_the_table(topics: list[str]) -> None:
    assert set(topics) <= set(READERS)
    assert set(topics) <= set(WRITERS)
    assert set().union(*READERS.values(), *WRITERS.values()) == set(ROLES) - {"admin"}


@pytest.mark.parametrize("role", [*sorted(ROLES), "other"])
def test_each_reads_and_writes_what_is_his_and_nothing_else(
    role: str, cluster: KafkaTestCluster, folder: Path, topics: list[str]
) -> None:
    settings = settings_for(cluster, folder, role)
    assert asyncio.run(_read(settings, topics)) == {t: role in READERS[t] for t in topics}
    assert _written(librdkafka_options(settings), topics) == {t: role in WRITERS[t] for t in topics}


async def _read(settings: Settings, topics: list[str]) -> dict[str, bool]:
    """Return of each topic whether its record came; one that is not even seen is refused too."""
    found = dict.fromkeys(topics, False)
    async with connected(AIOKafkaConsumer(**settings.kafka.client_options())) as consumer:
        seen = await consumer._client.fetch_all_metadata()
        places = {t: Place(f"{NAME}.{t}", 0) for t in topics if seen.partitions_for_topic(f"{NAME}.{t}")}
        consumer.assign(list(places.values()))
        for place in places.values():
            consumer.seek(place, 0)
        for topic, place in places.items():
            try:
                await asyncio.wait_for(consumer.getone(place), 20)
                found[topic] = True
            except TopicAuthorizationFailedError:
                found[topic] = False
    return found


def _written(options: dict[str, Any], topics: list[str]) -> dict[str, bool]:
    """Return of each topic whether a record was taken or refused."""
    found: dict[str, bool] = {}
    producer = Producer(options | {"message.timeout.ms": 20_000})

    def told(topic: str, error: KafkaError | None) -> None:
        assert error is None or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, error
        found[topic] = error is None

    for topic in topics:
        producer.produce(f"{NAME}.{topic}", b"x", b"k", 0, on_delivery=lambda error, _, topic=topic: told(topic, error))
    assert producer.flush(30) == 0
    return found


def test_whoever_may_not_publish_is_told_so(cluster: KafkaTestCluster, folder: Path, topics: list[str]) -> None:
    everything = list(simulate(accounts=3, days=1, seed=5))
    events, days = ([e for e in everything if isinstance(e, kind)] for kind in (ev.AccountOpened, ev.DayClosed))
    # He may write elsewhere, and read this, so that he knows its partitions.
    gateway = settings_for(cluster, folder, "partner-gateway")
    with pytest.raises(FatalError, match=r"Kafka refused AccountOpened \S+ for rights.accounts.*reprieve topics acl"):
        asyncio.run(publish(gateway, Codec(), events))
    with pytest.raises(FatalError, match=r"rights.clock, or this user may not know of it"):
        asyncio.run(publish(gateway, Codec(), days))
    auditor = settings_for(cluster, folder, "auditor")
    with pytest.raises(
        FatalError, match=r"Kafka does not let this user do that: ClusterAuthorization.*reprieve topics acl"
    ):
        run_on_kafka(publish(auditor, Codec(), events), auditor)


def test_an_audit_chain_is_whole_though_writes_were_refused(
    cluster: KafkaTestCluster, folder: Path, topics: list[str]
) -> None:
    shown = [(f"B{n}", ["means.region"]) for n in range(5)]

    async def record() -> list[ev.PersonalDataRead]:
        audit = KafkaAudit(settings_for(cluster, folder, "console"), Codec(), "reprieve.console")
        await audit.record(shown, "li.wei", "hotline")
        allowed, audit._settings = audit._settings, settings_for(cluster, folder, "auditor")
        with pytest.raises(ClusterAuthorizationFailedError):
            await audit.record(shown, "li.wei", "hotline")
        audit._settings = allowed
        await audit.record(shown, "li.wei", "complaint")
        async with connected(AIOKafkaConsumer(**allowed.kafka.client_options())) as consumer:
            consumer.assign([place := Place(f"{NAME}.audit", 0)])
            await consumer.seek_to_beginning(place)
            end = (await consumer.end_offsets([place]))[place]
            values = [(await consumer.getone(place)).value for _ in range(end)]
        events = [Codec().decode(value) for value in values if value != b"x"]
        return [e for e in events if isinstance(e, ev.PersonalDataRead)]

    found = asyncio.run(record())
    assert sorted((e.purpose, e.borrower_id) for e in found) == sorted(
        (purpose, borrower) for purpose in ("complaint", "hotline") for borrower, _ in shown
    )
    assert breaks(found) == []
    assert len({e.chain for e in found}) == 2


@pytest.mark.parametrize("role", sorted(ROLES))
def test_each_role_has_its_group_and_few_have_transactions(
    role: str, cluster: KafkaTestCluster, folder: Path, topics: list[str]
) -> None:
    options = librdkafka_options(settings_for(cluster, folder, role))
    mine = next((f"{NAME}.{t}" for t in topics if role in READERS[t]), f"{NAME}.offers")
    for owner, group in GROUPS.items():
        assert _joins(options, mine, group) == (owner == role), group
    for name in (f"{NAME}-0", f"{NAME}-letters", "another-0"):
        own = (role == "worker" and name != "another-0") or (role == "console" and name == f"{NAME}-letters")
        assert _transacts(options, name) == own, name


def _joins(options: dict[str, Any], topic: str, group: str) -> bool:
    joined: list[object] = []
    consumer = Consumer(options | {"group.id": group, "enable.auto.commit": False})
    try:
        consumer.subscribe([topic], on_assign=lambda _, partitions: joined.append(partitions))
        deadline = time.monotonic() + 30
        while not joined:
            assert time.monotonic() < deadline, f"{group} was neither joined nor refused"
            message = consumer.poll(0.2)
            if message is not None and message.error() is not None:
                assert message.error().code() in (
                    KafkaError.GROUP_AUTHORIZATION_FAILED,
                    KafkaError.TOPIC_AUTHORIZATION_FAILED,
                )
                return False
    finally:
        consumer.close()
    return True


def _transacts(options: dict[str, Any], name: str) -> bool:
    try:
        Producer(options | {"transactional.id": name}).init_transactions(20)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            raise
        return False
    return True


def test_only_the_administrator_makes_topics_or_gives_rights(cluster: KafkaTestCluster, folder: Path) -> None:
    everybody = [*sorted(ROLES), "other"]
    for user in everybody:
        if user != "admin":
            settings = settings_for(cluster, folder, user)
            with pytest.raises(FatalError, match="does not let this user give rights"):
                grant(settings, principals(settings, {"worker": f"User:{user}"}))
            with pytest.raises((FatalError, AiokafkaError)):
                asyncio.run(apply_topics(settings_for(cluster, folder, user, "rights.more")))
    admin = settings_for(cluster, folder, "admin")
    assert grant(admin, principals(admin, {})) == []
    more = settings_for(cluster, folder, "admin", f"{NAME}.more")
    assert asyncio.run(apply_topics(more))
    with pytest.raises((FatalError, AiokafkaError)):
        asyncio.run(apply_topics(settings_for(cluster, folder, "admin", "elsewhere")))


def test_rights_beyond_what_is_needed_are_told(cluster: KafkaTestCluster, folder: Path, topics: list[str]) -> None:
    settings = settings_for(cluster, folder, None)
    who = principals(settings, {})
    twice = who | {"loan-system": who["payment-system"]}
    told = grant(settings, twice)
    assert any(f"given: User:payment-system may WRITE TOPIC {NAME}.accounts" in line for line in told)
    found = grant(settings, who)
    assert f"beyond what is needed: User:payment-system may WRITE TOPIC {NAME}.accounts" in found


def test_an_operator_releases_keys_from_quarantine(
    cluster: KafkaTestCluster, folder: Path, topics: list[str], tmp_path: Path
) -> None:
    async def hold(row: HeldKey) -> None:
        async with AIOKafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
            await producer.send_and_wait(f"{NAME}.account-changelog", msgpack.encode(row), key=quarantine_key(0))

    def run(user: str, *command: str) -> Any:
        config = tmp_path / f"{user}.toml"
        groups = {"kafka": connection(cluster, folder, user), "topics": {"prefix": f"{NAME}.", "partitions": 1}}
        config.write_text(
            "".join(f"[{n}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in g.items()) for n, g in groups.items()),
            "utf-8",
        )
        return CliRunner().invoke(cli, ["quarantine", *command, "--kafka", "--config", str(config)])

    asyncio.run(hold(HeldKey("planner", "B1", f"{NAME}.profiles/0/0", "ZeroDivisionError", 0)))
    listed = run("operator", "list", "--json")
    assert listed.exit_code == 0, (listed.output, listed.exception)
    assert json.loads(listed.stdout)["key"] == "B1"
    released = run("operator", "release", "B1")
    assert released.exit_code == 0, (released.output, released.exception)
    # Who closes days may not see what is held, and who reads all may release nothing.
    assert isinstance(run("calendar", "list").exception, FatalError)
    assert isinstance(run("console", "release", "B1").exception, FatalError)


@pytest.fixture(scope="module")
def guarded_redis(folder: Path) -> Iterator[RedisServer]:
    """A redis-server by TLS alone, with the users that `reprieve views acl` names, and one who may do all."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not here, and this machine cannot install it")
    users = [f"{user} on >{PASSWORD} {rule}" for user, rule in acl_rules("v:").items()]
    users.append(f"root on >{PASSWORD} ~* &* +@all")
    files = [folder / name for name in ("ca.pem", "own.pem", "own.key")]
    with GuardedRedis(folder / "redis", *files, users) as made:
        yield made


def redis_options(server: RedisServer, folder: Path, user: str) -> dict[str, Any]:
    """Return how a user of Redis connects."""
    return {
        "url": server.url,
        "username": user,
        "password": PASSWORD,
        "ssl_ca_certs": str(folder / "ca.pem"),
        "ssl_certfile": str(folder / "own.pem"),
        "ssl_keyfile": str(folder / "own.key"),
    }


def test_a_lender_runs_with_no_more_rights_than_each_role_has(
    cluster: KafkaTestCluster, folder: Path, tmp_path: Path, guarded_redis: RedisServer
) -> None:
    events: list[ev.Event] = list(simulate(accounts=12, days=8, seed=4, start=date(2026, 1, 5)))
    with WorkerCluster(
        cluster.bootstrap, tmp_path, "least", connection=connection(cluster, folder, "worker")
    ) as workers:
        base = workers.settings()
        grant(base, principals(base, {}))
        workers.publish(events)
        workers.start()
        workers.wait_until_idle()
        workers.assert_exact(events)
        views = Settings.load(
            kafka=connection(cluster, folder, "views"),
            privacy=base.privacy.model_dump(),
            topics=base.topics.model_dump(),
            redis={"url": guarded_redis.url, "prefix": "v:"},
            worker=base.worker.model_dump(exclude={"data_dir"}),
        )

        async def project() -> dict[str, str] | None:
            async with AsyncRedis.from_url(**redis_options(guarded_redis, folder, "projector")) as redis:
                async with Projector(views, redis) as projector:
                    assert await projector.catch_up()
                assert await rebuild(views, redis)
            async with AsyncRedis.from_url(**redis_options(guarded_redis, folder, "reader")) as redis:
                account = next(e.account_id for e in events if isinstance(e, ev.AccountOpened))
                reading = Views(redis, "v:")
                await reading.worst("CNY")
                await reading.at("expiring", 0, 10)
                await reading.currencies()
                return await reading.view("account", account)

        assert asyncio.run(project())


REFUSED: Mapping[str, list[tuple[str, ...]]] = {
    "projector": [
        ("SET", "other:1", "x"),
        ("GET", "other:1"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("KEYS", "*"),
        ("EVAL", "return 1", "0"),
        ("PUBLISH", "other", "x"),
        ("ACL", "LIST"),
        ("RENAME", "v:generation", "v:x"),
    ],
    "reader": [
        ("SET", "v:generation", "7"),
        ("DEL", "v:generation"),
        ("HSET", "v:1:account:A", "x", "y"),
        ("GET", "other:1"),
        ("PUBLISH", "v:changes", "x"),
        ("SUBSCRIBE", "other"),
        ("SCAN", "0"),
        ("MONITOR",),
        ("CLIENT", "LIST"),
    ],
}


@pytest.mark.parametrize("user", sorted(REFUSED))
def test_redis_refuses_what_views_do_not_need(user: str, folder: Path, guarded_redis: RedisServer) -> None:
    with Redis.from_url(**redis_options(guarded_redis, folder, "root")) as root:
        root.set("other:1", "kept")
    with Redis.from_url(**redis_options(guarded_redis, folder, user)) as client:
        for command in REFUSED[user]:
            with pytest.raises(NoPermissionError):
                client.execute_command(*command)
        # What it may, it may.
        client.get("v:generation")
    wrong = redis_options(guarded_redis, folder, user) | {"password": "guess"}
    with Redis.from_url(**wrong) as client, pytest.raises(AuthenticationError):
        client.ping()


def test_a_reader_of_views_may_ask_all_that_there_is_to_ask(folder: Path, guarded_redis: RedisServer) -> None:
    async def ask() -> list[object]:
        async with AsyncRedis.from_url(**redis_options(guarded_redis, folder, "reader")) as redis:
            views = Views(redis, "v:")
            return [
                await views.view("account", "nobody"),
                await views.worst("XXX"),
                await views.at("expiring", 0, 0),
                bool(await views.currencies()),
            ]

    assert asyncio.run(ask())[:3] == [None, [], []]


def test_lines_for_kafkas_own_tool_say_the_same_as_the_data(tmp_path: Path) -> None:
    run = CliRunner()
    found = json.loads(run.invoke(cli, ["topics", "acl", "--json", "--user", "worker=User:CN=worker one"]).output)
    lines = run.invoke(cli, ["topics", "acl", "--user", "worker=User:CN=worker one"]).output.splitlines()
    assert len(lines) == sum(len(role["rights"]) for role in found)
    assert sum("'User:CN=worker one'" in line for line in lines) == len(found[0]["rights"])
    for line in lines:
        assert line.startswith("kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --add --allow-principal ")
    wrong = run.invoke(cli, ["topics", "acl", "--user", "boss=User:x"])
    assert isinstance(wrong.exception, UsageError)


def test_a_worker_that_forwards_records_may_write_inputs() -> None:
    plain, rekey = Settings.load(), Settings.load(worker={"wrong_partition": "rekey"})
    more = set(kafka_acls_commands(rekey, principals(rekey, {}))) - set(
        kafka_acls_commands(plain, principals(plain, {}))
    )
    assert {line.split("--topic ")[1] for line in more} == {
        f"reprieve.{t}" for t in ("accounts", "payments", "collections", "profiles", "feedback")
    }
