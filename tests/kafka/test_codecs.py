"""Whatever senders and brokers compress with is read; what cannot be read ends a process with a sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from functools import cache
from itertools import cycle
from pathlib import Path

import pytest
from aiokafka.errors import UnsupportedCodecError

from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import TOPICS
from simulator.runs import simulate
from streams.engine.agents import all_agents
from streams.kafka.retry import permanent_error
from streams.kafka.topic_admin import topic_specs
from tests.kafka.test_other_clients import Line, by_java, by_librdkafka, lines_of
from tests.support import topics
from tests.support.deployments import split_at_close
from tests.support.worker_cluster import TIMEOUT, WorkerCluster

CODECS = ("gzip", "lz4", "snappy", "zstd")
WITHOUT = str(Path(__file__).parents[1] / "support" / "programs" / "without_cramjam.py")


@cache
def history() -> tuple[ev.Event, ...]:
    return tuple(simulate(accounts=25, days=24, seed=8, start=date(2026, 1, 5), close_every=4))


def feed(client: str, workers: WorkerCluster, lines: Sequence[Line], codec: str) -> None:
    if client == "java":
        by_java(workers.bootstrap, lines, codec)
    else:
        options = {"compression.type": codec, "linger.ms": "200", "partitioner": "murmur2_random"}
        by_librdkafka(workers.bootstrap, lines, **options)


@pytest.mark.parametrize("client", ["java", "librdkafka"])
def test_what_a_producer_compresses_is_read(client: str, workers: WorkerCluster) -> None:
    workers.start()
    lines = lines_of(workers, history(), Codec())
    for number, codec in enumerate(CODECS):
        part = slice(len(lines) * number // len(CODECS), len(lines) * (number + 1) // len(CODECS))
        feed(client, workers, lines[part], codec)
    workers.wait_until_idle()
    workers.assert_exact(history())
    assert not workers.log_lines("broker_away")


def test_topics_that_compress_by_themselves_are_read_back(workers: WorkerCluster) -> None:
    first, second = split_at_close(history())
    workers.publish(first)
    workers.start()
    workers.wait_until_idle()
    names = [*TOPICS, *(f"{agent.name}-changelog" for agent, _ in all_agents()), "replayed", "deployment"]
    for name, codec in zip(names, cycle(CODECS), strict=False):
        topics.configure(workers, name, {"compression.type": codec})
    workers.publish(second)
    workers.wait_until_idle()
    workers.kill()
    shutil.rmtree(workers.data_dir())
    workers.start()
    workers.wait(lambda: len(workers.log_lines("tasks_open")) > 1, "the second start")
    workers.wait_until_idle()
    workers.assert_exact(history())
    # What an operator set is kept where something else of the topic is mended.
    topics.configure(workers, "payments", {"compression.type": "zstd", "retention.ms": "86400000"})
    topics.apply_settings(workers)
    assert topics.config(workers, "payments")["compression.type"] == "zstd"
    assert topics.config(workers, "payments")["retention.ms"] == "-1"


def test_without_the_library_a_worker_ends_and_passes_nothing(workers: WorkerCluster) -> None:
    first, second = split_at_close(history())
    workers.publish(first)
    workers.program = (WITHOUT,)
    workers.start()
    workers.wait_until_idle()
    feed("librdkafka", workers, lines_of(workers, second, Codec()), "zstd")
    for _ in range(2):
        worker = workers.processes.get("one") or workers.start()
        assert worker.wait(TIMEOUT) == 1
        workers.processes.pop("one")
        last = workers.log().strip().splitlines()[-1]
        assert last.startswith("reprieve: Records are compressed in a way that cannot be read here")
        assert f"{workers.prefix}" in last
        assert "from offset" in last
        assert "cramjam is missing" in last
    assert not workers.log_lines("broker_away")
    workers.program = ("-m", "streams.cli")
    workers.start()
    workers.wait_until_idle()
    workers.assert_exact(history())


def test_without_the_library_every_reader_says_so(workers: WorkerCluster) -> None:
    workers.start()
    assert workers.stop() is not None
    feed("librdkafka", workers, lines_of(workers, history()[:200], Codec()), "lz4")
    topics.configure(workers, "account-changelog", {"compression.type": "lz4"})
    name = workers.prefix + "account-changelog"

    def told(*arguments: str) -> str:
        command = [sys.executable, WITHOUT, *arguments, "--config", str(workers.folder / "one.toml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
        assert done.returncode == 1, done.stdout
        return done.stdout + done.stderr

    for command in (["topics", "check"], ["doctor"], ["worker"]):
        said = told(*command)
        assert f"{name} has compression.type=lz4, which cannot be read here" in said
        assert "cramjam is missing" in said
    assert "cramjam is missing" in told("consume", "accounts", "--kafka")


def test_a_codec_that_no_release_knows_is_named(workers: WorkerCluster) -> None:
    error = UnsupportedCodecError("Unknown compression codec 0x05")
    final = permanent_error(workers.settings(), "reading payments/1 from offset 7 on", error)
    assert final is not None
    assert "payments/1 from offset 7" in str(final)
    assert "0x05" in str(final)
    assert "install a release that reads this one" in str(final)
    assert {plan.config.get("compression.type") for plan in topic_specs(workers.settings())} == {None}
