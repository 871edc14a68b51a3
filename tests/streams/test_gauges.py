"""What workers tell Prometheus is exact, counted once over all of them, and names nobody."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from schemas import events as ev
from simulator.runs import simulate
from state.portfolio import Portfolio
from streams.kafka.gauges import metrics_table
from tests.support.in_memory_cluster import InMemoryCluster, InMemoryWorker, account_states

ACCOUNTS, DAYS = 120, 170


@cache
def history() -> tuple[ev.Event, ...]:
    """Return a population's events: enough of both for bad debts, plans, answers, and plans that break."""
    return tuple(simulate(accounts=ACCOUNTS, days=DAYS, seed=4, start=date(2026, 1, 5)))


def summed(*owners: InMemoryWorker) -> Counter[tuple[str, ...]]:
    """Return what workers tell, as Prometheus sums it up."""
    total: Counter[tuple[str, ...]] = Counter()
    for owner in owners:
        total.update({key: int(value) for key, value in owner.values().items() if value})
    return total


@pytest.fixture(scope="module")
def worked(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[InMemoryCluster, InMemoryWorker, InMemoryWorker, list[Counter[tuple[str, ...]]]]:
    """Return a house after the history, in which partitions changed workers, and what these told meanwhile."""
    cluster, one, two = InMemoryCluster(tmp_path_factory.mktemp("tasks")), InMemoryWorker(), InMemoryWorker()
    told = []

    async def run() -> None:
        events = history()
        cluster.open(one, 0)
        cluster.open(one, 1)
        cluster.publish(events[: len(events) // 2])
        await cluster.settle(one)
        told.append(summed(one, two))
        await cluster.leave(one, 1)
        cluster.open(two, 1)
        told.append(summed(one, two))
        cluster.publish(events[len(events) // 2 :])
        await cluster.settle(one, two)
        told.append(summed(one, two))
        await cluster.leave(one, 0)
        cluster.open(two, 0)
        told.append(summed(one, two))
        # Stopped as a worker's end stops them; what they told last can still be asked for.
        for executor in two.running():
            await executor.stop(5)

    asyncio.run(run())
    return cluster, one, two, told


Worked = tuple[InMemoryCluster, InMemoryWorker, InMemoryWorker, list[Counter[tuple[str, ...]]]]


def portfolio_of(cluster: InMemoryCluster, owner: InMemoryWorker) -> Portfolio:
    """Return the portfolio as counted anew from all stored states."""
    fresh = Portfolio(cluster.book)
    for executor in owner.running():
        for state in account_states(executor.task):
            fresh.move(None, state)
    return fresh


def test_gauges_kept_incrementally_equal_a_full_count(worked: Worked) -> None:
    cluster, _, two, _ = worked
    kept: Counter[tuple[str, ...]] = Counter()
    amounts: Counter[tuple[str, ...]] = Counter()
    for executor in two.running():
        for key, (count, amount) in executor.task.committed_portfolio.items():
            kept[key] += count
            amounts[key] += amount
    fresh = portfolio_of(cluster, two).copy()
    # What was recovered is a history, which the present states do not tell.
    recovered = {key for key in kept if key[0] == "recovered"}
    assert {k: (kept[k], amounts[k]) for k in kept if k not in recovered and (kept[k] or amounts[k])} == fresh
    assert {key[0] for key in fresh} == {
        "bucket", "bad_debt", "bad_since", "class", "stage", "allowance", "standing", "plan", "plan_due"
    }  # fmt: skip
    assert sum(count for key, (count, _) in fresh.items() if key[0] == "bucket") == ACCOUNTS


def test_a_partition_that_moves_between_workers_counts_once(worked: Worked) -> None:
    *_, told = worked
    moving = "reprieve_commit_age_seconds"
    before, taken, later, last = ({k: v for k, v in t.items() if k[0] != moving} for t in told)
    portfolio = {
        k for k in before if k[0] not in ("reprieve_input_lag_records", "reprieve_closed_through_timestamp_seconds")
    }
    assert {k: before[k] for k in portfolio} == {k: taken[k] for k in portfolio}
    assert {k: v for k, v in later.items() if k in portfolio} == {k: v for k, v in last.items() if k in portfolio}
    assert len(portfolio) > 20


def test_money_paid_on_bad_debts_is_what_payments_say(worked: Worked) -> None:
    cluster, _, _, told = worked
    bad: dict[str, list[tuple[date, bool]]] = {}
    for _, event in cluster.said("delinquency"):
        if isinstance(event, ev.BadDebtChanged):
            bad.setdefault(event.account_id, []).append(
                (event.business_date, event.to in ("candidate", "recognised", "charged_off", "recovering"))
            )
    paid = sum(
        event.amount
        for _, event in cluster.said("payments")
        if isinstance(event, ev.PaymentReceived)
        and [is_bad for day, is_bad in [(date.min, False), *bad.get(event.account_id, [])] if day < event.value_on][-1]
    )
    found = sum(v for k, v in told[-1].items() if k[0] == "reprieve_bad_debts_recovered_minor_units")
    assert found > 0
    assert found == paid


def test_lag_and_age_are_none_without_records_and_true_with(tmp_path: Path) -> None:
    cluster, owner = InMemoryCluster(tmp_path, 1), InMemoryWorker()

    async def run() -> None:
        cluster.open(owner, 0)
        cluster.publish(e for e in history()[:50] if not isinstance(e, ev.DayClosed))
        # Nothing was fetched yet.
        cluster.feed(0, owner.executors[0])
        lag = sum(v for k, v in owner.values().items() if k[0] == "reprieve_input_lag_records")
        assert lag == sum(map(len, cluster.logs.values()))
        assert owner.values()["reprieve_commit_age_seconds", "0"] > 0
        await cluster.settle(owner)
        assert not any(v for k, v in owner.values().items() if k[0] == "reprieve_input_lag_records")
        assert owner.values()["reprieve_commit_age_seconds", "0"] == 0
        # A batch is in hand; more than it was fetched, and the fetcher knows of still more.
        owner.executors[0].update_positions({"payments": (3, 10)})
        assert owner.values()["reprieve_input_lag_records", "payments", "0"] == 7
        await owner.executors[0].stop(5)

    asyncio.run(run())
    cluster.close()


def test_no_metric_names_an_account_a_borrower_or_an_event(worked: Worked) -> None:
    cluster, _, two, _ = worked
    names: set[str] = set()
    for log in cluster.logs.values():
        names |= {(record.key or b"").decode() for record in log}
    for event in history():
        names |= {v for v in (getattr(event, f, None) for f in event.__struct_fields__) if isinstance(v, str)}
    # Codes are strings too, and closed sets of them are what labels are for.
    ids = {name for name in names if re.search(r"\d", name)} - {"1", "2", "3"}
    assert len(ids) > 500
    labels = {
        (label, value)
        for collector in (REGISTRY, two.gauges)
        for family in collector.collect()
        if family.name.startswith("reprieve_")
        for sample in family.samples
        for label, value in sample.labels.items()
    }
    assert {value for _, value in labels} & ids == set()
    allowed = {
        "topic", "partition", "code", "cause", "le", "old", "new", "kind", "tone", "how", "reason", "what", "arm",
        "guardrail", "rule", "answer", "channel", "policy", "currency", "bucket", "status", "months", "class", "stage",
        "standing", "months_ahead", "agent", "jurisdiction", "calendar",
    }  # fmt: skip
    # Other processes' metrics may be in this registry too, with labels of their own.
    told = {name for row in metrics_table() for name in row.split("|")[3].replace(",", " ").split()}
    assert told <= allowed
    # A topic's name may be as long as Kafka lets it be, with the prefix of its deployment.
    longest = {"topic": 249}
    odd = {(n, v) for n, v in labels if n in allowed and not re.fullmatch(r"[A-Za-z0-9_+.\-]+", v)}
    assert odd == set()
    assert {(n, v) for n, v in labels if n in allowed and len(v) > longest.get(n, 40)} == set()


def test_the_guide_has_every_metric_with_what_it_is(repository: Path) -> None:
    guide = (repository / "docs" / "operations.md").read_text("utf-8").split("\n## Metrics\n")[1].splitlines()
    told = [line for line in guide if line.startswith("| `reprieve_")]
    assert told == metrics_table(), "python -m streams.kafka.gauges"


def counters() -> Counter[tuple[str, ...]]:
    """Return all that is counted so far in this process, by metric and labels."""
    samples = [sample for family in REGISTRY.collect() for sample in family.samples]
    return Counter(
        {(s.name, *s.labels.values()): int(s.value) for s in samples if re.fullmatch(r"reprieve_\w+_total", s.name)}
    )


def test_what_is_counted_is_what_was_read_said_and_answered(tmp_path: Path) -> None:
    cluster, owner, before = InMemoryCluster(tmp_path, 2), InMemoryWorker(), counters()

    async def run() -> None:
        cluster.open(owner, 0)
        cluster.open(owner, 1)
        cluster.publish(history())
        # The same answers again: read, and no answers.
        cluster.publish(event for event in history() if isinstance(event, ev.OfferAnswered))
        cluster.append("payments", 0, b"A1", b"no event")
        await cluster.settle(owner)
        for executor in owner.running():
            await executor.stop(5)

    asyncio.run(run())
    found = counters() - before
    for topic in ("accounts", "payments", "collections", "profiles", "feedback", "clock", "plans", "workout-requests"):
        records = sum(len(log) for (name, _), log in cluster.logs.items() if name == topic)
        assert found["reprieve_records_read_total", topic] == records, topic
    for topic in ("delinquency", "offers", "plans", "decisions", "dead-letters"):
        assert found["reprieve_records_produced_total", topic] == len(cluster.said(topic)) > 0, topic
    moves = Counter((e.from_, e.to) for _, e in cluster.said("delinquency") if isinstance(e, ev.DelinquencyChanged))
    assert moves == {k[1:]: v for k, v in found.items() if k[0] == "reprieve_bucket_transitions_total"}
    answers = Counter((e.answer, e.channel) for e in history() if isinstance(e, ev.OfferAnswered))
    assert answers == {k[1:]: v for k, v in found.items() if k[0] == "reprieve_offer_answers_total"}
    assert sum(answers.values()) > 0
    assert found["reprieve_records_refused_total", "unreadable"] == 1
    cluster.close()
