"""One stream task without a broker, as a worker runs it: what an event costs in CPU time, by kind of event and stage.

`python -m bench.task [--accounts N …] [--kinds NAME …] [--rounds N] [--beside FOLDER …]`. Records are read from broker
bytes, decided by the agents of a worker, built into batches of outputs and changelog rows, and written to RocksDB. Keys
come in random order. A worker has four such tasks and caches 80,000 states, so each task has a quarter of both: 40,000
accounts are in its cache, 300,000 are not. Each round is a process of its own, in turn with those of other trees.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.producer.message_accumulator import BatchBuilder
from msgspec.structs import replace

from bench.local import START, closes, instant, opening, payments
from bench.measure import machine, note, shuffled
from bench.offers import debt as debt_of
from bench.privacy import reports
from schemas import events as ev
from schemas.codec import Codec, headers_for
from schemas.topics import TOPIC_OF, key_of
from state.calendars import add_months
from state.policy_packs.loader import default_book
from streams.engine.agent_store import fewer_collections
from streams.engine.agents import all_agents
from streams.engine.output import Record
from streams.engine.record_queue import RecordQueue
from streams.kafka.compat import patch_fetchers
from streams.kafka.metrics import count_committed
from streams.kafka.rocksdb_store import RocksDBStore
from streams.kafka.task_start import make_task
from streams.security.key_file import make, read_master_keys
from streams.security.vault import Vault
from streams.settings import Settings

TASKS, CACHED, BATCH = 4, 80_000, 5_000
STAGES = ("fetch", "queue", "decide", "batches", "store", "commit")
_BATCH_BYTES = 900_000
_DUE, _DAY = add_months(START, 1), timedelta(days=1)

# Seconds of CPU time by stage.
Spent = dict[str, float]
Events = Callable[[int, int], Iterable[ev.Event]]


def _about(name: str, n: int, on: date) -> dict[str, Any]:
    return {
        "event_id": f"{name}-{n}",
        "occurred_at": instant(on),
        "source": "bench",
        "account_id": f"A{n:07d}",
    }


def cards(accounts: int, _: int) -> Iterator[ev.Event]:
    """Yield card accounts, which owe what their statements ask."""
    for event in opening(accounts):
        assert isinstance(event, ev.AccountOpened)
        yield replace(event, product="credit_card", principal=0, instalments=())


def statements(accounts: int, month: int) -> Iterator[ev.Event]:
    """Yield a month's statement of each card."""
    on = add_months(START, month)
    for n in range(accounts):
        yield ev.InstalmentBilled(
            **_about(f"bill-{month}", n, on),
            number=month,
            due_on=on + timedelta(days=20),
            principal=80_000,
            interest=1_200,
            fees=0,
            billed_on=on,
        )


def contacts(accounts: int, month: int) -> Iterator[ev.Event]:
    """Yield a call to each borrower that nobody answered."""
    for n in range(accounts):
        yield ev.ContactAttempted(
            **_about(f"call-{month}", n, START + timedelta(days=month)),
            attempt_id=f"call-{month}-{n}",
            channel="call",
            direction="outbound",
            outcome="no_answer",
            agent="desk-1",
        )


def holds(accounts: int, month: int) -> Iterator[ev.Event]:
    """Yield a dispute of each account, with an end."""
    for n in range(accounts):
        yield ev.HoldPlaced(
            **_about(f"hold-{month}", n, START + timedelta(days=month)),
            hold_id=f"hold-{month}-{n}",
            kind="dispute",
            from_on=add_months(START, month),
            until_on=add_months(START, month) + timedelta(days=3),
        )


def lessons(borrowers: int, month: int) -> Iterator[ev.Event]:
    """Yield a lesson that each borrower has completed."""
    for n in range(borrowers):
        yield ev.EducationCompleted(
            event_id=f"lesson-{month}-{n}",
            occurred_at=instant(START + timedelta(days=month)),
            source="bench",
            borrower_id=f"B{n:07d}",
            item_id=f"budget-{month}",
        )


def in_trouble(borrowers: int, _: int) -> Iterator[ev.Event]:
    """Yield the means of borrowers, and for each an account that wants a plan."""
    yield from reports(borrowers, 0)
    dice = Random(1)
    for n in range(borrowers):
        debt = replace(debt_of(dice, n), account_id=f"A{n:07d}")
        yield ev.WorkoutRequested(
            event_id=f"request-{n}",
            occurred_at=instant(START),
            source="bench",
            borrower_id=f"B{n:07d}",
            account_id=debt.account_id,
            business_date=START,
            caused_by=f"bench-{n}",
            trigger="missed",
            debt=debt,
        )


def acceptance(offer: ev.OfferPublished) -> ev.OfferAnswered:
    """Return the borrower's acceptance of an offer's first option."""
    return ev.OfferAnswered(
        event_id=f"answer-{offer.offer_id}",
        occurred_at=instant(START + _DAY),
        source="bench",
        feedback_id=f"answer-{offer.offer_id}",
        offer_id=offer.offer_id,
        borrower_id=offer.borrower_id,
        answer="accepted",
        option_id=offer.options[0].option_id,
        channel="online",
    )


def _none(_: int, __: int) -> Iterator[ev.Event]:
    return iter(())


@dataclass(frozen=True)
class Kind:
    """A kind of event: what is there before, and what is measured, month by month; each by count and month.

    answers: what is measured are the answers to offers that were made before. most: accounts or borrowers at most,
    since an offer takes milliseconds.
    """

    name: str
    before: Events
    events: Events
    answers: bool = False
    most: int = 10**9


KINDS = (
    Kind("payments", lambda count, _: opening(count), payments),
    Kind("statements", cards, statements),
    Kind("contacts", lambda count, _: opening(count), contacts),
    Kind("holds", lambda count, _: opening(count), holds),
    Kind("profiles", lambda count, _: reports(count, 0), reports),
    Kind("lessons", lambda count, _: reports(count, 0), lessons),
    Kind("answers", in_trouble, _none, answers=True, most=2_000),
)


class BrokerLog:
    """Records of one topic as a broker keeps them: batches as the publisher makes them."""

    def __init__(self, topic: str, events: Iterable[ev.Event], codec: Codec) -> None:
        self.topic = topic
        self.count = 0
        self._data = bytearray()
        self._first = 0
        self._builder = BatchBuilder(256 * 1024, 0, is_transactional=0)
        for event in events:
            record = {
                "timestamp": 1_767_268_800_000 + self.count,
                "key": (key_of(event) or "").encode(),
                "value": codec.encode(event, topic),
                "headers": headers_for(event),
            }
            if self._builder.append(**record) is None:
                self._flush()
                self._builder.append(**record)
            self.count += 1
        self._flush()

    def _flush(self) -> None:
        self._builder._set_producer_state(-1, -1, -1)
        data = self._builder._build()
        data[:8] = self._first.to_bytes(8, "big")
        self._data += data
        self._first = self.count
        self._builder = BatchBuilder(256 * 1024, 0, is_transactional=0)

    def records(self) -> Iterator[Record]:
        """Yield them as a consumer reads them."""
        place, data = TopicPartition(self.topic, 0), fetcher.MemoryRecords(bytes(self._data))
        reader = fetcher.PartitionRecords(place, data, [], 0, None, None, True, fetcher.READ_COMMITTED)
        found: Iterator[Record] = reader._unpack_records()
        return found


class Bench:
    """A task over stores in a folder."""

    def __init__(self, folder: Path) -> None:
        agents = all_agents()
        self._stores = {(agent.name, 0): RocksDBStore(folder / f"{agent.name}-0") for agent, _ in agents}
        keys = folder / "keys.json"
        make(keys)
        vault = Vault(read_master_keys(keys))
        settings = Settings.load(topics={"prefix": "bench.", "partitions": 1})
        self.task, self._rows = make_task(
            settings, 0, agents, self._stores, default_book(), Codec(), CACHED // TASKS, vault, None
        )
        self._offset = 0
        # What went into changelogs, in bytes with their batches; the offers that were made.
        self.changelog_bytes = 0
        self.offers: list[ev.OfferPublished] = []

    def take(self, log: BrokerLog) -> Spent:
        """Take records to their end; returns the seconds of CPU time by stage."""
        spent: Spent = defaultdict(float)
        clock, task = time.process_time, self.task
        name = log.topic.removeprefix("bench.")
        queue = RecordQueue(BATCH, {}, task.inputs)
        records = log.records()
        while True:
            began = clock()
            found = list(islice(records, BATCH))
            fetched = clock()
            spent["fetch"] += fetched - began
            if not found:
                return spent
            queue.add_records(name, found)
            queue.consumer_positions = dict.fromkeys((*task.inputs, "clock"), (1, 1))
            batch = queue.take(None)
            queued = clock()
            task.process_batch(batch)
            decided = clock()
            spent["queue"] += queued - fetched
            spent["decide"] += decided - queued
            self._commit(spent)

    def _commit(self, spent: Spent) -> None:
        clock = time.process_time
        began = clock()
        output = self.task.prepare_commit()
        assert not output.dead_lettered, output.dead_lettered
        places: dict[str, list[Any]] = {}
        self.offers += [
            e for record in output.records if isinstance(e := record.event, ev.OfferPublished) and e.options
        ]
        for record in output.records:
            places.setdefault(record.topic, []).append((record.key, record.value, list(record.headers)))
        for records in places.values():
            batches_of(records)
        written = self._rows.written
        for rows in written.values():
            self.changelog_bytes += sum(map(len, batches_of([(key, value, []) for key, value in rows.items()])))
        built = clock()
        self._offset += 1
        self._rows.apply(dict.fromkeys(written, self._offset))
        stored = clock()
        self.task.post_commit()
        count_committed(output)
        spent["batches"] += built - began
        spent["store"] += stored - built
        spent["commit"] += clock() - stored

    def close_day(self, day: ev.DayClosed) -> None:
        """Close a day for all agents."""
        (record,) = BrokerLog("bench.clock", [day], Codec()).records()
        for agent_task in self.task.agent_tasks:
            for _ in self.task.close(agent_task, record, day, BATCH):
                self._commit(defaultdict(float))
            self._commit(defaultdict(float))

    def end(self) -> None:
        """Close the stores."""
        for store in self._stores.values():
            store.close()


def batches_of(records: Sequence[tuple[bytes | None, bytes | None, list[Any]]]) -> list[bytes]:
    """Return records as the producer's batches."""
    builder, built = BatchBuilder(_BATCH_BYTES, 0, is_transactional=1), []
    for key, value, headers in records:
        if builder.append(timestamp=None, key=key, value=value, headers=headers) is None:
            built.append(builder)
            builder = BatchBuilder(_BATCH_BYTES, 0, is_transactional=1)
            builder.append(timestamp=None, key=key, value=value, headers=headers)
    found = []
    for one in [*built, builder]:
        one._set_producer_state(1, 0, 0)
        found.append(bytes(one._build()))
    return found


def logs_of(kind: Kind, accounts: int, months: int) -> tuple[list[BrokerLog], list[BrokerLog]]:
    """Return what is there before and what is measured, each month shuffled."""
    codec = Codec()
    before: dict[str, list[ev.Event]] = {}
    for event in kind.before(accounts, 0):
        before.setdefault(TOPIC_OF[type(event)].name, []).append(event)
    measured = []
    for month in range(1, 1 if kind.answers else months + 1):
        events = shuffled(kind.events(accounts, month), month)
        measured.append(BrokerLog(f"bench.{TOPIC_OF[type(events[0])].name}", events, codec))
    return [BrokerLog(f"bench.{topic}", events, codec) for topic, events in before.items()], measured


def once(kind: Kind, accounts: int, months: int, tree: Path | None) -> dict[str, float]:
    """Return what `measured` does, from a process of its own; tree: of another commit, to be measured."""
    command = [sys.executable, "-m", "bench.task", "--once", kind.name, str(accounts), str(months)]
    run = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(run.stdout)
    return found


def measured(kind: Kind, accounts: int, months: int) -> dict[str, float]:
    """Return the µs of CPU time an event by stage, and the bytes of an event in changelogs.

    close: the µs an account of the close of the first due day behind the events.
    """
    accounts = min(accounts, kind.most)
    before, logs = logs_of(kind, accounts, months)
    spent: Spent = defaultdict(float)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for log in before:
            bench.take(log)
        for day in closes(START, START):
            bench.close_day(day)
        bench.changelog_bytes = 0
        if kind.answers:
            answers = shuffled(map(acceptance, bench.offers), 1)
            logs = [BrokerLog(f"bench.{TOPIC_OF[ev.OfferAnswered].name}", answers, Codec())]
        count = sum(log.count for log in logs)
        gc.collect()
        for log in logs:
            for stage, seconds in bench.take(log).items():
                spent[stage] += seconds
        written = bench.changelog_bytes
        for day in closes(START + _DAY, _DUE):
            began = time.process_time()
            bench.close_day(day)
        close = (time.process_time() - began) / accounts * 1e6
        bench.end()
    found = {stage: seconds / count * 1e6 for stage, seconds in spent.items()}
    return {**found, "all": sum(found.values()), "bytes": written / count, "close": close}


def line(kind: str, accounts: int, found: Mapping[str, Sequence[float]]) -> str:
    """Return a row of the table."""
    middle = {stage: statistics.median(values) for stage, values in found.items()}
    whole = f"{middle['all']:.1f} ({min(found['all']):.1f}–{max(found['all']):.1f})"
    stages = " | ".join(f"{middle[stage]:.1f}" for stage in (*STAGES, "close"))
    return f"| {kind} | {accounts:,} | {whole} | {stages} | {middle['bytes']:,.0f} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, nargs="+", default=[40_000, 300_000])
    parser.add_argument("--kinds", nargs="+", choices=[kind.name for kind in KINDS], default=[k.name for k in KINDS])
    parser.add_argument("--months", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="trees of other commits, run in turn")
    parser.add_argument("--json", type=Path, help="a file for what was measured")
    parser.add_argument("--once", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        (kind,) = (kind for kind in KINDS if kind.name == given.once[0])
        patch_fetchers()
        with fewer_collections():
            print(json.dumps(measured(kind, *map(int, given.once[1:]))))
        return
    print(machine())
    print(f"| event | accounts | µs of CPU, median (range) | {' | '.join(STAGES)} | a close, per account | bytes |")
    print("|---|---:|---:|" + "---:|" * (len(STAGES) + 2))
    trees = [None, *given.beside]
    found: dict[str, dict[str, list[float]]] = {}
    for kind in KINDS:
        for accounts in given.accounts if kind.name in given.kinds else ():
            runs: dict[Path | None, dict[str, list[float]]] = {tree: {} for tree in trees}
            for _ in range(given.rounds):
                for tree in trees:
                    for stage, value in once(kind, accounts // TASKS, given.months, tree).items():
                        runs[tree].setdefault(stage, []).append(value)
            for tree, one in runs.items():
                what = f"{kind.name}{f', {tree.name}' if tree else ''}"
                found[f"{what} {accounts}"] = one
                print(line(what, accounts, one), flush=True)
            note(f"{kind.name} in one task, {accounts:,} accounts", "µs of CPU an event", runs[None]["all"])
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1), "utf-8")


if __name__ == "__main__":
    main()
