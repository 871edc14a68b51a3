"""Personal data on Kafka: nowhere but where upstream published it, through faults too, and gone after an erasure."""

from __future__ import annotations

import asyncio
import json
import shutil
import urllib.request
from contextlib import closing
from datetime import date

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from click.testing import CliRunner
from msgspec.structs import replace

from chaos.stage import Stage
from deploy.local.kafka import KafkaCluster
from deploy.local.processes import free_port
from schemas import events as ev
from schemas.codec import Codec
from simulator.runs import simulate
from state.borrower import BorrowerState
from state.storage import unpack
from streams.cli import cli
from streams.kafka.broker import changelog
from streams.kafka.partitioning import partition_of
from streams.kafka.rows import STATE, state_of
from streams.kafka.store import PartitionStore
from streams.privacy.audit import KafkaAudit
from streams.privacy.key_file import FileKeys, read_entries, rotate
from streams.privacy.letters import opened_letter
from streams.privacy.master import wrapper_of
from streams.privacy.sealed import open_state
from streams.privacy.vault import Vault, wrapped_of
from tests.privacy.marks import INCOME, NAME, PHONE, answer, erasure, granted, leaks, report, shapes

FORMS = shapes()


def history() -> list[ev.Event]:
    """Return events of a few borrowers, in which all that they and others say of them is marked."""
    marked: list[ev.Event] = []
    known: set[str] = set()
    for event in simulate(accounts=20, days=20, seed=11, start=date(2026, 1, 5)):
        marked.append(event)
        if isinstance(event, ev.ProfileReported) and event.borrower_id not in known:
            who, day = event.borrower_id, event.as_of
            known.add(who)
            marked += [granted(who, day), report(who, day, f"of-{day}")]
            # To an offer that never was: what was said is in a dead letter, sealed.
            marked.append(answer(who, day, f"never-{day}", "declined", reasons=("distress",), rating=1))
    return marked


def rows_of(stage: Stage) -> dict[str, bytes]:
    """Return the last committed state of each borrower, as it is stored."""

    async def read() -> dict[str, bytes]:
        name = changelog(stage.settings(), "planner")
        consumer = AIOKafkaConsumer(bootstrap_servers=stage.bootstrap, isolation_level="read_committed")
        found: dict[str, bytes] = {}
        await consumer.start()
        try:
            tps = [TopicPartition(name, part) for part in range(stage.partitions)]
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            ends = await consumer.end_offsets(tps)
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found |= {r.key[1:].decode(): state_of(r.value) for r in records if r.key[:1] == STATE}
        finally:
            await consumer.stop()
        return found

    return asyncio.run(read())


def soon(stage: Stage) -> None:
    """Have the planner's changelog compacted at once, where it would be within a day."""

    async def alter() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=stage.bootstrap)
        await admin.start()
        try:
            config = {
                "cleanup.policy": "compact",
                "segment.ms": "200",
                "min.cleanable.dirty.ratio": "0",
                "max.compaction.lag.ms": "200",
                "file.delete.delay.ms": "0",
            }
            name = changelog(stage.settings(), "planner")
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, config)])
        finally:
            await admin.close()

    asyncio.run(alter())


def test_personal_data_are_where_upstream_published_them_and_nowhere_else_and_an_erasure_destroys_the_key(
    stage: Stage, kafka: KafkaCluster
) -> None:
    events = history()
    ends = [n + 1 for n, event in enumerate(events) if isinstance(event, ev.DayClosed)]
    first, second, third = events[: ends[9]], events[ends[9] : ends[-3]], events[ends[-3] :]
    days = [e for e in third if isinstance(e, ev.DayClosed)]
    who = next(e.borrower_id for e in first if isinstance(e, ev.ProfileReported))
    stage.health = {"port": free_port()}
    stage.publish(first)
    stage.start("one", log_level="DEBUG")
    # What nobody can read, and what lies about itself, with names and numbers in it.
    poison = f"{NAME} {PHONE} {INCOME}".encode()
    wrong = Codec().encode(report(who, date(2026, 1, 5), "wrong"))
    where = partition_of(who.encode(), stage.partitions)
    for topic in ("profiles", "feedback"):
        stage.put(topic, 0, poison, poison)
        stage.put(topic, 1, None, wrong)
        stage.put(topic, where, who.encode(), wrong[:-3])
    before = sum(stage.committed().values())
    stage.wait(lambda: sum(stage.committed().values()) > before, "progress")
    stage.kill("one")
    stage.start("one", log_level="DEBUG")
    stage.publish(second)
    stage.settle()
    with closing(urllib.request.urlopen(f"http://127.0.0.1:{stage.health['port']}/metrics")) as page:
        assert not leaks_in(page.read())

    vault = Vault(FileKeys(stage.keys).ring())
    rows = rows_of(stage)
    state = unpack(open_state(vault, "planner", who, rows[who]), BorrowerState)
    assert INCOME in {reading.value for reading in state.readings}
    key = wrapped_of(rows[who], b"")
    planner = changelog(stage.settings(), "planner").removeprefix(stage.prefix)
    segments = f"{stage.prefix}{planner}-*/*.log*"
    assert leaks(kafka.folder, {key: "data key"}, segments)

    soon(stage)
    forgotten = erasure(who, days[0].business_date)
    stage.publish([forgotten, *third])
    stage.settle()
    days_after = [
        replace(days[-1], event_id=f"later-{n}", business_date=date.fromordinal(days[-1].business_date.toordinal() + n))
        for n in (1, 2, 3)
    ]
    for day in days_after:
        # A segment is closed, and then compacted, when something is written behind it.
        stage.publish([day])
        stage.settle()
    stage.wait(lambda: not leaks(kafka.folder, {key: "data key"}, segments), "the end of the data key")
    state = unpack(open_state(vault, "planner", who, rows_of(stage)[who]), BorrowerState)
    assert (state.readings, state.consents) == ((), ())
    proofs = [e for e in stage.said() if isinstance(e, ev.PersonalDataErased)]
    assert [(e.borrower_id, e.caused_by) for e in proofs] == [(who, forgotten.event_id)]

    letters = [e for e in stage.said() if isinstance(e, ev.DeadLetter)]
    assert {e.topic for e in letters} == {"profiles", "feedback"}
    assert all((e.key, e.value, e.headers) == (None, None, {}) for e in letters)
    opened = {opened_letter(e, vault).value for e in letters}
    assert {poison, wrong, wrong[:-3]} <= opened
    assert {e.code for e in letters} == {"unreadable", "wrong_key", "unexpected_type", "unknown_offer"}

    # Who is shown it on Kafka is on record there.
    async def looked() -> None:
        audit = KafkaAudit(stage.settings(), stage.codec, "test")
        for purpose in ("hotline", "complaint"):
            await audit.record([(who, ["means.region"])], "li.wei", purpose)

    asyncio.run(looked())
    found = CliRunner().invoke(cli, ["audit", "verify", "--kafka", "--config", str(stage.folder / "one.toml")])
    assert found.exit_code == 0, found.output
    assert "2 records, 0 broken chains" in found.output
    found = CliRunner().invoke(cli, ["audit", "list", "--kafka", "--config", str(stage.folder / "one.toml"), "--json"])
    assert sorted(json.loads(line)["type"] for line in found.output.splitlines()) == [
        "PersonalDataErased",
        "PersonalDataRead",
        "PersonalDataRead",
    ]

    assert stage.end("one") == 0
    # Not one mark in any topic but the two that upstream published to.
    own = [folder for folder in kafka.folder.rglob(f"{stage.prefix}*") if folder.is_dir()]
    held = {folder.name: marks for folder in own if (marks := leaks(folder, FORMS))}
    allowed = (f"{stage.prefix}profiles-", f"{stage.prefix}feedback-")
    assert {part for name in held for part in allowed if name.startswith(part)} == set(allowed)
    assert {name: marks for name, marks in held.items() if not name.startswith(allowed)} == {}
    # Nor in what the worker wrote: its stores, its log.
    assert leaks(stage.folder, FORMS) == {}
    assert leaks(stage.data(), {key: "data key"}) == {}
    store = PartitionStore(stage.data() / f"planner-{where}")
    try:
        assert store.get(STATE + who.encode()) is not None
        assert not leaks_in(b"".join(k + v for k, v in store.scan(b"a", b"\xff")))
    finally:
        store.close()
    lines = [json.loads(line) for line in stage.log("one").splitlines() if line.startswith("{")]
    assert lines, "a log that says nothing proves nothing"


def leaks_in(data: bytes) -> set[str]:
    """Return the marks that bytes hold."""
    return {what for form, what in FORMS.items() if form in data}


def test_a_master_key_is_rotated_and_the_old_one_dropped_while_workers_go_on(stage: Stage) -> None:
    def keys(command: str, *ids: str) -> str:
        config = ["--kafka", "--config", str(stage.folder / "one.toml")]
        found = CliRunner().invoke(cli, ["keys", command, str(stage.keys), *ids, *config])
        return f"{found.output}{found.exception or ''}"

    events = list(simulate(accounts=12, days=40, seed=11))
    half = next(n for n, e in enumerate(events) if isinstance(e, ev.DayClosed) and e.business_date.day == 20)
    stage.publish(events[:half])
    stage.start("one")
    stage.settle()
    (first,), second = (entry.id for entry in read_entries(stage.keys)), rotate(stage.keys)
    assert {wrapper_of(wrapped_of(row, b"")) for row in rows_of(stage).values()} == {first}
    assert stage.end("one") == 0
    # The new one wraps from the first close on, of whom nothing is heard too.
    stage.start("one")
    assert f"still ask for {first}" in keys("drop", first)
    stage.publish(events[half : half + 1])
    stage.settle()
    rows = rows_of(stage)
    assert {wrapper_of(wrapped_of(row, b"")) for row in rows.values()} == {second}
    old, new = keys("list").splitlines()
    assert old == f"{first}  in the file  nothing asks for it: it can be dropped"
    assert new == f"{second}  in the file  wraps  {len(rows)} borrowers, {stage.partitions} words of the check"
    assert f"no longer has {first}" in keys("drop", first)
    stage.kill("one")
    # From an empty disk too, nothing needs the key that is gone.
    shutil.rmtree(stage.data())
    stage.start("one")
    stage.publish(events[half + 1 :])
    stage.settle()
    stage.assert_exact(events)
