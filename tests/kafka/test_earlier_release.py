"""Topics, changelogs and registered schemas of release 0.1.0 are read and continued, and shown by console and views."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from console.server import ConsoleServer
from deploy.local.redis import RedisServer
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import FatalError
from state.policy_packs.loader import default_book
from streams.cli import cli
from streams.local.runtime import LocalRuntime
from streams.registry import ConfluentRegistry
from streams.settings import RegistrySettings
from streams.views.projector import Projector
from tests.kafka.test_console import asked, assert_same, caught_up, console, served
from tests.kafka.test_views import settings_for, shown_in, views_of, with_redis
from tests.support.earlier_release import STILL, EarlierRelease, continued, outputs_and_states
from tests.support.registry_server import RegistryServer
from tests.support.servers import KafkaTestCluster
from tests.support.worker_cluster import WorkerCluster

AGENTS = ("account", "planner", "learner")


@pytest.fixture
def old(tmp_path: Path) -> EarlierRelease:
    return EarlierRelease(tmp_path / "old")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not here, and this machine cannot install it")
    with RedisServer(tmp_path / "redis") as made:
        yield made


@contextmanager
def registry_of(old: EarlierRelease, folder: Path, compatibility: str) -> Iterator[str]:
    """Yield the address of a registry that has what release 0.1.0 registered, under the ids that it had."""
    with RegistryServer(folder) as server, closing(ConfluentRegistry(RegistrySettings(url=server.url))) as client:
        for number, subject, schema in old.registered:
            assert client.register(subject, schema) == number
        request = urllib.request.Request(
            f"{server.url}/config",
            json.dumps({"compatibility": compatibility}).encode(),
            {"Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200
        yield server.url


def reprieve(*command: str, environment: dict[str, str] | None = None) -> str:
    found = CliRunner().invoke(cli, command, env=environment)
    assert found.exit_code == 0, (command, found.output, found.exception)
    return found.output


@pytest.mark.parametrize("compatibility", ["BACKWARD", "FULL_TRANSITIVE"])
def test_a_registry_takes_the_schemas_beside_former_ones(
    old: EarlierRelease, tmp_path: Path, kafka_parts: None, compatibility: str
) -> None:
    with registry_of(old, tmp_path / "registry", compatibility) as url:
        environment = {"REPRIEVE_REGISTRY__URL": url}
        once = reprieve("schemas", "register", environment=environment)
        assert reprieve("schemas", "register", environment=environment) == once
        with closing(ConfluentRegistry(RegistrySettings(url=url))) as client:
            for number, _, schema in old.registered:
                assert json.loads(client.schema(number)) == json.loads(schema)
            # It would refuse what does not fit.
            subject, schema = next((s, json.loads(t)) for _, s, t in old.registered if s.endswith("PaymentReceived"))
            schema["fields"].append({"name": "another", "type": "string"})
            schema["fields"] = [field for field in schema["fields"] if field["name"] != "amount"]
            with pytest.raises(FatalError, match="refuses the schema"):
                client.register(subject, json.dumps(schema))
    assert {subject for _, subject, _ in old.registered if subject not in once} == {
        f"reprieve.{topic}-reprieve.{name}"
        for topic, name in (
            ("delinquency", "Corrected"),
            ("workout-requests", "ContactNoted"),
            ("evidence", "EvidenceGathered"),
        )
    }


def test_a_deployment_of_before_goes_on_where_it_was(
    old: EarlierRelease, tmp_path: Path, kafka_parts: None, redis: RedisServer
) -> None:
    with LocalRuntime.open(old.data, default_book()) as runtime:
        _, before = outputs_and_states(runtime, AGENTS)
        given, later = continued(old, runtime)
        said, kept = outputs_and_states(runtime, AGENTS)
        views = views_of(runtime)
    assert {type(event) for event in later} >= {ev.OfferPublished, ev.PlanActivated, ev.ModelUpdated}
    refused = Counter(event.code for event in said if isinstance(event, ev.DeadLetter))
    folder = tmp_path / "workers"
    folder.mkdir()
    shutil.copy(old.keys, folder)
    with (
        registry_of(old, tmp_path / "registry", "FULL_TRANSITIVE") as url,
        closing(ConfluentRegistry(RegistrySettings(url=url))) as client,
        KafkaTestCluster(old.kafka, properties=STILL) as cluster,
        WorkerCluster(cluster.bootstrap, folder, "reprieve", partitions=2) as workers,
    ):
        workers.registry = url
        workers.codec = Codec(client)
        # Each account and borrower is there, as the release of before left it.
        assert workers.states() == before
        workers.start()
        workers.wait(lambda: workers.processes["one"].poll() is not None, "a word about the missing schemas")
        assert "Run `reprieve schemas register`" in workers.log()
        del workers.processes["one"]
        reprieve("schemas", "register", "--config", str(folder / "one.toml"))
        workers.start()
        workers.publish(given[old.published - old.cut :])
        workers.wait_until_idle(300)
        compared = workers.assert_same(said, kept, refused)
        assert compared["EventSuperseded"] > 0
        with console(workers) as program:
            caught_up(workers, program)
            found = served(program.url, old.history)
        settings = settings_for(workers, redis.url)

        async def project(client: Any) -> dict[str, Any]:
            async with Projector(settings, client) as projector:
                await projector.catch_up()
            return await shown_in(client, settings)

        assert with_redis(redis.url, project) == views
        assert workers.stop() == 0
    with ConsoleServer(old.data) as local:
        while asked(local.url, "/readyz")[0] != 200:
            time.sleep(0.05)
        assert_same(found, served(local.url, old.history))
