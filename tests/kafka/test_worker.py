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

from chaos.stage import Stage, expected
from schemas import events as ev
from schemas.codec import Codec
from schemas.jsonlines import to_line
from schemas.topics import TOPIC_OF, key_of
from simulator.runs import simulate
from streams.at_work import agents_at_work
from streams.kafka.partitioning import partition_of

HISTORY: list[ev.Event] = []
# The changelogs of three partitions, of which each has a little to be read by whoever takes the partition.
TAKEN_UP = [(agent.name, partition) for agent, _ in agents_at_work() for partition in range(3)]


def history() -> list[ev.Event]:
    """Return events of a few borrowers over some weeks, with the closes of their days."""
    if not HISTORY:
        HISTORY.extend(simulate(accounts=60, days=36, seed=11, start=date(2026, 1, 5)))
    return HISTORY


def split(events: Sequence[ev.Event], parts: int) -> list[list[ev.Event]]:
    """Return events in parts that end with the close of a day."""
    ends = [n + 1 for n, event in enumerate(events) if isinstance(event, ev.DayClosed)]
    cuts = [0, *(ends[len(ends) * part // parts - 1] for part in range(1, parts)), len(events)]
    return [list(events[a:b]) for a, b in pairwise(cuts)]


def test_a_worker_says_what_the_pure_agents_say(stage: Stage) -> None:
    stage.publish(history())
    stage.start()
    stage.settle()
    stage.assert_exact(history())
    assert stage.end() == 0


def test_whatever_comes_in_is_answered_once_and_the_stream_goes_on(stage: Stage) -> None:
    first, second = split(history(), 2)
    payment = next(e for e in history() if isinstance(e, ev.PaymentReceived))
    key = (key_of(payment) or "").encode()
    place = partition_of(key, stage.partitions)
    value = Codec().encode(payment)
    stage.publish(first)
    stage.put("payments", 0, b"x", b"\x00\x01\x02 nothing that anybody wrote")
    stage.put("payments", 1, b"x", None)
    stage.put("payments", place, b"another", value)
    stage.put("payments", (place + 1) % stage.partitions, key, value)
    stage.put("accounts", place, key, value)
    stage.put("clock", 2, None, b"\xc3\x01 no schema has this")
    stage.put("barriers", 0, None, b"")
    # Said before, in the same and in another order: no effect.
    stage.publish([e for e in first if not isinstance(e, ev.DayClosed)][::-1])
    stage.start()
    stage.settle()
    stage.publish(second)
    stage.settle()
    codes = Counter({"unreadable": 2, "wrong_key": 1, "wrong_partition": 1, "unexpected_type": 1, "unknown_schema": 2})
    stage.assert_exact(history(), codes)


def test_a_fault_of_an_agent_ends_the_worker_and_no_record_is_passed_over(stage: Stage) -> None:
    # Few closes, since each costs time.
    events = [e for e in history() if not isinstance(e, ev.DayClosed) or e.business_date.day % 9 == 0]
    payment = [e for e in events if isinstance(e, ev.PaymentReceived)][-1]
    stage.publish(events)
    sound, stage.program = stage.program, ("-m", "tests.kafka.faulty_agent", payment.account_id)
    assert stage.start().wait(60) == 1
    told = stage.log().strip().splitlines()[-1]
    where = re.match(
        rf"reprieve: Processing PaymentReceived at {stage.prefix}payments/(\d)/(\d+) failed with ZeroDivisionError: "
        r"a fault of the agent\. Nothing of its batch was kept; the record stays where it is\.",
        told,
    )
    assert where is not None, told
    assert "Traceback" not in stage.log()
    partition, offset = int(where[1]), int(where[2])
    assert partition == partition_of(payment.account_id.encode(), stage.partitions)
    assert stage.committed().get(TopicPartition(f"{stage.prefix}payments", partition), 0) <= offset
    stage.program = sound
    stage.start()
    stage.settle()
    stage.assert_exact(events)


def test_a_record_on_a_wrong_partition_can_be_sent_on_instead(stage: Stage) -> None:
    stage.publish([e for e in history() if not isinstance(e, ev.PaymentReceived)][:50])
    opened = next(e for e in history() if isinstance(e, ev.AccountOpened))
    astray = ev.AccountOpened(**{f: getattr(opened, f) for f in opened.__struct_fields__} | {"account_id": "astray-1"})
    place = partition_of(b"astray-1", stage.partitions)
    stage.put("accounts", (place + 1) % stage.partitions, b"astray-1", Codec().encode(astray))
    stage.start(wrong_partition="rekey")
    stage.settle()
    assert not [e for e in stage.said() if isinstance(e, ev.DeadLetter)]
    ends = {tp.partition: at for tp, at in stage.committed().items() if tp.topic == stage.prefix + "accounts"}
    # The lane of the right partition read it as well.
    assert ends[place] > 0


def test_killed_workers_lose_and_double_nothing(stage: Stage) -> None:
    parts = split(history(), 4)
    stage.start("one")
    stage.start("two")
    for number, part in enumerate(parts):
        stage.publish(part)
        # In the middle of the work: some of it is committed, some is not.
        before = sum(stage.committed().values())
        stage.wait(lambda before=before: sum(stage.committed().values()) > before, "progress")  # type: ignore[misc]
        if number < 3:
            name = ("one", "two", "one")[number]
            stage.kill(name)
            stage.start(name)
    stage.start("three")
    stage.settle()
    stage.assert_exact(history())


def test_a_worker_that_froze_commits_nothing_when_another_has_taken_over(stage: Stage) -> None:
    first, second = split(history(), 2)
    frozen = stage.start("one")
    stage.publish(first)
    stage.wait(lambda: bool(stage.committed()), "progress")
    os.kill(frozen.pid, signal.SIGSTOP)
    stage.start("two")
    stage.publish(second)
    stage.settle()
    os.kill(frozen.pid, signal.SIGCONT)
    stage.wait(
        lambda: "fenced" in stage.log("one") or stage.log("one").count("lanes_open") > 1, "the end of the freeze"
    )
    stage.settle()
    stage.assert_exact(history())


def test_a_standby_takes_over_with_the_state_that_it_has(stage: Stage) -> None:
    first, second = split(history(), 2)
    stage.start("one", standby_replicas=1)
    stage.start("two", standby_replicas=1)
    stage.wait(lambda: any(kept for _, kept in opened(stage, "two")), "its standbys")
    stage.publish(first)
    stage.settle()
    stage.kill("one")
    stage.wait(lambda: opened(stage, "two")[-1][0] == [0, 1, 2], "the take-over")
    warm = stage.told("restored", "two")[-1]
    # Who has no standby, and no disk, takes the same lanes over by reading everything back.
    stage.kill("two")
    stage.start("three")
    stage.wait(lambda: opened(stage, "three")[-1][0] == [0, 1, 2], "the take-over")
    cold = stage.told("restored", "three")[-1]
    assert warm["partitions"] == cold["partitions"] == [0, 1, 2]
    # Of each changelog its last row, which is looked at once more, and the words of those who took the lane.
    assert warm["rows"] <= 4 * len(TAKEN_UP)
    assert cold["rows"] > 10 * len(TAKEN_UP)
    stage.publish(second)
    stage.settle()
    stage.assert_exact(history())


def test_a_worker_with_a_name_that_is_back_in_time_has_its_lanes_again_and_the_other_never_stopped(
    stage: Stage,
) -> None:
    first, second = split(history(), 2)
    for name in ("one", "two"):
        stage.start(name, instance_id=name, session_timeout_seconds=60)

    def shared() -> bool:
        one, two = (opened(stage, name)[-1][0] for name in ("one", "two"))
        return bool(one and two) and sorted(one + two) == [0, 1, 2]

    stage.wait(shared, "two shares")
    before = {name: opened(stage, name) for name in ("one", "two")}
    stage.publish(first)
    stage.settle()
    assert stage.end("one") == 0
    stage.publish(second)
    stage.start("one", instance_id="one", session_timeout_seconds=60)
    stage.settle()
    stage.assert_exact(history())
    assert opened(stage, "one") == [*before["one"], before["one"][-1]]
    # Whoever gives lanes up in a rebalance opens them anew, and says so.
    assert opened(stage, "two") == before["two"]


def opened(stage: Stage, name: str) -> list[tuple[list[int], list[int]]]:
    """Return the lanes and the standbys that a worker has told of, one behind the other."""
    return [(line["lanes"], line["standbys"]) for line in stage.told("lanes_open", name)] or [([], [])]


@pytest.mark.parametrize("disk", ["empty", "behind", "corrupt"])
def test_a_worker_comes_back_from_any_disk(stage: Stage, disk: str) -> None:
    first, second, third = split(history(), 3)
    stage.publish(first)
    stage.start()
    stage.settle()
    assert stage.end() == 0
    old = stage.folder / "old"
    shutil.copytree(stage.data(), old)
    stage.publish(second)
    stage.start()
    stage.settle()
    stage.kill()
    if disk == "corrupt":
        for file in [*stage.data().rglob("*.sst"), *stage.data().rglob("MANIFEST*")]:
            file.write_bytes(b"\xff" * file.stat().st_size)
    else:
        shutil.rmtree(stage.data())
        if disk == "behind":
            shutil.copytree(old, stage.data())
    stage.publish(third)
    stage.start()
    stage.settle()
    stage.assert_exact(history())
    if disk == "corrupt":
        assert "store_rebuilt" in stage.log()


def test_a_disk_that_is_ahead_of_the_cluster_is_built_anew(stage: Stage) -> None:
    """The disk is of a cluster that has come further, as after a cluster was restored from a backup."""
    first, second = split(history(), 2)
    stage.publish(history())
    stage.start()
    stage.settle()
    assert stage.end() == 0
    further = stage.data()
    with Stage(stage.bootstrap, stage.folder / "restored", stage.group + "-restored") as restored:
        restored.publish(first)
        restored.start()
        restored.settle()
        assert restored.end() == 0
        shutil.rmtree(restored.data())
        shutil.copytree(further, restored.data())
        restored.publish(second)
        restored.start()
        restored.settle()
        restored.assert_exact(history())
        assert "ahead" in restored.log()


def test_a_second_worker_on_the_same_data_directory_is_refused(stage: Stage) -> None:
    stage.start("one")
    stage.wait(lambda: "lanes_open" in stage.log("one"), "the first worker")
    second = stage.start("two", data_dir=str(stage.data("one")))
    assert second.wait(60) == 1
    assert "is in use by process" in stage.log("two")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"partitions": 4}, "has 3 partitions where settings ask for 4"),
        ({"replicas": 3}, "has a partition with 1 of the 3 replicas that settings ask for; add replicas with kafka-re"),
    ],
    ids=["partitions", "replicas"],
)
def test_a_worker_refuses_topics_that_do_not_fit(stage: Stage, asked: dict[str, int], sentence: str) -> None:
    for name, value in asked.items():
        setattr(stage, name, value)
    assert stage.start().wait(60) == 1
    told = stage.log().strip().splitlines()[-1]
    assert told.startswith("reprieve: ")
    assert sentence in told


def test_the_commands_publish_to_kafka_and_print_what_was_said(stage: Stage, tmp_path: Path) -> None:
    file, config = tmp_path / "events.jsonl", tmp_path / "one.toml"
    file.write_bytes(b"".join(map(to_line, history())))
    stage.start()

    def reprieve(*arguments: str) -> bytes:
        command = [sys.executable, "-m", "streams.cli", *arguments, "--kafka", "--config", str(config)]
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout

    reprieve("publish", str(file))
    stage.settle()
    stage.assert_exact(history())
    printed = reprieve("consume", "delinquency").splitlines(keepends=True)
    wanted = [to_line(e) for e in expected(history()) if TOPIC_OF[type(e)].name == "delinquency"]
    assert sorted(printed) == sorted(wanted)
    assert len(reprieve("consume", "delinquency", "--limit", "3").splitlines()) == 3
    config.write_text(config.read_text("utf-8").replace(stage.prefix, "nobody."), "utf-8")
    with pytest.raises(subprocess.CalledProcessError) as missing:
        reprieve("consume", "delinquency")
    assert b"There is no topic nobody.delinquency" in missing.value.stderr
