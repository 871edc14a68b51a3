"""A lane without Kafka: what records do to its batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from agents.account import AccountAgent
from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import TOPIC_OF, key_of
from state.account import AccountState
from state.pack import default_book
from streams.kafka.lane import Lane
from streams.kafka.lane_rows import LaneRows
from streams.kafka.seat import Seat
from streams.kafka.store import PartitionStore

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@dataclass
class Given:
    """A record as a consumer hands it over."""

    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    partition: int = 0
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def record(event: ev.Event, offset: int) -> Given:
    """Return an event's record."""
    return Given(TOPIC_OF[type(event)].name, offset, (key_of(event) or "").encode(), Codec().encode(event))


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    """Return the only lane of a deployment with one partition and the account agent."""
    store, book = PartitionStore(tmp_path / "p"), default_book()
    yield Lane(0, 1, [Seat(AccountAgent(), AccountState, LaneRows(store), book, 100)], book, Codec(), prefix="")
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


def test_a_payment_that_waited_and_comes_again_with_its_account_counts_once(lane: Lane) -> None:
    seat = lane.seats[0]
    lane.take({"accounts": [record(OPENED, 0)], "payments": [record(PAID, 0)]})
    once = seat.desk.state("A1")
    assert once is not None

    seat = Seat(seat.agent, AccountState, LaneRows(seat.rows.store), default_book(), 100)
    other = Lane(0, 1, [seat], default_book(), Codec(), prefix="")
    other.take({"payments": [record(PAID, 0)]})
    assert list(seat.rows.waiting) == ["A1"]
    other.settled({"account": 1})
    other.take({"accounts": [record(OPENED, 0)], "payments": [record(PAID, 1)]})
    assert seat.desk.state("A1") == once
    assert not list(seat.rows.waiting)


def close_in_pages(folder: Path, page: int, ends_after: int | None = None) -> list[tuple[str, bytes | None, bytes]]:
    """Open accounts, and close the day on which they are missed; returns what was said, in order.

    ends_after: the worker ends behind so many pages that were committed, and is started again.
    """
    store, book, codec = PartitionStore(folder), default_book(), Codec()
    said: list[tuple[str, bytes | None, bytes]] = []

    def started() -> tuple[Lane, Seat]:
        seat = Seat(AccountAgent(), AccountState, LaneRows(store), book, 2)
        return Lane(0, 1, [seat], book, codec, prefix=""), seat

    def committed(lane: Lane) -> None:
        said.extend((saying.topic, saying.key, saying.value) for saying in lane.batch.said)
        lane.settled({"account": 1})

    lane, seat = started()
    ids = [f"A{number}" for number in range(7)]
    lane.take({"accounts": [record(replace(OPENED, account_id=a, event_id=f"open-{a}"), n) for n, a in enumerate(ids)]})
    committed(lane)
    closes = date(2026, 2, 12)
    day = ev.DayClosed(event_id="close", occurred_at=NOON, source="test", business_date=closes, calendar="CN")
    at = record(day, 0)
    for number, _ in enumerate(lane.close(seat, at, day, page), 1):
        committed(lane)
        if number == ends_after:
            break
    if ends_after is not None:
        lane, seat = started()
        for _ in lane.close(seat, at, day, page):
            committed(lane)
    committed(lane)
    assert seat.closed_through == closes
    assert seat.rows.due("account", closes.toordinal()) == []
    store.close()
    return said


def test_a_day_closed_in_pages_is_the_day_closed_at_once_wherever_the_worker_ends(tmp_path: Path) -> None:
    whole = close_in_pages(tmp_path / "whole", 100)
    assert {key for topic, key, _ in whole if topic == "delinquency"} == {f"A{n}".encode() for n in range(7)}
    for page in (1, 2, 3, 7):
        assert close_in_pages(tmp_path / f"pages-{page}", page) == whole
        for ends_after in range(1, 7 // page + 1):
            assert close_in_pages(tmp_path / f"ends-{page}-{ends_after}", page, ends_after) == whole
