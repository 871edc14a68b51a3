"""A task without Kafka: what records do to its batch."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from schemas import events as ev
from streams.engine.task import StreamTask
from streams.kafka.rocksdb_store import RocksDBStore
from streams.kafka.store_transaction import TaskStores
from tests.support.in_memory_cluster import AGENTS, record_of, stream_task

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


ACCOUNTS = [(agent, kind) for agent, kind in AGENTS if agent.name == "account"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksDBStore]:
    """Return the store of the account agent, in a deployment with one partition."""
    store = RocksDBStore(tmp_path / "p")
    yield store
    store.close()


OPENED = ev.AccountOpened(
    event_id="open",
    occurred_at=NOON,
    source="test",
    account_id="A1",
    borrower_id="B1",
    product="personal_loan",
    jurisdiction="CN",
    currency="CNY",
    opened_on=date(2026, 1, 5),
    annual_rate_bps=1_200,
    principal=100_000,
    instalments=(ev.Instalment(number=1, due_on=date(2026, 2, 5), principal=100_000, interest=1_000, fees=0),),
)
PAID = ev.PaymentReceived(
    event_id="pay",
    occurred_at=NOON,
    source="test",
    payment_id="P1",
    account_id="A1",
    amount=50_000,
    currency="CNY",
    value_on=date(2026, 1, 5),
    channel="transfer",
)


def test_a_parked_payment_that_comes_again_counts_once(store: RocksDBStore) -> None:
    task, _ = stream_task({"account": store}, ACCOUNTS)
    task.process_batch({"accounts": [record_of(OPENED, 0)], "payments": [record_of(PAID, 0)]})
    once = task.agent_tasks[0].store.state("A1")
    assert once is not None

    other, rows = stream_task({"account": store}, ACCOUNTS)
    other.process_batch({"payments": [record_of(PAID, 0)]})
    assert list(other.store.parked_keys) == ["A1"]
    rows.apply({"account": 1})
    other.post_commit()
    other.process_batch({"accounts": [record_of(OPENED, 0)], "payments": [record_of(PAID, 1)]})
    assert other.agent_tasks[0].store.state("A1") == once
    assert not list(other.store.parked_keys)


Said = list[tuple[str, bytes | None, bytes | None]]


def close_in_pages(folder: Path, page: int, ends_after: int | None = None) -> Said:
    """Open accounts, and close the day on which they are missed; returns what was said, in order.

    ends_after: the worker ends behind so many pages that were committed, and is started again.
    """
    store = RocksDBStore(folder)
    said: Said = []

    def committed(task: StreamTask, rows: TaskStores) -> None:
        said.extend((record.topic, record.key, record.value) for record in task.prepare_commit().records)
        rows.apply({"account": 1})
        task.post_commit()

    task, rows = stream_task({"account": store}, ACCOUNTS, cached=2)
    ids = [f"A{number}" for number in range(7)]
    opened = [record_of(replace(OPENED, account_id=a, event_id=f"open-{a}"), n) for n, a in enumerate(ids)]
    task.process_batch({"accounts": opened})
    committed(task, rows)
    closes = date(2026, 2, 12)
    day = ev.DayClosed(event_id="close", occurred_at=NOON, source="test", business_date=closes, calendar="CN")
    at = record_of(day, 0)
    for number, _ in enumerate(task.close(task.agent_tasks[0], at, day, page), 1):
        committed(task, rows)
        if number == ends_after:
            break
    if ends_after is not None:
        task, rows = stream_task({"account": store}, ACCOUNTS, cached=2)
        for _ in task.close(task.agent_tasks[0], at, day, page):
            committed(task, rows)
    committed(task, rows)
    agent_task = task.agent_tasks[0]
    assert agent_task.closed_through == closes
    assert agent_task.rows.due("account", closes.toordinal()) == []
    store.close()
    return said


def test_a_day_closed_in_pages_equals_one_closed_at_once(tmp_path: Path) -> None:
    whole = close_in_pages(tmp_path / "whole", 100)
    assert {key for topic, key, _ in whole if topic == "delinquency"} == {f"A{n}".encode() for n in range(7)}
    for page in (1, 2, 3, 7):
        assert close_in_pages(tmp_path / f"pages-{page}", page) == whole
        for ends_after in range(1, 7 // page + 1):
            assert close_in_pages(tmp_path / f"ends-{page}-{ends_after}", page, ends_after) == whole
