"""A short form of `make chaos`, and what it has found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.processes import addresses
from schemas import events as ev
from simulator.runs import simulate
from tests.chaos.answer_order import answers_apart
from tests.chaos.chaos_run import START, ChaosRun
from tests.support.faulty_proxy import FaultyProxy
from tests.support.servers import KafkaTestCluster
from tests.support.worker_cluster import WorkerCluster


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultyProxy]:
    """A proxy for one broker."""
    with FaultyProxy(1) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(
    kafka_parts: None, proxy: FaultyProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaTestCluster]:
    """A broker behind it."""
    with KafkaTestCluster(tmp_path_factory.mktemp("kafka"), fronts=proxy.ports) as made:
        proxy.set_targets(made.behind)
        yield made


def test_a_dozen_faults_leave_the_answer_exact(cluster: KafkaTestCluster, proxy: FaultyProxy, tmp_path: Path) -> None:
    run = ChaosRun(tmp_path, cluster, proxy, seed=20_261_124)
    with run.workers:
        compared = run.run(15, accounts=60, days=75)
    assert run.injected == 15
    assert compared.total() > 200
    assert compared["OfferPublished"]
    assert compared["EventSuperseded"]


def test_an_answer_comes_on_a_day_without_other_events() -> None:
    events = list(simulate(accounts=120, days=100, seed=7, start=START))
    told = answers_apart(events)
    owners = {e.account_id: e.borrower_id for e in events if isinstance(e, ev.AccountOpened)}
    day, heard = 0, defaultdict[tuple[str, int], set[bool]](set)
    for event in told:
        day += isinstance(event, ev.DayClosed)
        account = getattr(event, "account_id", None)
        borrower = owners[account] if account else getattr(event, "borrower_id", "")
        heard[borrower, day].add(isinstance(event, ev.OfferAnswered))
    assert {frozenset(kinds) for kinds in heard.values()} == {frozenset({True}), frozenset({False})}
    answers = [e for e in told if isinstance(e, ev.OfferAnswered)]
    before = {e.event_id: e for e in events if isinstance(e, ev.OfferAnswered)}
    assert len(answers) > 0.9 * len(before)
    assert any(e.occurred_at > before[e.event_id].occurred_at for e in answers)
    assert [e for e in told if e not in answers] == [e for e in events if not isinstance(e, ev.OfferAnswered)]


def test_a_worker_that_cannot_join_its_group_ends_when_told(
    cluster: KafkaTestCluster, proxy: FaultyProxy, tmp_path: Path
) -> None:
    connection = {"bootstrap_servers": addresses(proxy.ports)}
    with WorkerCluster(cluster.bootstrap, tmp_path, "alone", connection=connection) as workers:
        workers.start()
        workers.wait(lambda: bool(workers.log_lines("deployment_recorded")), "its start")
        proxy.set_targets([1])
        proxy.cut()
        # It complains in one of some ways: it had connected already, or it had not.
        words = ("Unable to update metadata", "joining the group", "looking at the topics")
        workers.wait(lambda: any(word in workers.log() for word in words), "a word about it")
        assert workers.stop() == 0
        proxy.set_targets(cluster.behind)
