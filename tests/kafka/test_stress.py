"""Hostile input on real Kafka: large records, dead letters, strange headers, a stuttering clock. None stalls a task."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from msgspec.structs import replace

from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import key_of
from simulator.runs import simulate
from streams.engine.partitioning import partition_of
from streams.kafka.compat import connected
from streams.security.dead_letters import open_dead_letter
from streams.security.key_file import read_master_keys
from streams.security.vault import Vault
from tests.support.worker_cluster import TIMEOUT, WorkerCluster, expected_outputs

START = date(2026, 1, 5)
HISTORY: list[ev.Event] = []


def history() -> list[ev.Event]:
    """Return events of a few borrowers over some weeks, with the closes of their days."""
    if not HISTORY:
        HISTORY.extend(simulate(accounts=30, days=36, seed=11, start=START))
    return HISTORY


def days(events: list[ev.Event]) -> list[list[ev.Event]]:
    """Return events in parts that end with a day's close."""
    parts: list[list[ev.Event]] = [[]]
    for event in events:
        parts[-1].append(event)
        if isinstance(event, ev.DayClosed):
            parts.append([])
    return [part for part in parts if part]


def close_of(part: list[ev.Event]) -> ev.DayClosed:
    close = part[-1]
    assert isinstance(close, ev.DayClosed)
    return close


def test_no_irregular_clock_stalls_a_close(workers: WorkerCluster) -> None:
    """Of each partition's clock: one day twice, one skipped, two swapped, one at the end of time, one of no sense."""
    parts = days(history())
    codec = Codec()
    for number, part in enumerate(parts):
        workers.publish(part[:-1])
        close = close_of(part)
        for partition in range(workers.partitions):
            told = [close]
            if number == 2:
                told = [close, close]
            elif number == 4 and partition == 1:
                told = []
            elif number == 5 and partition == 2:
                told = [close_of(parts[6]), close]
            elif number == 8:
                far = replace(close, event_id="far", business_date=close.business_date + timedelta(days=365))
                told = [replace(far, event_id="end", business_date=date(9999, 12, 31)), far, close]
            elif number == 9:
                told = [close_of(parts[1]), close]
            for one in told:
                workers.produce("clock", partition, None, codec.encode(one))
            if number == 10:
                workers.produce("clock", partition, None, b"\xc3\x01" + bytes(20))
    workers.start()
    workers.start("two")
    workers.wait_until_idle()
    workers.assert_running()
    said = workers.outputs()
    letters = Counter(e.code for e in said if isinstance(e, ev.DeadLetter))
    assert letters == {"out_of_range": 2 * workers.partitions, "unknown_schema": workers.partitions}
    # What days say that were closed alike everywhere is what the pure agents say of them.
    odd = {close_of(parts[number]).business_date for number in (4, 5)}
    missed = {(e.account_id, e.number, e.business_date) for e in said if isinstance(e, ev.InstalmentMissed)}
    wanted = {
        (e.account_id, e.number, e.business_date)
        for e in expected_outputs(history())
        if isinstance(e, ev.InstalmentMissed)
    }
    assert len(wanted) == 3
    assert {m for m in missed if m[2] not in odd} == {m for m in wanted if m[2] not in odd}


def test_large_records_odd_headers_and_bad_batches_are_answered(workers: WorkerCluster) -> None:
    opened = next(e for e in history() if isinstance(e, ev.AccountOpened))
    key = opened.account_id.encode()
    place = partition_of(key, workers.partitions)
    codec = Codec()
    call = ev.ContactAttempted(
        event_id="long",
        occurred_at=opened.occurred_at,
        source="test",
        attempt_id="long",
        account_id=opened.account_id,
        channel="call",
        direction="outbound",
        outcome="no_answer",
        agent="x" * (2**20 - 400),
    )
    workers.publish([opened])

    async def send() -> None:
        name = workers.prefix + "collections"
        # One of its own: an idempotent producer that was refused a record has a gap in its count.
        async with connected(
            AIOKafkaProducer(bootstrap_servers=workers.bootstrap, max_request_size=8 * 2**20)
        ) as producer:
            with pytest.raises(MessageSizeTooLargeError):
                await producer.send_and_wait(name, b"\xff" * (2 * 2**20 + 1), key=key, partition=place)
        async with connected(
            AIOKafkaProducer(bootstrap_servers=workers.bootstrap, enable_idempotence=True, max_request_size=8 * 2**20)
        ) as producer:
            await producer.send_and_wait(name, codec.encode(call), key=key, partition=place)
            # The largest that the topic takes, of no sense, becomes the largest dead letter.
            await producer.send_and_wait(name, b"\xff" * (2 * 2**20 - 200), key=key, partition=place)
            strange = [("", b""), ("traceparent", b"\xff\x00"), ("traceparent", None), ("\u202e\u0000", b"x" * 60_000)]
            strange += [(f"h{n}", bytes(8)) for n in range(500)]
            # A million bytes of dead letters in one batch are several requests of one transaction.
            for _ in range(2_000):
                await producer.send(name, b"\xfe" * 900, key=key, partition=place)
            await producer.send_and_wait(name, b"\xfd", key=key, partition=place, headers=strange)

    asyncio.run(send())
    # And one whose name is no text at all, which aiokafka's own reader would stop at for ever.
    odd_headers = Path(__file__).parents[1] / "support" / "programs" / "odd_headers.py"
    program = [sys.executable, str(odd_headers), workers.bootstrap]
    odd_one = [workers.prefix + "collections", str(place), key.hex(), b"\xfc".hex()]
    subprocess.run([*program, *odd_one], env=os.environ | {"AIOKAFKA_NO_EXTENSIONS": "1"}, check=True, timeout=TIMEOUT)
    workers.start()
    workers.wait_until_idle()
    workers.assert_running()
    letters = [e for e in workers.outputs() if isinstance(e, ev.DeadLetter)]
    assert Counter(e.code for e in letters) == {"too_long": 1, "unreadable": 2_003}
    vault = Vault(read_master_keys(workers.keys))
    letters = [open_dead_letter(e, vault) for e in letters]
    assert max(len(e.value or b"") for e in letters) == 2 * 2**20 - 200
    (odd,) = [e for e in letters if e.value == b"\xfd"]
    assert odd.headers["\u202e\u0000"] == b"x" * 60_000
    assert len(odd.headers) == 503
    (odd,) = [e for e in letters if e.value == b"\xfc"]
    assert odd.headers == {"plain": b"1", "odd \\xff\\xfe": b"2"}
    # And the task goes on.
    paid = ev.PaymentReceived(
        event_id="pay",
        occurred_at=opened.occurred_at,
        source="test",
        payment_id="pay",
        account_id=opened.account_id,
        amount=1,
        currency="XXX",
        value_on=START,
        channel="x",
    )
    workers.produce("payments", place, (key_of(paid) or "").encode(), codec.encode(paid))
    workers.wait_until_idle()
    assert Counter(e.code for e in workers.outputs() if isinstance(e, ev.DeadLetter))["wrong_currency"] == 1
