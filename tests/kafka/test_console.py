"""The console over Kafka: it serves what the console over a local runtime serves, whatever happens to it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from click.testing import CliRunner

from console.server import ConsoleServer
from schemas import events as ev
from schemas.errors import FatalError
from simulator.runs import simulate
from simulator.world import START
from state.policy_packs.loader import default_book, files_of
from streams.cli import cli
from streams.engine.dead_letters import REPLAY_HEADER
from streams.kafka.compat import connected
from streams.kafka.dead_letters import read_dead_letters, redrive
from streams.local.runtime import LocalRuntime
from streams.security.vault_factory import vault_of
from streams.settings import Settings
from tests.support.worker_cluster import TIMEOUT, WorkerCluster

POISON = b"\xffnot Avro"
CHANGE = ev.PolicyChanged(
    event_id="policy-1",
    occurred_at=datetime(START.year, START.month, START.day, tzinfo=UTC),
    source="risk",
    change_id="C1",
    effective_on=START + timedelta(days=40),
    files=files_of("us_ffiec"),
)
AT = datetime(START.year, START.month, START.day, tzinfo=UTC)


def asked(url: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Return the status and the answer; a body makes it a change."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    if body is None:
        connection.request("GET", path)
    else:
        connection.request("POST", path, json.dumps(body), headers or {"Origin": url})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    as_json = answer.headers.get("Content-Type", "").startswith("application/json")
    return answer.status, json.loads(text) if as_json else text.decode()


def command(workers: WorkerCluster) -> list[str]:
    """Return the command of a console over a workers."""
    folder = workers.folder
    return ["console", "--kafka", "--port=0", f"--config={folder / 'one.toml'}", f"--data={folder / 'console'}"]


class Program:
    """`reprieve console --kafka` as a process."""

    def __init__(self, workers: WorkerCluster) -> None:
        with open(workers.folder / "console.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", *command(workers)],
                stdout=subprocess.PIPE,
                stderr=log,
                env={k: v for k, v in os.environ.items() if not k.startswith("REPRIEVE_")},
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+(?=;)", line)
        assert found is not None, (line, stage_log(workers))
        self.url = found[0]

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def console(workers: WorkerCluster) -> Iterator[Program]:
    """Yield a console over a workers, killed at the end."""
    made = Program(workers)
    try:
        yield made
    finally:
        made.kill()


def stage_log(workers: WorkerCluster) -> str:
    """Return the end of what consoles wrote."""
    return (workers.folder / "console.log").read_text("utf-8")[-3000:]


def caught_up(workers: WorkerCluster, program: Program) -> None:
    """Wait until the console is ready, workers have nothing left, and it has read all that they said."""

    def done() -> bool:
        assert program.process.poll() is None, stage_log(workers)
        health = asked(program.url, "/api/overview")[1]["health"]
        return asked(program.url, "/readyz")[0] == 200 and (health["lag"], health["console_lag"]) == (0, 0)

    # First, since what the console lacks it knows by the ends that it saw last.
    workers.wait_until_idle()
    workers.wait(done, "a console that has read everything")


def served(url: str, events: Sequence[ev.Event]) -> dict[str, Any]:
    """Return all that a console says of a history but how it is doing itself."""
    overview = asked(url, "/api/overview")[1]
    said = {"overview": {k: v for k, v in overview.items() if k not in ("health", "events")}}
    for path in ("/api/rules", "/api/learner", "/api/search?q=A", "/api/search?q=B"):
        said[path] = asked(url, path)[1]
    for event in events:
        if isinstance(event, ev.AccountOpened):
            for path in (f"/api/accounts/{event.account_id}", f"/api/borrowers/{event.borrower_id}"):
                said[path] = asked(url, path)[1]
    read_dead_letters = asked(url, "/api/letters")[1]
    said["letters"] = {
        "by_code": read_dead_letters["by_code"],
        "each": Counter((x["topic"], x["code"], x["message"], x["replayed"]) for x in read_dead_letters["letters"]),
    }
    return said


def expected_outputs(events: Sequence[ev.Event], folder: Path, poison: int = 0) -> dict[str, Any]:
    """Return what the console over a local runtime says of the same events."""
    with LocalRuntime.open(folder, default_book()) as runtime:
        runtime.feed(events)
        for _ in range(poison):
            runtime.publish_raw("payments", b"A1", POISON)
        runtime.run()
    with ConsoleServer(folder) as local:
        while asked(local.url, "/readyz")[0] != 200:
            time.sleep(0.05)
        return served(local.url, events)


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found.keys() == wanted.keys()
    for path, value in wanted.items():
        assert found[path] == value, path


def publish_in_time(workers: WorkerCluster, events: Sequence[ev.Event]) -> None:
    """Publish events, answers behind all that came before: who answers has read the offer."""
    begin = 0
    for at, event in enumerate(events):
        if isinstance(event, ev.OfferAnswered) and not isinstance(events[at - 1], ev.OfferAnswered):
            workers.publish(events[begin:at])
            workers.wait_until_idle()
            begin = at
    workers.publish(events[begin:])


def test_it_serves_what_the_local_runtime_does_after_any_kill(workers: WorkerCluster, tmp_path: Path) -> None:
    events, dice = list(simulate(accounts=24, days=90, seed=11, changes=[CHANGE], close_every=5)), random.Random(3)
    workers.start("one")
    half = len(events) // 2
    publish_in_time(workers, events[:half])
    for _ in range(3):
        with console(workers) as program:
            asked(program.url, "/api/overview")
            time.sleep(dice.uniform(0, 0.8))
    publish_in_time(workers, events[half:])
    workers.produce("payments", 0, b"A1", POISON)
    for _ in range(2):
        with console(workers) as program:
            time.sleep(dice.uniform(0, 1.5))
    with console(workers) as program:
        caught_up(workers, program)
        wanted = expected_outputs(events, tmp_path / "local", poison=1)
        assert_same(served(program.url, events), wanted)
    # It was killed; the next one goes on from what it had counted.
    with console(workers) as program:
        caught_up(workers, program)
        assert_same(served(program.url, events), wanted)
    said = (workers.folder / "console.log").read_text("utf-8")
    assert "console_counts_resumed" in said
    assert "console_cache_rebuilt" not in said

    # The file stands where Kafka, restored to an earlier day, never came to; then at another record than Kafka has.
    for change in ('UPDATE place SET "offset" = "offset" + 1000', "UPDATE place SET digest = x'00000000'"):
        with closing(sqlite3.connect(workers.folder / "console" / "console.db")) as db, db:
            db.execute(change + " WHERE topic = 'delinquency' AND partition = 1")
        with console(workers) as program:
            caught_up(workers, program)
            assert_same(served(program.url, events), wanted)
    assert (workers.folder / "console.log").read_text("utf-8").count("console_cache_rebuilt") == 2


def test_an_auditor_sees_looks_across_restarts_and_forgeries(workers: WorkerCluster) -> None:
    events = list(simulate(accounts=12, days=60, seed=11, close_every=5))
    workers.publish(events)
    workers.start("one")
    workers.wait_until_idle()
    looked: list[tuple[str, str]] = []
    for purpose in ("complaint", "subject_access"):
        with console(workers) as program:
            caught_up(workers, program)
            for who in asked(program.url, "/api/search?q=B")[1]["borrowers"][:4]:
                assert asked(program.url, f"/api/borrowers/{who}?purpose={purpose}")[0] == 200
                looked.append((who, purpose))

            def trail(who: str = "", url: str = program.url) -> dict[str, Any]:
                found: dict[str, Any] = asked(url, f"/api/audit?who={who}")[1]
                return found

            workers.wait(lambda: trail()["count"] == len(looked), "all that was looked at")
            found = trail()
            assert sorted((r["borrower"], r["purpose"]) for r in found["records"]) == sorted(looked)
            assert found["broken_count"] == 0
            assert sum(c["records"] for c in found["chains"]) == len(looked)
            assert {r["borrower"] for r in trail(who)["records"]} == {who}
            assert trail("nobody")["count"] == 0
    # Each process has chains of its own, so that one that is killed leaves none without its end.
    workers.publish([next(e for e in workers.outputs() if isinstance(e, ev.PersonalDataRead))])
    with console(workers) as program:
        workers.wait(lambda: trail(url=program.url)["broken_count"] == 1, "the record that was put in")
        first = trail(url=program.url)["chains"][0]
        assert "two records of this number" in first["broken"]


def letters_shown(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(url, "/api/letters")[1]["letters"]
    return found


def test_a_letter_is_sent_in_again_once_whoever_asks(workers: WorkerCluster) -> None:
    opened, paid = _opened(), _paid()
    bad = workers.codec.encode(paid)
    workers.start("one")
    # Nobody has opened the account yet under this key, and the key is not the payment's.
    workers.publish([opened])
    workers.produce("payments", 1, b"other", bad)
    workers.produce("payments", 2, b"A1", POISON)
    with console(workers) as program:
        workers.wait(lambda: len(letters_shown(program.url)) == 2, "two dead letters")
        assert POISON.hex() not in json.dumps(asked(program.url, "/api/letters"))
        unreadable = next(x for x in letters_shown(program.url) if x["code"] == "unreadable")
        assert (unreadable["topic"], unreadable["partition"], unreadable["offset"]) == ("payments", 2, 0)
        refusals = ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"})
        for headers in refusals:
            assert asked(program.url, "/api/letters/again", {"code": "unreadable"}, **headers)[0] == 403
        for body in ({}, {"ids": [], "code": None}, {"ids": ["x"], "code": "x"}, {"id": "x"}, ["x"]):
            assert asked(program.url, "/api/letters/again", body)[0] == 400
        config = ["--kafka", "--config", str(workers.folder / "one.toml")]
        with ThreadPoolExecutor(4) as threads:
            clicks = [
                threads.submit(asked, program.url, "/api/letters/again", {"ids": [unreadable["id"]]}) for _ in "123"
            ]
            command = threads.submit(
                CliRunner().invoke, cli, ["dead-letters", "replay", *config, "--id", unreadable["id"]]
            )
            for click in clicks:
                status, said = click.result()
                # Another that sends meanwhile makes this one stop, with nothing sent twice.
                assert status == 200 or (status == 409 and "Another process" in said), said
            command.result()
        asked(program.url, "/api/letters/again", {"ids": [unreadable["id"]]})
        workers.wait(lambda: len(letters_shown(program.url)) == 3, "the same record refused anew")
        assert asked(program.url, "/api/letters/again", {"ids": [unreadable["id"]]}) == (200, {"sent": 0, "before": 1})
        assert next(x for x in letters_shown(program.url) if x["id"] == unreadable["id"])["replayed"]
        workers.wait_until_idle()
        records = again(workers)
        assert [(r.key, r.value, dict(r.headers)[REPLAY_HEADER].decode()) for r in records] == [
            (b"A1", POISON, unreadable["id"])
        ]
        listed = CliRunner().invoke(cli, ["dead-letters", "list", *config, "--json"])
        left = {json.loads(line)["letter"]["event_id"] for line in listed.stdout.splitlines()}
        assert left == {x["id"] for x in letters_shown(program.url) if not x["replayed"]}
        assert len(left) == 2


def test_concurrent_senders_are_told_and_send_each_letter_once(workers: WorkerCluster) -> None:
    workers.start("one")
    for number in range(24):
        workers.produce("payments", 2, b"A1", POISON + bytes([number]))
    workers.wait_until_idle()
    workers.stop("one")
    settings = Settings.load(workers.folder / "one.toml")
    vault = vault_of(settings.privacy)

    async def all_at_once() -> tuple[set[str], int]:
        ids = sorted([x.letter.event_id async for x in read_dead_letters(settings, workers.codec)])

        async def some(seed: int) -> int:
            dice, sent = random.Random(seed), 0
            for _ in range(8):
                pair = dice.sample(ids, 2)
                await asyncio.sleep(dice.uniform(0, 0.1))
                try:
                    sent += (await redrive(settings, workers.codec, vault, partial(_is_one_of, pair))).sent
                except FatalError as error:
                    if "Another process" not in str(error):
                        raise
            return sent

        sent = sum(await asyncio.gather(*map(some, range(4))))
        return set(ids), sent + (await redrive(settings, workers.codec, vault, lambda x: True)).sent

    ids, sent = asyncio.run(all_at_once())
    assert Counter(dict(r.headers)[REPLAY_HEADER].decode() for r in again(workers)) == Counter(ids)
    # Who was stopped says no number, though its letter may have gone.
    assert len(ids) == 24
    assert 0 < sent <= 24


def _is_one_of(ids: list[str], letter: ev.DeadLetter) -> bool:
    return letter.event_id in ids


def test_what_is_said_of_lag_and_workers_is_true(workers: WorkerCluster) -> None:
    events = list(simulate(accounts=20, days=20, seed=4, close_every=4))
    workers.start("one")
    workers.stop("one")
    with console(workers) as program:
        workers.publish(events)
        waiting = len(events) + 2 * sum(isinstance(e, ev.DayClosed) for e in events)

        def health() -> dict[str, Any]:
            found: dict[str, Any] = asked(program.url, "/api/overview")[1]["health"]
            return found

        workers.wait(lambda: health()["lag"] == waiting, "the lag of all that was published")
        assert (health()["workers"], health()["problem"]) == (0, "no_worker")
        assert sum(lane["lag"] for lane in health()["lanes"]) == waiting
        workers.start("two")
        workers.wait(lambda: health()["lag"] == 0, "no lag")
        assert (health()["workers"], health()["group"], health()["problem"]) == (1, "Stable", None)
        newest = health()
        assert 0 <= newest["now_ms"] - newest["newest_commit_ms"] < 60_000
        assert asked(program.url, "/api/overview")[1]["events"]["in"] == waiting


def test_what_it_cannot_go_on_with_is_one_sentence(workers: WorkerCluster) -> None:
    workers.start("one")
    config = (workers.folder / "one.toml").read_text("utf-8")
    with console(workers):
        second = CliRunner().invoke(cli, command(workers))
        assert isinstance(second.exception, FatalError)
        assert "in use by process" in str(second.exception)
    other = workers.folder / "other.toml"
    other.write_text(config.replace(workers.prefix, "nothing-here."), "utf-8")
    for args in (
        ["console", "--kafka", "--port", "0", "--data", str(workers.folder / "b")],
        ["dead-letters", "list", "--kafka"],
    ):
        lost = CliRunner().invoke(cli, [*args, "--config", str(other)])
        assert isinstance(lost.exception, FatalError)
        assert "reprieve topics apply" in str(lost.exception)


def again(workers: WorkerCluster) -> list[Any]:
    """Return the records of payments that say that they were sent in again."""

    async def read() -> list[Any]:
        async with connected(
            AIOKafkaConsumer(
                bootstrap_servers=workers.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
            )
        ) as consumer:
            tps = [TopicPartition(f"{workers.prefix}payments", part) for part in range(workers.partitions)]
            consumer.assign(tps)
            ends, found = await workers.end_offsets(tps), []
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += [r for r in records if REPLAY_HEADER in dict(r.headers)]
            return found

    return asyncio.run(read())


def _opened() -> ev.AccountOpened:
    return ev.AccountOpened(
        event_id="open",
        occurred_at=AT,
        source="test",
        account_id="A1",
        borrower_id="B1",
        product="loan",
        jurisdiction="CN",
        currency="CNY",
        opened_on=START,
        annual_rate_bps=0,
        principal=1_000,
        instalments=(ev.Instalment(number=1, due_on=START + timedelta(days=3), principal=1_000, interest=0, fees=0),),
    )


def _paid() -> ev.PaymentReceived:
    return ev.PaymentReceived(
        event_id="paid",
        occurred_at=AT,
        source="test",
        account_id="A1",
        payment_id="p1",
        amount=100,
        currency="CNY",
        value_on=START,
        channel="transfer",
    )


def test_what_was_counted_outlasts_sigterm(workers: WorkerCluster) -> None:
    events = list(simulate(accounts=24, days=60, seed=11, close_every=5))
    workers.start("one")
    half = len(events) // 2
    for part in (events[:half], events[half:]):
        workers.publish(part)
        program = Program(workers)
        try:
            caught_up(workers, program)
            program.process.terminate()
            assert program.process.wait(TIMEOUT) == 0
        finally:
            program.kill()
        with closing(sqlite3.connect(workers.folder / "console" / "console.db")) as db:
            (head,) = db.execute("SELECT value FROM snapshot WHERE number = 0").fetchone()
            (last,) = db.execute("SELECT MAX(position) FROM log").fetchone()
        assert msgspec.msgpack.decode(head)[2] == last
    assert "console_cache_rebuilt" not in stage_log(workers)
