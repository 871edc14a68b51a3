"""Workers on real Apache Kafka say exactly what the pure agents say."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from schemas import events as ev
from schemas.codec import Codec
from schemas.jsonlines import to_line
from schemas.topics import TOPIC_OF, key_of
from simulator.runs import simulate
from streams.engine.agents import all_agents
from streams.engine.partitioning import partition_of
from tests.support.worker_cluster import TIMEOUT, WorkerCluster, expected_outputs

HISTORY: list[ev.Event] = []
# The changelogs of three partitions, of which each has a little to be read by whoever takes the partition.
TAKEN_UP = [(agent.name, partition) for agent, _ in all_agents() for partition in range(3)]


def history() -> list[ev.Event]:
    """Return events of a few borrowers over some weeks. Few closes, since each costs time."""
    if not HISTORY:
        HISTORY.extend(simulate(accounts=60, days=36, seed=11, start=date(2026, 1, 5), close_every=4))
    return HISTORY


def split(events: Sequence[ev.Event], parts: int) -> list[list[ev.Event]]:
    """Return events in parts that end with the close of a day."""
    ends = [n + 1 for n, event in enumerate(events) if isinstance(event, ev.DayClosed)]
    cuts = [0, *(ends[len(ends) * part // parts - 1] for part in range(1, parts)), len(events)]
    return [list(events[a:b]) for a, b in pairwise(cuts)]


def test_a_worker_says_what_the_pure_agents_say(workers: WorkerCluster) -> None:
    events = list(simulate(accounts=60, days=36, seed=11, start=date(2026, 1, 5)))
    workers.publish(events)
    workers.start()
    workers.wait_until_idle()
    workers.assert_exact(events)
    assert workers.stop() == 0


def test_any_input_is_answered_once_and_the_stream_goes_on(workers: WorkerCluster) -> None:
    first, second = split(history(), 2)
    payment = next(e for e in history() if isinstance(e, ev.PaymentReceived))
    key = (key_of(payment) or "").encode()
    place = partition_of(key, workers.partitions)
    value = Codec().encode(payment)
    workers.publish(first)
    workers.produce("payments", 0, b"x", b"\x00\x01\x02 nothing that anybody wrote")
    workers.produce("payments", 1, b"x", None)
    workers.produce("payments", place, b"another", value)
    workers.produce("payments", (place + 1) % workers.partitions, key, value)
    workers.produce("accounts", place, key, value)
    workers.produce("clock", 2, None, b"\xc3\x01 no schema has this")
    workers.produce("barriers", 0, None, b"")
    # Said before, in the same and in another order: no effect.
    workers.publish([e for e in first if not isinstance(e, ev.DayClosed)][::-1])
    workers.start()
    workers.wait_until_idle()
    workers.publish(second)
    workers.wait_until_idle()
    codes = Counter({"unreadable": 2, "wrong_key": 1, "wrong_partition": 1, "unexpected_type": 1, "unknown_schema": 2})
    workers.assert_exact(history(), codes)


def test_a_fault_beyond_the_quarantine_limit_ends_the_worker(workers: WorkerCluster) -> None:
    events = history()
    payment = [e for e in events if isinstance(e, ev.PaymentReceived)][-1]
    workers.publish(events)
    sound, workers.program = workers.program, ("-m", "tests.support.programs.faulty_agent", payment.account_id)
    assert workers.start(quarantine_limit=0).wait(TIMEOUT) == 1
    told = workers.log().strip().splitlines()[-1]
    where = re.match(
        rf"reprieve: Processing PaymentReceived at {workers.prefix}payments/(\d)/(\d+) failed with ZeroDivisionError "
        rf"in tests/support/programs/faulty_agent\.py:\d+ check_event \(its words are "
        rf"left out.*\. It is of {payment.account_id}, .*"
        r"Nothing of its batch was kept; the record stays where it is\.",
        told,
    )
    assert where is not None, told
    assert "Traceback" not in workers.log()
    partition, offset = int(where[1]), int(where[2])
    assert partition == partition_of(payment.account_id.encode(), workers.partitions)
    assert workers.committed().get(TopicPartition(f"{workers.prefix}payments", partition), 0) <= offset
    workers.program = sound
    workers.start()
    workers.wait_until_idle()
    workers.assert_exact(events)


def test_a_record_on_a_wrong_partition_can_be_sent_on_instead(workers: WorkerCluster) -> None:
    workers.publish([e for e in history() if not isinstance(e, ev.PaymentReceived)][:50])
    opened = next(e for e in history() if isinstance(e, ev.AccountOpened))
    astray = ev.AccountOpened(**{f: getattr(opened, f) for f in opened.__struct_fields__} | {"account_id": "astray-1"})
    place = partition_of(b"astray-1", workers.partitions)
    workers.produce("accounts", (place + 1) % workers.partitions, b"astray-1", Codec().encode(astray))
    workers.start(wrong_partition="rekey")
    workers.wait_until_idle()
    assert not [e for e in workers.outputs() if isinstance(e, ev.DeadLetter)]
    ends = {tp.partition: at for tp, at in workers.committed().items() if tp.topic == workers.prefix + "accounts"}
    # The task of the right partition read it as well.
    assert ends[place] > 0


def test_killed_workers_lose_and_double_nothing(workers: WorkerCluster) -> None:
    parts = split(history(), 4)
    workers.start("one")
    workers.start("two")
    for number, part in enumerate(parts):
        before = sum(workers.committed().values())
        workers.publish(part)
        # In the middle of the work: some of it is committed, some is not.
        workers.wait(lambda before=before: sum(workers.committed().values()) > before, "progress")  # type: ignore[misc]
        if number < 3:
            name = ("one", "two", "one")[number]
            workers.kill(name)
            workers.start(name)
    workers.start("three")
    workers.wait_until_idle()
    workers.assert_exact(history())


def test_a_frozen_worker_commits_nothing_after_a_take_over(workers: WorkerCluster) -> None:
    first, second = split(history(), 2)
    frozen = workers.start("one")
    # What its partitions are of is committed before they are open.
    workers.wait(lambda: bool(opened(workers, "one")[-1][0]), "its tasks")
    workers.publish(first)
    workers.wait(lambda: bool(workers.committed()), "progress")
    os.kill(frozen.pid, signal.SIGSTOP)
    workers.start("two")
    workers.publish(second)
    workers.wait_until_idle()
    os.kill(frozen.pid, signal.SIGCONT)
    workers.wait(
        lambda: "fenced" in workers.log("one") or workers.log("one").count("tasks_open") > 1, "the end of the freeze"
    )
    workers.wait_until_idle()
    workers.assert_exact(history())


def test_a_standby_takes_over_with_the_state_that_it_has(workers: WorkerCluster) -> None:
    first, second = split(history(), 2)
    workers.start("one", standby_replicas=1)
    workers.start("two", standby_replicas=1)
    workers.wait(lambda: any(kept for _, kept in opened(workers, "two")), "its standbys")
    workers.publish(first)
    workers.wait_until_idle()
    workers.kill("one")
    workers.wait(lambda: opened(workers, "two")[-1][0] == [0, 1, 2], "the take-over")
    warm = workers.log_lines("restored", "two")[-1]
    # Who has no standby, and no disk, takes the same tasks over by reading everything back.
    workers.kill("two")
    workers.start("three")
    workers.wait(lambda: opened(workers, "three")[-1][0] == [0, 1, 2], "the take-over")
    cold = workers.log_lines("restored", "three")[-1]
    assert warm["partitions"] == cold["partitions"] == [0, 1, 2]
    # Of each changelog its last row, which is looked at once more, and the words of those who took the task.
    assert warm["rows"] <= 4 * len(TAKEN_UP)
    assert cold["rows"] > 10 * len(TAKEN_UP)
    workers.publish(second)
    workers.wait_until_idle()
    workers.assert_exact(history())


def test_a_named_worker_that_is_back_in_time_keeps_its_tasks(
    workers: WorkerCluster,
) -> None:
    first, second = split(history(), 2)
    for name in ("one", "two"):
        workers.start(name, instance_id=name, session_timeout_seconds=60)

    def shared() -> bool:
        one, two = (opened(workers, name)[-1][0] for name in ("one", "two"))
        return bool(one and two) and sorted(one + two) == [0, 1, 2]

    workers.wait(shared, "two shares")
    before = {name: opened(workers, name) for name in ("one", "two")}
    workers.publish(first)
    workers.wait_until_idle()
    assert workers.stop("one") == 0
    workers.publish(second)
    workers.start("one", instance_id="one", session_timeout_seconds=60)
    workers.wait_until_idle()
    workers.assert_exact(history())
    assert opened(workers, "one") == [*before["one"], before["one"][-1]]
    # Whoever gives tasks up in a rebalance opens them anew, and says so.
    assert opened(workers, "two") == before["two"]


def opened(workers: WorkerCluster, name: str) -> list[tuple[list[int], list[int]]]:
    """Return the tasks and the standbys that a worker has told of, one behind the other."""
    return [(line["tasks"], line["standbys"]) for line in workers.log_lines("tasks_open", name)] or [([], [])]


@pytest.mark.parametrize("disk", ["empty", "behind", "corrupt"])
def test_a_worker_comes_back_from_any_disk(workers: WorkerCluster, disk: str) -> None:
    first, second, third = split(history(), 3)
    workers.publish(first)
    workers.start()
    workers.wait_until_idle()
    assert workers.stop() == 0
    old = workers.folder / "old"
    shutil.copytree(workers.data_dir(), old)
    workers.publish(second)
    workers.start()
    workers.wait_until_idle()
    workers.kill()
    if disk == "corrupt":
        for file in [*workers.data_dir().rglob("*.sst"), *workers.data_dir().rglob("MANIFEST*")]:
            file.write_bytes(b"\xff" * file.stat().st_size)
    else:
        shutil.rmtree(workers.data_dir())
        if disk == "behind":
            shutil.copytree(old, workers.data_dir())
    workers.publish(third)
    workers.start()
    workers.wait_until_idle()
    workers.assert_exact(history())
    if disk == "corrupt":
        assert "store_rebuilt" in workers.log()


def test_a_disk_that_is_ahead_of_the_cluster_is_built_anew(workers: WorkerCluster) -> None:
    """The disk is of a cluster that has come further, as after a cluster was restored from a backup."""
    first, second = split(history(), 2)
    workers.publish(history())
    workers.start()
    workers.wait_until_idle()
    assert workers.stop() == 0
    further = workers.data_dir()
    with WorkerCluster(workers.bootstrap, workers.folder / "restored", workers.group + "-restored") as restored:
        restored.publish(first)
        restored.start()
        restored.wait_until_idle()
        assert restored.stop() == 0
        shutil.rmtree(restored.data_dir())
        shutil.copytree(further, restored.data_dir())
        restored.publish(second)
        restored.start()
        restored.wait_until_idle()
        restored.assert_exact(history())
        assert "ahead" in restored.log()


def test_a_second_worker_on_the_same_data_directory_is_refused(workers: WorkerCluster) -> None:
    workers.start("one")
    workers.wait(lambda: "tasks_open" in workers.log("one"), "the first worker")
    second = workers.start("two", data_dir=str(workers.data_dir("one")))
    assert second.wait(TIMEOUT) == 1
    assert "is in use by process" in workers.log("two")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"partitions": 4}, "has 3 partitions where settings ask for 4"),
        ({"replicas": 3}, "has a partition with 1 of the 3 replicas that settings ask for; add replicas with kafka-re"),
    ],
    ids=["partitions", "replicas"],
)
def test_a_worker_refuses_topics_that_do_not_fit(workers: WorkerCluster, asked: dict[str, int], sentence: str) -> None:
    for name, value in asked.items():
        setattr(workers, name, value)
    assert workers.start().wait(TIMEOUT) == 1
    told = workers.log().strip().splitlines()[-1]
    assert told.startswith("reprieve: ")
    assert sentence in told


def test_the_commands_publish_to_kafka_and_print_what_was_said(workers: WorkerCluster, tmp_path: Path) -> None:
    file, config = tmp_path / "events.jsonl", tmp_path / "one.toml"
    file.write_bytes(b"".join(map(to_line, history())))
    workers.start()

    def reprieve(*arguments: str) -> bytes:
        command = [sys.executable, "-m", "streams.cli", *arguments, "--kafka", "--config", str(config)]
        return subprocess.run(command, capture_output=True, check=True, timeout=TIMEOUT).stdout

    reprieve("publish", str(file))
    workers.wait_until_idle()
    workers.assert_exact(history())
    printed = reprieve("consume", "delinquency").splitlines(keepends=True)
    wanted = [to_line(e) for e in expected_outputs(history()) if TOPIC_OF[type(e)].name == "delinquency"]
    assert sorted(printed) == sorted(wanted)
    assert len(reprieve("consume", "delinquency", "--limit", "3").splitlines()) == 3
    config.write_text(config.read_text("utf-8").replace(workers.prefix, "nobody."), "utf-8")
    with pytest.raises(subprocess.CalledProcessError) as missing:
        reprieve("consume", "delinquency")
    assert b"There is no topic nobody.delinquency" in missing.value.stderr
