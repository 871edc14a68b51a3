"""Personal data on Kafka: nowhere but where upstream published it, through faults too, and gone after an erasure."""

from __future__ import annotations

import asyncio
import json
import shutil
import urllib.request
from contextlib import closing
from datetime import date
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from click.testing import CliRunner
from msgspec.structs import replace

from deploy.local.processes import free_port
from schemas import events as ev
from schemas.codec import Codec
from simulator.runs import simulate
from state.borrower import BorrowerState
from state.storage import unpack
from streams.cli import cli
from streams.engine.partitioning import partition_of
from streams.kafka.audit import KafkaAudit
from streams.kafka.changelog_format import STATE, changelog_topic, packed_state
from streams.kafka.rocksdb_store import RocksDBStore
from streams.kafka.topic_admin import topic_specs
from streams.security.dead_letters import open_dead_letter
from streams.security.key_file import read_entries, read_master_keys, rotate
from streams.security.master_keys import wrapper_of
from streams.security.sealed_rows import open_state
from streams.security.vault import Vault, wrapped_of
from streams.settings import Settings
from tests.support.canaries import INCOME, NAME, PHONE, answer, erasure, granted, leaks, report, shapes, withdrawn
from tests.support.servers import KafkaTestCluster
from tests.support.topics import configure
from tests.support.worker_cluster import WorkerCluster

FORMS = shapes()


def history() -> list[ev.Event]:
    """Return events of a few borrowers, in which all that they and others say of them is marked."""
    marked: list[ev.Event] = []
    known: set[str] = set()
    for event in simulate(accounts=20, days=20, seed=11, start=date(2026, 1, 5), close_every=2):
        marked.append(event)
        if isinstance(event, ev.ProfileReported) and event.borrower_id not in known:
            who, day = event.borrower_id, event.as_of
            known.add(who)
            marked += [granted(who, day), report(who, day, f"of-{day}")]
            # To an offer that never was: what was said is in a dead letter, sealed.
            marked.append(answer(who, day, f"never-{day}", "declined", reasons=("distress",), rating=1))
    return marked


def rows_of(workers: WorkerCluster) -> dict[str, bytes]:
    """Return the last committed state of each borrower, as it is stored."""

    async def read() -> dict[str, bytes]:
        name = changelog_topic(workers.settings(), "planner")
        consumer = AIOKafkaConsumer(bootstrap_servers=workers.bootstrap, isolation_level="read_committed")
        found: dict[str, bytes] = {}
        try:
            await consumer.start()
            tps = [TopicPartition(name, part) for part in range(workers.partitions)]
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            ends = await workers.end_offsets(tps)
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found |= {r.key[1:].decode(): packed_state(r.value) for r in records if r.key[:1] == STATE}
        finally:
            await consumer.stop()
        return found

    return asyncio.run(read())


def soon(workers: WorkerCluster) -> None:
    """Have the planner's changelog compacted at once, where it would be within a day."""
    often = {
        "segment.ms": "200",
        "min.cleanable.dirty.ratio": "0",
        "max.compaction.lag.ms": "200",
        "file.delete.delay.ms": "0",
    }
    configure(workers, changelog_topic(workers.settings(), "planner").removeprefix(workers.prefix), often)


def test_personal_data_stays_where_published_until_erasure(workers: WorkerCluster, kafka: KafkaTestCluster) -> None:
    events = history()
    ends = [n + 1 for n, event in enumerate(events) if isinstance(event, ev.DayClosed)]
    first, second, third = events[: ends[4]], events[ends[4] : ends[-3]], events[ends[-3] :]
    days = [e for e in third if isinstance(e, ev.DayClosed)]
    who = next(e.borrower_id for e in first if isinstance(e, ev.ProfileReported))
    workers.health_settings = {"port": free_port()}
    workers.publish(first)
    workers.start("one", log_level="DEBUG")
    # What nobody can read, and what lies about itself, with names and numbers in it.
    poison = f"{NAME} {PHONE} {INCOME}".encode()
    wrong = Codec().encode(report(who, date(2026, 1, 5), "wrong"))
    where = partition_of(who.encode(), workers.partitions)
    for topic in ("profiles", "feedback"):
        workers.produce(
            topic, 0, poison, poison, [(name, poison) for name in ("ce_id", "ce_time", "traceparent", NAME)]
        )
        workers.produce(topic, 1, None, wrong)
        workers.produce(topic, where, who.encode(), wrong[:-3])
    before = sum(workers.committed().values())
    workers.wait(lambda: sum(workers.committed().values()) > before, "progress")
    workers.kill("one")
    workers.start("one", log_level="DEBUG")
    workers.publish(second)
    workers.wait_until_idle()
    with closing(urllib.request.urlopen(f"http://127.0.0.1:{workers.health_settings['port']}/metrics")) as page:
        assert not leaks_in(page.read())

    vault = Vault(read_master_keys(workers.keys))
    rows = rows_of(workers)
    state = unpack(open_state(vault, "planner", who, rows[who]), BorrowerState)
    assert INCOME in {reading.value for reading in state.readings}
    key = wrapped_of(rows[who], b"")
    planner = changelog_topic(workers.settings(), "planner").removeprefix(workers.prefix)
    segments = f"{workers.prefix}{planner}-*/*.log*"
    assert leaks(kafka.folder, {key: "data key"}, segments)

    soon(workers)
    forgotten = erasure(who, days[0].business_date)
    workers.publish([forgotten, *third])
    workers.wait_until_idle()
    days_after = [
        replace(days[-1], event_id=f"later-{n}", business_date=date.fromordinal(days[-1].business_date.toordinal() + n))
        for n in (1, 2, 3)
    ]
    for day in days_after:
        # A segment is closed, and then compacted, when something is written behind it.
        workers.publish([day])
        workers.wait_until_idle()
    workers.wait(lambda: not leaks(kafka.folder, {key: "data key"}, segments), "the end of the data key")
    state = unpack(open_state(vault, "planner", who, rows_of(workers)[who]), BorrowerState)
    assert (state.readings, state.consents) == ((), ())
    proofs = [e for e in workers.outputs() if isinstance(e, ev.PersonalDataErased)]
    assert [(e.borrower_id, e.caused_by) for e in proofs] == [(who, forgotten.event_id)]

    letters = [e for e in workers.outputs() if isinstance(e, ev.DeadLetter)]
    assert {e.topic for e in letters} == {"profiles", "feedback"}
    assert all((e.key, e.value, e.headers) == (None, None, {}) for e in letters)
    opened = {open_dead_letter(e, vault).value for e in letters}
    assert {poison, wrong, wrong[:-3]} <= opened
    assert {e.code for e in letters} == {"unreadable", "wrong_key", "unexpected_type", "unknown_offer"}

    # Who is shown it on Kafka is on record there.
    async def looked() -> None:
        audit = KafkaAudit(workers.settings(), workers.codec, "test")
        for purpose in ("hotline", "complaint"):
            await audit.record([(who, ["means.region"])], "li.wei", purpose)

    asyncio.run(looked())
    found = CliRunner().invoke(cli, ["audit", "verify", "--kafka", "--config", str(workers.folder / "one.toml")])
    assert found.exit_code == 0, found.output
    assert "2 records, 0 broken chains" in found.output
    found = CliRunner().invoke(
        cli, ["audit", "list", "--kafka", "--config", str(workers.folder / "one.toml"), "--json"]
    )
    assert sorted(json.loads(line)["type"] for line in found.output.splitlines()) == [
        "PersonalDataErased",
        "PersonalDataRead",
        "PersonalDataRead",
    ]

    assert workers.stop("one") == 0
    # Not one mark in any topic but the two that upstream published to.
    own = [folder for folder in kafka.folder.rglob(f"{workers.prefix}*") if folder.is_dir()]
    held = {folder.name: marks for folder in own if (marks := leaks(folder, FORMS))}
    allowed = (f"{workers.prefix}profiles-", f"{workers.prefix}feedback-")
    assert {part for name in held for part in allowed if name.startswith(part)} == set(allowed)
    assert {name: marks for name, marks in held.items() if not name.startswith(allowed)} == {}
    # Nor in what the worker wrote: its stores, its log.
    assert leaks(workers.folder, FORMS) == {}
    assert leaks(workers.data_dir(), {key: "data key"}) == {}
    store = RocksDBStore(workers.data_dir() / f"planner-{where}")
    try:
        assert store.get(STATE + who.encode()) is not None
        assert not leaks_in(b"".join(k + v for k, v in store.scan(b"a", b"\xff")))
    finally:
        store.close()
    lines = [json.loads(line) for line in workers.log("one").splitlines() if line.startswith("{")]
    assert lines, "a log that says nothing proves nothing"


def test_a_withdrawal_destroys_what_workers_have_of_the_reports(
    workers: WorkerCluster, kafka: KafkaTestCluster
) -> None:
    events = history()
    ends = [n + 1 for n, event in enumerate(events) if isinstance(event, ev.DayClosed)]
    first = events[: ends[4]]
    reports = [e for e in first if isinstance(e, ev.ProfileReported) and e.monthly_income == INCOME]
    who, day = reports[0].borrower_id, reports[0].as_of
    mine = [e for e in reports if e.borrower_id == who]
    vault = Vault(read_master_keys(workers.keys))
    workers.publish(first)
    workers.start("one")
    workers.wait_until_idle()
    rows = rows_of(workers)
    assert INCOME in {r.value for r in unpack(open_state(vault, "planner", who, rows[who]), BorrowerState).readings}
    key = wrapped_of(rows[who], b"")
    planner = changelog_topic(workers.settings(), "planner").removeprefix(workers.prefix)
    segments = f"{workers.prefix}{planner}-*/*.log*"
    assert leaks(kafka.folder, {key: "data key"}, segments)
    soon(workers)
    # The old reports come again behind it, and a late one.
    late = replace(mine[0], event_id="late")
    workers.publish([withdrawn(who, day), *mine, late])
    workers.wait_until_idle()
    assert leaks(workers.data_dir(), {key: "data key"}) == {}
    workers.kill("one")
    shutil.rmtree(workers.data_dir())
    workers.start("one")
    for part in range(4):
        # A segment is closed, and then compacted, when something is written behind it.
        workers.publish([granted(f"B-{part}-{n}", day) for n in range(12)])
        workers.wait_until_idle()
    workers.wait(lambda: not leaks(kafka.folder, {key: "data key"}, segments), "the end of the data key")
    state = unpack(open_state(vault, "planner", who, rows_of(workers)[who]), BorrowerState)
    assert f"consent-{who}" not in {reading.consent_id for reading in state.readings}
    assert [e for e in workers.outputs() if isinstance(e, ev.DeadLetter) and e.code == "conflicting_duplicate"] == []
    # Others are as they were.
    others = {e.borrower_id for e in reports} - {who}
    kept = {n: unpack(open_state(vault, "planner", n, row), BorrowerState) for n, row in rows_of(workers).items()}
    assert all(INCOME in {r.value for r in kept[name].readings} for name in others)


def test_words_on_offers_and_decisions_end_by_retention(kafka_parts: None, tmp_path: Path) -> None:
    # All of a month's times a millionth: what has to be gone after 30 days is gone after a few seconds.
    days = {plan.name: plan.config for plan in topic_specs(Settings())}
    soon_ = {"log.retention.check.interval.ms": 200}
    with (
        KafkaTestCluster(tmp_path / "kafka", properties=soon_) as cluster,
        WorkerCluster(cluster.bootstrap, tmp_path, "r") as workers,
    ):
        # Each tenth close is enough for an offer.
        events = simulate(accounts=30, days=80, seed=11)
        workers.publish(e for e in events if not isinstance(e, ev.DayClosed) or e.business_date.toordinal() % 10 == 0)
        workers.start("one")
        workers.wait_until_idle()
        offers = [e for e in workers.outputs() if isinstance(e, ev.OfferPublished) and e.message]
        who = offers[0].borrower_id
        words = {text.encode(): "an offer" for e in offers if e.borrower_id == who for text in (e.offer_id, e.message)}
        for topic in ("offers", "decisions"):
            assert leaks(cluster.folder, words, f"{workers.prefix}{topic}-*/*.log*")
            config = days[f"reprieve.{topic}"]
            assert int(config["retention.ms"]) + int(config["segment.ms"]) == 30 * 86_400_000
            configure(
                workers,
                topic,
                {name: str(int(config[name]) // 1_000_000) for name in ("retention.ms", "segment.ms")}
                | {"file.delete.delay.ms": "0"},
            )
        workers.publish([erasure(who, date(2026, 3, 22))])
        workers.wait_until_idle()
        gone = [f"{workers.prefix}{topic}-*/*.log*" for topic in ("offers", "decisions")]
        workers.wait(lambda: not any(leaks(cluster.folder, words, part) for part in gone), "the end of its words")
        # Nothing that is still needed asks for them: a worker with an empty disk goes on.
        assert workers.stop("one") == 0
        shutil.rmtree(workers.data_dir())
        workers.start("one")
        workers.wait_until_idle()


def leaks_in(data: bytes) -> set[str]:
    """Return the marks that bytes hold."""
    return {what for form, what in FORMS.items() if form in data}


def test_a_master_key_is_rotated_while_workers_go_on(workers: WorkerCluster) -> None:
    def keys(command: str, *ids: str) -> str:
        config = ["--kafka", "--config", str(workers.folder / "one.toml")]
        found = CliRunner().invoke(cli, ["keys", command, str(workers.keys), *ids, *config])
        return f"{found.output}{found.exception or ''}"

    events = list(simulate(accounts=12, days=40, seed=11))
    half = next(n for n, e in enumerate(events) if isinstance(e, ev.DayClosed) and e.business_date.day == 20)
    workers.publish(events[:half])
    workers.start("one")
    workers.wait_until_idle()
    (first,), second = (entry.id for entry in read_entries(workers.keys)), rotate(workers.keys)
    assert {wrapper_of(wrapped_of(row, b"")) for row in rows_of(workers).values()} == {first}
    assert workers.stop("one") == 0
    # The new one wraps from the first close on, of whom nothing is heard too.
    workers.start("one")
    assert f"still ask for {first}" in keys("drop", first)
    workers.publish(events[half : half + 1])
    workers.wait_until_idle()
    rows = rows_of(workers)
    assert {wrapper_of(wrapped_of(row, b"")) for row in rows.values()} == {second}
    old, new = keys("list").splitlines()
    assert old == f"{first}  in the file  nothing asks for it: it can be dropped"
    assert new == f"{second}  in the file  wraps  {len(rows)} borrowers, {workers.partitions} words of the check"
    assert f"no longer has {first}" in keys("drop", first)
    workers.kill("one")
    # From an empty disk too, nothing needs the key that is gone.
    shutil.rmtree(workers.data_dir())
    workers.start("one")
    workers.publish(events[half + 1 :])
    workers.wait_until_idle()
    workers.assert_exact(events)
