"""A release that meets what a later one has left: topics, the deployment's record, and records of contracts to come."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import aclosing
from datetime import date
from functools import cache

import pytest
from msgspec import json

from schemas import events as ev
from schemas.errors import FatalError
from schemas.jsonlines import to_line
from schemas.topics import TOPIC_OF
from simulator.runs import simulate
from streams.kafka.deployment import Deployment, recorded_deployment
from streams.kafka.publishing import consume
from streams.kafka.topic_admin import DEPLOYMENT_TOPIC
from tests.support import topics
from tests.support.deployments import split_at_close
from tests.support.worker_cluster import TIMEOUT, WorkerCluster


@cache
def history() -> tuple[ev.Event, ...]:
    return tuple(simulate(accounts=25, days=24, seed=8, start=date(2026, 1, 5), close_every=4))


def reprieve(workers: WorkerCluster, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "streams.cli", *arguments, "--config", str(workers.folder / "one.toml")]
    return subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT)


def known(workers: WorkerCluster) -> Deployment:
    found = asyncio.run(recorded_deployment(workers.settings()))
    assert found is not None
    return found


def test_topics_as_a_later_release_sets_them_are_worked_on(workers: WorkerCluster) -> None:
    first, second = split_at_close(history())
    workers.publish(first)
    workers.start()
    workers.wait_until_idle()
    assert workers.stop() == 0
    # It has a topic more, larger records, shorter and longer times, a word more in its record.
    topics.configure(workers, "dead-letters", {"max.message.bytes": str(16 * 1024 * 1024)})
    topics.configure(workers, "offers", {"retention.ms": str(7 * 86_400_000)})
    topics.configure(workers, "planner-changelog", {"min.cleanable.dirty.ratio": "0.5", "segment.ms": "3600000"})
    record = json.decode(json.encode(known(workers)))
    record["topics"]["of-a-later-release"] = "0" * 32
    record["word"] = "more"
    workers.produce(DEPLOYMENT_TOPIC, 0, b"deployment", json.encode(record))
    workers.start()
    workers.publish(second)
    workers.wait_until_idle()
    workers.assert_exact(history())
    assert {line["topic"] for line in workers.log_lines("topic_differs")} == {
        workers.prefix + "offers",
        workers.prefix + "planner-changelog",
    }
    assert "of-a-later-release" in known(workers).topics
    # What is larger than asked for is no difference at all.
    told = reprieve(workers, "topics", "check")
    assert told.returncode == 1
    assert b"dead-letters" not in told.stdout
    assert f"{workers.prefix}offers has retention.ms=604800000".encode() in told.stdout
    topics.apply_settings(workers)
    assert topics.config(workers, "planner-changelog")["segment.ms"] == "3600000"
    assert topics.config(workers, "dead-letters")["max.message.bytes"] == str(16 * 1024 * 1024)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b'{"form": 2}', "was written by a newer release (form 2, this one knows 1)"),
        (b'{"form": 1}', "cannot be understood"),
        (b"\xff", "cannot be understood"),
    ],
)
def test_a_deployments_record_that_is_not_understood_is_refused(
    workers: WorkerCluster, value: bytes, told: str
) -> None:
    workers.produce(DEPLOYMENT_TOPIC, 0, b"deployment", value)
    assert workers.start().wait(TIMEOUT) == 1
    last = workers.log().strip().splitlines()[-1]
    assert told in last
    assert workers.prefix + DEPLOYMENT_TOPIC in last


def test_readers_leave_out_what_they_cannot_read_and_say_where(workers: WorkerCluster) -> None:
    opened = [event for event in history() if isinstance(event, ev.AccountOpened)]
    workers.publish(opened)
    for number in range(12):
        workers.produce("accounts", number % 2, b"k", b"\xc3\x01of a later release" if number else None)
    workers.publish(opened[:3])
    workers.start()
    assert workers.stop() is not None
    done = reprieve(workers, "consume", "accounts", "--kafka")
    assert done.returncode == 1
    wanted = [to_line(e) for e in [*opened, *opened[:3]] if TOPIC_OF[type(e)].name == "accounts"]
    assert sorted(done.stdout.splitlines(keepends=True)) == sorted(wanted)
    told = done.stderr.decode().splitlines()
    assert told[-1] == "12 records could not be read and were left out"
    assert len([line for line in told if line.startswith(f"{workers.prefix}accounts/") and "left out" in line]) == 10
    clean = reprieve(workers, "consume", "payments", "--kafka")
    assert (clean.returncode, clean.stderr) == (0, b"")

    async def read() -> None:
        async with aclosing(consume(workers.settings(), workers.codec, ["accounts"], follow=False)) as events:
            async for _ in events:
                pass

    with pytest.raises(FatalError, match=r"accounts/\d/\d+ cannot be read"):
        asyncio.run(read())
