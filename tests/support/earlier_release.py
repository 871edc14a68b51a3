"""What release 0.1.0 left behind: a data directory, the topics of a deployment on Kafka, and a schema registry.

`tests/data/release_0.1.0.tar.xz` was written by the code of commit 58f09e1, once locally and once by a worker with two
partitions, of one history: `history.jsonl` up to the line in `cut`. One record of it is a dead letter, two payments
wait for their accounts, a borrower is erased, one change of policy applies and another takes effect later. The worker
wrote without a registry first, and with one later. The day after, up to the line in `published`, waits in its topics
unread.
"""

from __future__ import annotations

import json
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from deploy.local.processes import free_port
from schemas import events as ev
from schemas.jsonlines import from_line
from state.borrower import BorrowerState
from streams.local.runtime import LocalRuntime
from tests.support.worker_cluster import OUTPUT_TOPICS, States

ARCHIVE = Path(__file__).resolve().parent.parent / "data" / "release_0.1.0.tar.xz"
# A broker that looks at records of long ago: it deletes and compacts nothing, and remembers how far groups have read.
STILL: dict[str, object] = {
    "log.cleaner.enable": "false",
    "log.initial.task.delay.ms": 2**62,
    "offsets.retention.minutes": 2**31 - 1,
}


class EarlierRelease:
    """The archive, unpacked into an empty folder."""

    def __init__(self, folder: Path) -> None:
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(folder, filter="data")
        self.data = folder / "data"
        self.kafka = folder / "kafka"
        self.keys = folder / "master-keys.json"
        (self.kafka / "ports.json").write_text(json.dumps([[free_port()], [free_port()]]), "utf-8")
        self.history = [from_line(line) for line in (folder / "history.jsonl").read_bytes().splitlines()]
        self.cut, self.published = (int((folder / name).read_text("utf-8")) for name in ("cut", "published"))
        # Each agent's states by key, as plain lists in the order of their fields.
        self.states: dict[str, dict[str, Any]] = msgspec.msgpack.decode((folder / "states.msgpack").read_bytes())
        # Ids, subjects and schemas of a registry, in the order of the ids.
        self.registered: list[tuple[int, str, str]] = json.loads((folder / "registered.json").read_bytes())

    def stored(self) -> tuple[int, str, int]:
        """Return how far the directory is processed, the closed day, and how many records wait for their account."""
        with closing(sqlite3.connect(self.data / "reprieve.db")) as db:
            meta = dict(db.execute("SELECT name, value FROM meta"))
            return int(meta["done"]), meta["closed_through"], db.execute("SELECT COUNT(*) FROM parked").fetchone()[0]

    def days(self) -> Iterator[list[ev.Event]]:
        """Yield what came after the cut, day by day, without answers to offers that only that release would make."""
        day: list[ev.Event] = []
        for number, event in enumerate(self.history[self.cut :], self.cut):
            if number < self.published or not isinstance(event, ev.OfferAnswered):
                day.append(event)
            if isinstance(event, ev.DayClosed):
                yield day
                day = []


def continued(old: EarlierRelease, runtime: LocalRuntime) -> tuple[list[ev.Event], list[ev.Event]]:
    """Let a runtime over the old directory go on to the history's end, where borrowers answer each offer in turn.

    Returns what came in, and what came of it.
    """
    given: list[ev.Event] = []
    said: list[ev.Event] = []
    answered: set[str] = set()
    for day in old.days():
        said += runtime.feed(day)
        given += day
        answers: list[ev.Event] = []
        for key in runtime.keys("planner"):
            state = runtime.state("planner", key)
            assert isinstance(state, BorrowerState)
            offer = state.offer
            if len(given) < old.published - old.cut or offer is None or offer.end or offer.offer_id in answered:
                continue
            answered.add(offer.offer_id)
            accepts = bool(offer.choices) and len(answered) % 2 == 1
            answers.append(
                ev.OfferAnswered(
                    event_id=f"later-{offer.offer_id}",
                    occurred_at=day[-1].occurred_at,
                    source="test",
                    feedback_id=f"later-{offer.offer_id}",
                    offer_id=offer.offer_id,
                    borrower_id=key,
                    answer="accepted" if accepts else "declined",
                    option_id=offer.choices[0].option_id if accepts else None,
                    reasons=() if accepts else ("too_high",),
                    channel="online",
                )
            )
        said += runtime.feed(answers)
        given += answers
    return given, said


def outputs_and_states(runtime: LocalRuntime, agents: tuple[str, ...]) -> tuple[list[ev.Event], States]:
    """Return all that a directory's agents ever published, and what they store of each key."""
    said = [event for topic in OUTPUT_TOPICS for _, event in runtime.outputs(topic)]
    return said, {(agent, key): runtime.state(agent, key) for agent in agents for key in runtime.keys(agent)}
