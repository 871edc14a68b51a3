"""The closed loop on real Kafka: an answer comes in over HTTP, a worker decides, offers and plans go out as webhooks.

What takes in and what delivers are killed with `kill -9` on the way.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from schemas import events as ev
from schemas.errors import RetryableError
from schemas.openapi import TOLD
from simulator.runs import simulate
from streams.kafka.event_sink import KafkaSink
from streams.webhooks.outbox import Outbox
from tests.support.servers import KafkaTestCluster
from tests.support.webhook_processes import Endpoint, Process, config, wait
from tests.support.webhook_receivers import SECRETS, partner
from tests.support.webhook_senders import headers
from tests.support.worker_cluster import TIMEOUT, WorkerCluster

EVENTS = sorted(set(TOLD) - {"ErasureRequested", "ConsentWithdrawn"})
SENDS = {
    "secrets": [{"env": "HOTLINE_SECRET"}],
    "records": {
        "OfferAnswered": {"channel": ["hotline"]},
        "ConsentGranted": {"purpose": ["partner:shop"]},
        "ConsentWithdrawn": {"purpose": ["partner:shop"]},
    },
    "ids": "shared",
    "events_per_second": 10_000,
    "burst": 10_000,
}
ENVIRONMENT = {"PARTNER_SECRET": SECRETS[0], "HOTLINE_SECRET": SECRETS[1]}


class Hotline:
    """Sends events over HTTP until each is taken, whatever happens to the process that takes them."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.address = ""

    def start(self) -> None:
        lines = len(self.process.said().splitlines()) if self.address else 0
        self.process.start()

        def told() -> str:
            found = [line for line in self.process.said().splitlines()[lines:] if "taking events" in line]
            return found[-1].split(" at ")[1].split(";")[0] if found else ""

        wait(lambda: bool(told()), "the endpoint", self.process)
        self.address = told()

    def send(self, events: Sequence[dict[str, Any]], message_id: str) -> None:
        body = json.dumps(list(events)).encode()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                made = headers(SECRETS[1], body, message_id)
                got = requests.post(self.address, params={"source": "hotline"}, data=body, headers=made, timeout=15)
            except requests.ConnectionError:
                self.start()
                continue
            if got.status_code == 202:
                return
            assert got.status_code == 503, got.text
            time.sleep(0.2)
        raise AssertionError(self.process.said()[-3000:])


def consent(kind: str, borrower: str, at: datetime) -> dict[str, Any]:
    return {
        "type": kind,
        "event_id": f"{kind}-{borrower}",
        "occurred_at": at.isoformat(),
        "borrower_id": borrower,
        "consent_id": f"C-{borrower}",
        "purpose": "partner:shop",
    }


def test_an_answer_by_http_comes_back_by_webhook_after_crashes(workers: WorkerCluster, tmp_path: Path) -> None:
    # Few closes, since each costs time: what workers make of it counts, not what the simulation thought of.
    history = [
        e
        for e in simulate(accounts=60, days=110, seed=1)
        if not isinstance(e, ev.DayClosed) or e.business_date.toordinal() % 12 == 0
    ]
    owner = {e.account_id: e.borrower_id for e in history if isinstance(e, ev.AccountOpened)}
    borrowers = sorted(set(owner.values()))
    consenting, chance = set(borrowers) - set(borrowers[1::4]), random.Random(4)
    endpoint = Endpoint(SECRETS[0], seed=8)
    with endpoint.served() as url:
        roster = tmp_path / "partners.yaml"
        shop = partner("shop", url, events=EVENTS)
        roster.write_bytes(msgspec.json.encode({"partners": [shop, {"id": "hotline", "sends": SENDS}]}))
        settings = config(
            tmp_path / "partners.toml",
            kafka={"bootstrap_servers": workers.bootstrap, "retry_pause_max_seconds": 1},
            topics={"prefix": workers.prefix, "partitions": workers.partitions},
            webhooks={
                "partners_file": str(roster), "data_dir": str(tmp_path / "out"), "retry_first_seconds": 0.05,
                "retry_most_seconds": 0.3, "answer_seconds": 2,
            },
            intake={"port": 0},
            worker={"log_format": "json"},
        )  # fmt: skip
        hooks = Process(tmp_path / "hooks.log", ["webhooks", "run", "--config", str(settings)], ENVIRONMENT)
        hotline = Hotline(Process(tmp_path / "intake.log", ["intake", "--config", str(settings)], ENVIRONMENT))
        hotline.start()
        workers.start()
        long_ago = datetime(2025, 6, 1, tzinfo=UTC)
        granted = [consent("ConsentGranted", b, long_ago) for b in sorted(consenting)]
        hotline.send(granted[:30], "consents-1")
        hotline.process.kill()
        hotline.send(granted[:30], "consents-1")
        hotline.send(granted[30:], "consents-2")
        workers.publish(history)
        for _ in range(2):
            hooks.start()
            enough = len(endpoint.calls) + chance.randrange(2, 7)
            wait(lambda enough=enough: len(endpoint.calls) >= enough, "deliveries", hooks)  # type: ignore[misc]
            hooks.kill()
        workers.wait_until_idle()
        said = workers.outputs()
        over = {e.offer_id for e in said if isinstance(e, ev.OfferWithdrawn | ev.OfferExpired)}
        offer = next(
            e for e in said
            if isinstance(e, ev.OfferPublished) and e.options and e.offer_id not in over and e.borrower_id in consenting
            and not any(isinstance(p, ev.PlanActivated) and p.offer_id == e.offer_id for p in said)
        )  # fmt: skip
        of = {e.event_id: borrower_of(e, owner) for e in said if type(e).__name__ in EVENTS}
        # Somebody of whom something waits to be told; the process that would tell it is dead.
        sent = set(endpoint.calls)
        other = min(consenting & {of[name] for name in of.keys() - sent} - {offer.borrower_id})
        hotline.send([consent("ConsentWithdrawn", other, datetime.now(UTC))], "withdrawal")
        answer = {
            "type": "OfferAnswered", "event_id": "answer-1", "feedback_id": "F-1", "offer_id": offer.offer_id,
            "borrower_id": offer.borrower_id, "answer": "accepted", "option_id": offer.options[0].option_id,
            "channel": "hotline", "recording_ref": "rec-1", "occurred_at": offer.contact.not_before.isoformat(),
        }  # fmt: skip
        hotline.send([answer], "answer")
        workers.wait_until_idle()
        said = workers.outputs()
        plan = next(e for e in said if isinstance(e, ev.PlanActivated) and e.offer_id == offer.offer_id)
        of = {e.event_id: borrower_of(e, owner) for e in said if type(e).__name__ in EVENTS}
        known = {e.event_id for e in said if type(e).__name__ in EVENTS and of[e.event_id] in consenting}
        wanted = {name for name in known if of[name] != other}
        hooks.start()
        wait(lambda: wanted <= set(endpoint.answered), "all deliveries", hooks)
        assert hooks.end() == 0
        assert hotline.process.end() == 0
    assert endpoint.faults == []
    assert wanted <= set(endpoint.calls) <= known, "somebody who does not consent was told of"
    assert {name for name in endpoint.calls if of[name] == other} <= sent, "told of after the withdrawal"
    told = msgspec.json.decode(endpoint.bodies[plan.event_id])
    assert (told["type"], told["data"]["offer_id"]) == ("PlanActivated", offer.offer_id)
    assert "clauses" not in told["data"]
    first = list(dict.fromkeys(endpoint.answered))
    assert first.index(offer.event_id) < first.index(plan.event_id)
    answers = [e for e in consumed(workers, "feedback") if e.event_id == "answer-1"]
    assert len({e.occurred_at for e in answers}) == 1
    outbox = Outbox(tmp_path / "out")
    outbox.set_place(f"{workers.prefix}offers", 0, 10**9)
    outbox.close()
    command = [sys.executable, "-m", "streams.cli", "webhooks", "run", "--config", str(settings)]
    ahead = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert ahead.returncode == 1
    assert "Kafka was restored to an earlier day" in ahead.stderr
    # A topic that was made anew and has grown past its old offsets is found by its id.
    outbox = Outbox(tmp_path / "out")
    outbox.set_place(f"{workers.prefix}offers", 0, 0)
    outbox.set_topic_id(f"{workers.prefix}offers", "0" * 32)
    outbox.close()
    other_topic = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert other_topic.returncode == 1
    assert f"{workers.prefix}offers is another topic than the one in which the outbox's offsets" in other_topic.stderr
    plans = [e for e in said if isinstance(e, ev.PlanActivated) and e.offer_id == offer.offer_id]
    assert len(plans) == len(offer.account_ids)


def borrower_of(event: ev.Event, owner: Mapping[str, str]) -> str:
    return str(getattr(event, "borrower_id", None) or owner[getattr(event, "account_id", "")])


def consumed(workers: WorkerCluster, topic: str) -> list[ev.Event]:
    from streams.kafka.publishing import consume

    async def read() -> list[ev.Event]:
        return [event async for event in consume(workers.settings(), workers.codec, [topic], follow=False)]

    return asyncio.run(read())


def test_while_kafka_is_away_nothing_is_acknowledged(tmp_path: Path, kafka_parts: None) -> None:
    grants = [
        ev.ConsentGranted(
            event_id=f"g{n}", occurred_at=datetime(2026, 1, 1, tzinfo=UTC), source="x", borrower_id=f"B{n}",
            consent_id="C", purpose="p",
        )
        for n in range(20)
    ]  # fmt: skip
    with KafkaTestCluster(tmp_path / "kafka") as cluster, WorkerCluster(cluster.bootstrap, tmp_path, "away") as workers:
        made = workers.settings()
        made = made.model_copy(update={"intake": made.intake.model_copy(update={"commit_seconds": 2.0})})

        async def play() -> None:
            sink = KafkaSink(made, workers.codec)
            await sink.open()
            try:
                await eventually(sink)
                await sink.take(grants[:10])
                cluster.pause(0)
                with pytest.raises(RetryableError):
                    await sink.take(grants[10:])
                began = time.monotonic()
                with pytest.raises(RetryableError):
                    await sink.take(grants[10:])
                assert time.monotonic() - began < 0.5, "who comes while Kafka is away is not kept waiting"
                cluster.resume(0)
                await eventually(sink)
                await sink.take(grants[10:])
            finally:
                await sink.close()

        asyncio.run(play())
        found = consumed(workers, "profiles")
    # At least once, and each told by its id.
    assert {e.event_id for e in found} == {e.event_id for e in grants}


async def eventually(sink: KafkaSink) -> None:
    deadline = time.monotonic() + 60
    while not sink.is_open():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
