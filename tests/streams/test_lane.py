"""A lane without Kafka: what records do to its batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from agents.account import AccountAgent
from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import TOPIC_OF, key_of
from state.account import AccountState
from state.pack import default_book
from streams.kafka.lane import Lane, Seat
from streams.kafka.lane_rows import LaneRows
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
