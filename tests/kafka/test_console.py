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

from aiokafka import AIOKafkaConsumer, TopicPartition
from click.testing import CliRunner

from chaos.stage import Stage
from console.serving import ServedConsole
from schemas import events as ev
from schemas.errors import Fatal
from simulator.runs import simulate
from simulator.world import START
from state.pack import default_book, files_of
from streams.cli import cli
from streams.kafka.letters import letters, send_again
from streams.letters import REPLAYED
from streams.local.runtime import LocalRuntime
from streams.privacy.opening import vault_of
from streams.settings import Settings

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
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    if body is None:
        connection.request("GET", path)
    else:
        connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    as_json = answer.headers.get("Content-Type", "").startswith("application/json")
    return answer.status, json.loads(text) if as_json else text.decode()


def command(stage: Stage) -> list[str]:
    """Return the command of a console over a stage."""
    folder = stage.folder
    return ["console", "--kafka", "--port=0", f"--config={folder / 'one.toml'}", f"--data={folder / 'console'}"]


class Program:
    """`reprieve console --kafka` as a process."""

    def __init__(self, stage: Stage) -> None:
        with open(stage.folder / "console.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", *command(stage)],
                stdout=subprocess.PIPE,
                stderr=log,
                env={k: v for k, v in os.environ.items() if not k.startswith("REPRIEVE_")},
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+(?=;)", line)
        assert found is not None, (line, stage_log(stage))
        self.url = found[0]

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def console(stage: Stage) -> Iterator[Program]:
    """Yield a console over a stage, killed at the end."""
    made = Program(stage)
    try:
        yield made
    finally:
        made.kill()


def stage_log(stage: Stage) -> str:
    """Return the end of what consoles wrote."""
    return (stage.folder / "console.log").read_text("utf-8")[-3000:]


def caught_up(stage: Stage, program: Program) -> None:
    """Wait until the console is ready, workers have nothing left, and it has read all that they said."""

    def done() -> bool:
        assert program.process.poll() is None, stage_log(stage)
        health = asked(program.url, "/api/overview")[1]["health"]
        return asked(program.url, "/readyz")[0] == 200 and (health["lag"], health["console_lag"]) == (0, 0)

    stage.wait(done, "a console that has read everything")


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
    letters = asked(url, "/api/letters")[1]
    said["letters"] = {
        "by_code": letters["by_code"],
        "each": Counter((x["topic"], x["code"], x["message"], x["replayed"]) for x in letters["letters"]),
    }
    return said


def expected(events: Sequence[ev.Event], folder: Path, poison: int = 0) -> dict[str, Any]:
    """Return what the console over a local runtime says of the same events."""
    with LocalRuntime.open(folder, default_book()) as runtime:
        runtime.feed(events)
        for _ in range(poison):
            runtime.publish_raw("payments", b"A1", POISON)
        runtime.run()
    with ServedConsole(folder) as local:
        while asked(local.url, "/readyz")[0] != 200:
            time.sleep(0.05)
        return served(local.url, events)


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found.keys() == wanted.keys()
    for path, value in wanted.items():
        assert found[path] == value, path


def test_it_serves_what_the_local_runtime_serves_after_it_was_killed_at_any_point(stage: Stage, tmp_path: Path) -> None:
    events, dice = list(simulate(accounts=24, days=90, seed=11, changes=[CHANGE])), random.Random(3)
    stage.start("one")
    half = len(events) // 2
    stage.publish(events[:half])
    for _ in range(3):
        with console(stage) as program:
            asked(program.url, "/api/overview")
            time.sleep(dice.uniform(0, 0.8))
    stage.publish(events[half:])
    stage.put("payments", 0, b"A1", POISON)
    for _ in range(2):
        with console(stage) as program:
            time.sleep(dice.uniform(0, 1.5))
    with console(stage) as program:
        caught_up(stage, program)
        wanted = expected(events, tmp_path / "local", poison=1)
        assert_same(served(program.url, events), wanted)
    # It was killed; the next one goes on from what it had counted.
    with console(stage) as program:
        caught_up(stage, program)
        assert_same(served(program.url, events), wanted)
    said = (stage.folder / "console.log").read_text("utf-8")
    assert "console_counts_resumed" in said
    assert "console_cache_rebuilt" not in said

    # The file stands where Kafka, restored to an earlier day, never came to; then at another record than Kafka has.
    for change in ('UPDATE place SET "offset" = "offset" + 1000', "UPDATE place SET digest = x'00000000'"):
        with closing(sqlite3.connect(stage.folder / "console" / "console.db")) as db, db:
            db.execute(change + " WHERE topic = 'delinquency' AND partition = 1")
        with console(stage) as program:
            caught_up(stage, program)
            assert_same(served(program.url, events), wanted)
    assert (stage.folder / "console.log").read_text("utf-8").count("console_cache_rebuilt") == 2


def test_an_auditor_sees_who_looked_across_restarts_and_a_record_that_was_put_in(stage: Stage) -> None:
    events = list(simulate(accounts=12, days=60, seed=11))
    stage.publish(events)
    stage.start("one")
    stage.settle()
    looked: list[tuple[str, str]] = []
    for purpose in ("complaint", "subject_access"):
        with console(stage) as program:
            caught_up(stage, program)
            for who in asked(program.url, "/api/search?q=B")[1]["borrowers"][:4]:
                assert asked(program.url, f"/api/borrowers/{who}?purpose={purpose}")[0] == 200
                looked.append((who, purpose))

            def trail(who: str = "", url: str = program.url) -> dict[str, Any]:
                found: dict[str, Any] = asked(url, f"/api/audit?who={who}")[1]
                return found

            stage.wait(lambda: trail()["count"] == len(looked), "all that was looked at")
            found = trail()
            assert sorted((r["borrower"], r["purpose"]) for r in found["records"]) == sorted(looked)
            assert found["broken_count"] == 0
            assert sum(c["records"] for c in found["chains"]) == len(looked)
            assert {r["borrower"] for r in trail(who)["records"]} == {who}
            assert trail("nobody")["count"] == 0
    # Each process has chains of its own, so that one that is killed leaves none without its end.
    stage.publish([next(e for e in stage.said() if isinstance(e, ev.PersonalDataRead))])
    with console(stage) as program:
        stage.wait(lambda: trail(url=program.url)["broken_count"] == 1, "the record that was put in")
        first = trail(url=program.url)["chains"][0]
        assert "two records of this number" in first["broken"]


def letters_shown(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(url, "/api/letters")[1]["letters"]
    return found


def test_a_letter_is_sent_in_again_once_however_often_and_by_whomever_it_is_asked(stage: Stage) -> None:
    opened, paid = _opened(), _paid()
    bad = stage.codec.encode(paid)
    stage.start("one")
    # Nobody has opened the account yet under this key, and the key is not the payment's.
    stage.publish([opened])
    stage.put("payments", 1, b"other", bad)
    stage.put("payments", 2, b"A1", POISON)
    with console(stage) as program:
        stage.wait(lambda: len(letters_shown(program.url)) == 2, "two dead letters")
        assert POISON.hex() not in json.dumps(asked(program.url, "/api/letters"))
        unreadable = next(x for x in letters_shown(program.url) if x["code"] == "unreadable")
        assert (unreadable["topic"], unreadable["partition"], unreadable["offset"]) == ("payments", 2, 0)
        refusals = ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"})
        for headers in refusals:
            assert asked(program.url, "/api/letters/again", {"code": "unreadable"}, **headers)[0] == 403
        for body in ({}, {"ids": [], "code": None}, {"ids": ["x"], "code": "x"}, {"id": "x"}, ["x"]):
            assert asked(program.url, "/api/letters/again", body)[0] == 400
        config = ["--kafka", "--config", str(stage.folder / "one.toml")]
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
        stage.wait(lambda: len(letters_shown(program.url)) == 3, "the same record refused anew")
        assert asked(program.url, "/api/letters/again", {"ids": [unreadable["id"]]}) == (200, {"sent": 0, "before": 1})
        assert next(x for x in letters_shown(program.url) if x["id"] == unreadable["id"])["replayed"]
        stage.settle()
        records = again(stage)
        assert [(r.key, r.value, dict(r.headers)[REPLAYED].decode()) for r in records] == [
            (b"A1", POISON, unreadable["id"])
        ]
        listed = CliRunner().invoke(cli, ["dead-letters", "list", *config, "--json"])
        left = {json.loads(line)["letter"]["event_id"] for line in listed.stdout.splitlines()}
        assert left == {x["id"] for x in letters_shown(program.url) if not x["replayed"]}
        assert len(left) == 2


def test_whoever_is_stopped_by_another_who_sends_is_told_so_and_each_letter_goes_once(stage: Stage) -> None:
    stage.start("one")
    for number in range(24):
        stage.put("payments", 2, b"A1", POISON + bytes([number]))
    stage.settle()
    stage.end("one")
    settings = Settings.load(stage.folder / "one.toml")
    vault = vault_of(settings.privacy)

    async def all_at_once() -> tuple[set[str], int]:
        ids = sorted([x.letter.event_id async for x in letters(settings, stage.codec)])

        async def some(seed: int) -> int:
            dice, sent = random.Random(seed), 0
            for _ in range(8):
                pair = dice.sample(ids, 2)
                await asyncio.sleep(dice.uniform(0, 0.1))
                try:
                    sent += (await send_again(settings, stage.codec, vault, partial(_is_one_of, pair))).sent
                except Fatal as error:
                    if "Another process" not in str(error):
                        raise
            return sent

        sent = sum(await asyncio.gather(*map(some, range(4))))
        return set(ids), sent + (await send_again(settings, stage.codec, vault, lambda x: True)).sent

    ids, sent = asyncio.run(all_at_once())
    assert Counter(dict(r.headers)[REPLAYED].decode() for r in again(stage)) == Counter(ids)
    # Who was stopped says no number, though its letter may have gone.
    assert len(ids) == 24
    assert 0 < sent <= 24


def _is_one_of(ids: list[str], letter: ev.DeadLetter) -> bool:
    return letter.event_id in ids


def test_what_is_said_of_lag_and_workers_is_true(stage: Stage) -> None:
    events = list(simulate(accounts=20, days=20, seed=4))
    stage.start("one")
    stage.end("one")
    with console(stage) as program:
        stage.publish(events)
        waiting = len(events) + 2 * sum(isinstance(e, ev.DayClosed) for e in events)

        def health() -> dict[str, Any]:
            found: dict[str, Any] = asked(program.url, "/api/overview")[1]["health"]
            return found

        stage.wait(lambda: health()["lag"] == waiting, "the lag of all that was published")
        assert (health()["workers"], health()["problem"]) == (0, "no_worker")
        assert sum(lane["lag"] for lane in health()["lanes"]) == waiting
        stage.start("two")
        stage.wait(lambda: health()["lag"] == 0, "no lag")
        assert (health()["workers"], health()["group"], health()["problem"]) == (1, "Stable", None)
        newest = health()
        assert 0 <= newest["now_ms"] - newest["newest_commit_ms"] < 60_000
        assert asked(program.url, "/api/overview")[1]["events"]["in"] == waiting


def test_what_it_cannot_go_on_with_is_one_sentence(stage: Stage) -> None:
    stage.start("one")
    config = (stage.folder / "one.toml").read_text("utf-8")
    with console(stage):
        second = CliRunner().invoke(cli, command(stage))
        assert isinstance(second.exception, Fatal)
        assert "in use by process" in str(second.exception)
    other = stage.folder / "other.toml"
    other.write_text(config.replace(stage.prefix, "nothing-here."), "utf-8")
    for args in (
        ["console", "--kafka", "--port", "0", "--data", str(stage.folder / "b")],
        ["dead-letters", "list", "--kafka"],
    ):
        lost = CliRunner().invoke(cli, [*args, "--config", str(other)])
        assert isinstance(lost.exception, Fatal)
        assert "reprieve topics apply" in str(lost.exception)


def again(stage: Stage) -> list[Any]:
    """Return the records of payments that say that they were sent in again."""

    async def read() -> list[Any]:
        async with AIOKafkaConsumer(
            bootstrap_servers=stage.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
        ) as consumer:
            tps = [TopicPartition(f"{stage.prefix}payments", part) for part in range(stage.partitions)]
            consumer.assign(tps)
            ends, found = await consumer.end_offsets(tps), []
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += [r for r in records if REPLAYED in dict(r.headers)]
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
