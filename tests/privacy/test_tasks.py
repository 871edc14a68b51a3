"""A task's rows: sealed in its store and its changelog, and gone from the store's files after an erasure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import FatalError
from schemas.topics import TOPIC_OF, key_of
from streams.cli import cli
from streams.engine.quarantine import AgentError, sealed_values
from streams.kafka.changelog_format import META, STATE, packed_state
from streams.kafka.rocksdb_store import RocksDBStore
from streams.kafka.store_transaction import StoreTransaction
from streams.security.dead_letters import open_dead_letter
from streams.security.master_keys import MasterKeys, wrapper_of
from streams.security.vault import Vault, wrapped_of
from tests.support.canaries import NAME, erasure, granted, leaks, report, seen, shapes, withdrawn
from tests.support.in_memory_cluster import AGENTS, InputRecord, stream_task

FORMS = shapes()
DAY = date(2026, 1, 5)
VAULT = Vault(MasterKeys({"k1": b"1" * 32}, "k1", "a test"))


class Driven:
    """A task of the planner alone, driven without a broker. `changelog`: all rows that were ever committed."""

    def __init__(self, folder: Path, vault: Vault | None, changelog: list[tuple[bytes, bytes | None]]) -> None:
        self.store = RocksDBStore(folder)
        try:
            planner = [(agent, kind) for agent, kind in AGENTS if agent.name == "planner"]
            self.task, self.rows = stream_task({"planner": self.store}, planner, vault=vault)
        except BaseException:
            self.store.close()
            raise
        self.agent_task = self.task.agent_tasks[0]
        self.changelog = changelog
        self.said: list[ev.Event] = []

    def feed(self, *events: ev.Event) -> None:
        """Decide on events in one batch, and commit it."""
        self.give(*((TOPIC_OF[type(e)].name, (key_of(e) or "").encode(), Codec().encode(e)) for e in events))

    def close(self, day: date, page: int) -> Iterator[int]:
        """Close a day, and commit page by page; yields how many states each page but the last wrote."""
        event = ev.DayClosed(
            event_id=f"close-{day}",
            occurred_at=datetime(day.year, day.month, day.day, 23, tzinfo=UTC),
            source="test",
            business_date=day,
            calendar="none",
        )
        for _ in self.task.close(self.agent_task, InputRecord("clock", 0, None, b""), event, page):
            yield self._commit()
        self._commit()

    def _commit(self) -> int:
        self.task.prepare_commit()
        written = self.rows.agents["planner"].written
        states = sum(key[:1] == STATE for key in written)
        self.changelog += written.items()
        self.rows.apply({"planner": len(self.changelog)})
        self.task.post_commit()
        return states

    def give(self, *records: tuple[str, bytes | None, bytes | None]) -> None:
        """Decide on records in one batch, and commit it."""
        given: dict[str, list[InputRecord]] = {}
        for n, (topic, key, value) in enumerate(records):
            given.setdefault(topic, []).append(InputRecord(topic, len(self.changelog) + n, key, value))
        self.task.process_batch(given)
        self.said += [record.event for record in self.task.output.records if record.event is not None]
        self._commit()


@contextmanager
def driven(
    folder: Path, vault: Vault | None = VAULT, changelog: list[tuple[bytes, bytes | None]] | None = None
) -> Iterator[Driven]:
    made = Driven(folder, vault, [] if changelog is None else changelog)
    try:
        yield made
    finally:
        made.store.close()


def test_what_a_task_seals_another_task_reads_back(tmp_path: Path) -> None:
    with driven(tmp_path / "one") as one:
        one.feed(granted("B1", DAY), report("B1", DAY), granted("B2", DAY), report("B2", DAY))
        state, facts = one.agent_task.store.state("B1"), one.agent_task.store.history("B1")
        assert state.readings
        for key, value in one.changelog:
            assert not seen(key + (value or b""), FORMS)
    assert leaks(tmp_path, FORMS) == {}
    # Another worker has the changelog alone.
    with driven(tmp_path / "two", changelog=one.changelog) as two:
        two.store.write(one.changelog, len(one.changelog))
        assert (two.agent_task.store.state("B1"), two.agent_task.store.history("B1")) == (state, facts)


def test_a_new_master_key_wraps_every_row_at_the_next_close(tmp_path: Path) -> None:
    names = [f"B{n}" for n in range(5)]
    with driven(tmp_path) as one:
        one.feed(*(event for who in names for event in (granted(who, DAY), report(who, DAY))))
    both = Vault(MasterKeys({"k1": b"1" * 32, "k2": b"2" * 32}, "k2", "a test"))
    alone = Vault(MasterKeys({"k2": b"2" * 32}, "k2", "a test"))
    with driven(tmp_path, both) as two:
        pages = two.close(date(2026, 1, 6), 2)
        # Killed behind the second page: what was committed is wrapped, the rest follows.
        assert [next(pages), next(pages)] == [2, 2]
    with driven(tmp_path, both) as two:
        assert list(two.close(date(2026, 1, 6), 2)) == [1]
        again = dict(two.agent_task.rows.states("planner", names))
        assert {wrapper_of(wrapped_of(value, b"")) for value in again.values()} == {"k2"}
        # Once they are, a close writes none of them.
        assert list(two.close(date(2026, 1, 7), 2)) == []
    with driven(tmp_path, alone) as three:
        for who in names:
            assert len(three.agent_task.store.history(who)) == 2


def test_an_erasure_removes_the_key_from_files_and_changelog(
    tmp_path: Path,
) -> None:
    with driven(tmp_path) as one:
        one.feed(granted("B1", DAY), report("B1", DAY), granted("B2", DAY), report("B2", DAY))
        keys = {n: wrapped_of(packed_state(one.store.get(STATE + n) or b""), b"") for n in (b"B1", b"B2")}
        one.store._db.flush()
        assert leaks(tmp_path, dict.fromkeys(keys.values(), "key"))
        # In one batch with what comes behind it.
        one.feed(erasure("B1", DAY), report("B1", DAY, "again"), report("B2", DAY, "more"))
        assert [type(e) for e in one.said] == [ev.PersonalDataErased]
        assert leaks(tmp_path, {keys[b"B1"]: "key"}) == {}
        assert leaks(tmp_path, {keys[b"B2"]: "key"})
        left = dict(one.changelog)
        assert not any(keys[b"B1"] in (value or b"") for value in left.values())
        again = wrapped_of(packed_state(one.store.get(STATE + b"B1") or b""), b"")
        one.feed(replace(erasure("B1", DAY), event_id="once-more"))
        assert leaks(tmp_path, {again: "key"}) == {}
        # All that is left of him opens with the new key, and says nothing.
        assert one.agent_task.store.state("B1").readings == ()
    with driven(tmp_path) as two:
        facts = two.agent_task.store.history("B1")
        assert {name.split(":")[0] for name, _ in facts} == {"grant", "profile", "erasure"}
        assert not seen(repr(facts).encode(), FORMS)


def held(one: Driven, *events: ev.Event) -> list[bytes]:
    """Let the planner fail on the first of events, which all wait then; returns the wrapped data keys of their rows."""
    at = f"{TOPIC_OF[type(events[0])].name}/0/{len(one.changelog)}"
    one.task.quarantine.expect(AgentError("planner", "B1", at, ZeroDivisionError(), "It failed."))
    one.feed(*events)
    return [wrapped_of(value, b"") for value in sealed_values(one.task.store.quarantined())]


def test_an_erasure_removes_what_waits_from_files_and_changelog(tmp_path: Path) -> None:
    with driven(tmp_path) as one:
        one.feed(granted("B1", DAY), report("B1", DAY))
        keys = held(one, report("B1", DAY, "more"), report("B1", DAY, "again"))
        one.store._db.flush()
        assert leaks(tmp_path, dict.fromkeys(keys, "key"))
        one.feed(erasure("B1", DAY))
        assert [type(e) for e in one.said] == [ev.DeadLetter, ev.PersonalDataErased]
        assert list(one.task.quarantine.held) == [("planner", "B1")]
        assert leaks(tmp_path, dict.fromkeys(keys, "key")) == {}
        assert not any(key in (value or b"") for key in keys for value in dict(one.changelog).values())
        records = [item.record.value or b"" for item, _ in one.task.quarantine.items("planner", "B1")]
        assert len(records) == 2
        assert not any(seen(value, FORMS) for value in records)


def test_what_waited_leaves_the_files_of_another_store(tmp_path: Path) -> None:
    # What waits for a borrower stands in the store of the accounts, which has no other row of theirs.
    store, mark = RocksDBStore(tmp_path), b"canary-row"
    rows = StoreTransaction(store)
    rows.put_quarantined(0, mark)
    rows.apply(1)
    store._db.flush()
    assert leaks(tmp_path, {mark: "row"})
    rows.remove_quarantined([0])
    rows.erase("B1")
    rows.apply(2)
    assert leaks(tmp_path, {mark: "row"}) == {}
    store.close()


def test_a_new_master_key_wraps_what_waits_at_the_next_close(tmp_path: Path) -> None:
    with driven(tmp_path) as one:
        one.feed(granted("B1", DAY))
        assert held(one, report("B1", DAY))
    both = Vault(MasterKeys({"k1": b"1" * 32, "k2": b"2" * 32}, "k2", "a test"))
    alone = Vault(MasterKeys({"k2": b"2" * 32}, "k2", "a test"))
    with driven(tmp_path, both) as two:
        list(two.close(date(2026, 1, 6), 2))
        keys = [wrapped_of(value, b"") for value in sealed_values(two.task.store.quarantined())]
        assert {wrapper_of(key) for key in keys} == {"k2"}
    with driven(tmp_path, alone) as three:
        waiting = [item.record.value for item, _ in three.task.quarantine.items("planner", "B1")]
        assert waiting[0] == Codec().encode(report("B1", DAY))


def test_a_withdrawal_removes_the_key_from_files_and_changelog(tmp_path: Path) -> None:
    with driven(tmp_path) as one:
        one.feed(granted("B1", DAY), report("B1", DAY), granted("B2", DAY), report("B2", DAY))
        keys = {n: wrapped_of(packed_state(one.store.get(STATE + n) or b""), b"") for n in (b"B1", b"B2")}
        one.store._db.flush()
        one.feed(report("B1", DAY, "more"), withdrawn("B1", DAY), report("B1", DAY, "late"))
        assert leaks(tmp_path, {keys[b"B1"]: "key"}) == {}
        assert leaks(tmp_path, {keys[b"B2"]: "key"})
        assert not any(keys[b"B1"] in (value or b"") for value in dict(one.changelog).values())
        assert one.agent_task.store.state("B1").readings == ()
        assert one.agent_task.store.state("B2").readings
    with driven(tmp_path) as two:
        facts = two.agent_task.store.history("B1")
        assert [name.split(":")[0] for name, _ in facts] == ["grant", "profile", "profile", "profile", "withdrawal"]
        assert not seen(repr(facts).encode(), FORMS)


def test_a_close_that_deletes_reports_destroys_their_data_key(tmp_path: Path) -> None:
    names = [f"B{n}" for n in range(3)]
    with driven(tmp_path) as one:
        one.feed(*(report(who, DAY) for who in names))
        keys = [wrapped_of(packed_state(one.store.get(STATE + who.encode()) or b""), b"") for who in names]
        one.store._db.flush()
        list(one.close(DAY, 2))
        assert leaks(tmp_path, dict.fromkeys(keys, "key"))
        one.feed(granted("B2", DAY))
        # A page at a time, each of which is committed.
        list(one.close(date(2026, 1, 12), 1))
        assert leaks(tmp_path, dict.fromkeys(keys[:2], "key")) == {}
        assert leaks(tmp_path, {keys[2]: "key"})
        assert [bool(one.agent_task.store.state(who).readings) for who in names] == [False, False, True]
        assert not seen(repr([one.agent_task.store.history(who) for who in names[:2]]).encode(), FORMS)


def test_standbys_and_killed_workers_clear_their_files_too(tmp_path: Path) -> None:
    with driven(tmp_path / "one") as one:
        one.feed(granted("B1", DAY), report("B1", DAY))
        before = dict(one.changelog)
        key = wrapped_of(packed_state(one.store.get(STATE + b"B1") or b""), b"")
        one.feed(erasure("B1", DAY))
        after = dict(one.changelog)
    behind = RocksDBStore(tmp_path / "two")
    behind.write(before.items(), 2)
    behind._db.flush()
    behind.write(after.items(), 3)
    behind._db.flush()
    behind.close()
    assert leaks(tmp_path / "two", {key: "key"})
    with driven(tmp_path / "two") as two:
        assert leaks(tmp_path / "two", {key: "key"}) == {}
        assert two.agent_task.store.history("B1")


def test_a_batch_not_committed_leaves_the_former_data_key(tmp_path: Path) -> None:
    with driven(tmp_path) as one:
        one.feed(granted("B1", DAY), report("B1", DAY))
        state = one.agent_task.store.state("B1")
        key = wrapped_of(packed_state(one.store.get(STATE + b"B1") or b""), b"")
        forgotten = erasure("B1", DAY)
        one.task.process_batch({"profiles": [InputRecord("profiles", 9, b"B1", Codec().encode(forgotten))]})
        assert one.agent_task.rows.written
    # The worker is killed here.
    with driven(tmp_path) as two:
        assert two.agent_task.store.state("B1") == state
        assert two.agent_task.store.history("B1")
        assert wrapped_of(packed_state(two.store.get(STATE + b"B1") or b""), b"") == key


@pytest.mark.parametrize("wrong", [None, Vault(MasterKeys({"k1": b"2" * 32}, "k1", "another file"))])
def test_a_task_with_wrong_master_keys_does_not_begin(tmp_path: Path, wrong: Vault | None) -> None:
    with driven(tmp_path) as one:
        one.feed(granted("B1", DAY))
        assert one.store.get(META + b"sealed")
    with pytest.raises(FatalError, match=r"privacy\.mode is off|the key under this id is another"):
        Driven(tmp_path, wrong, [])


def test_dead_letters_of_a_task_are_sealed(tmp_path: Path) -> None:
    with driven(tmp_path) as one:
        poison = NAME.encode()
        one.give(("profiles", poison, poison), ("feedback", None, Codec().encode(report("B1", DAY))))
        letters = [e for e in one.said if isinstance(e, ev.DeadLetter)]
        assert [(e.key, e.value, e.headers) for e in letters] == [(None, None, {})] * 2
        assert open_dead_letter(letters[0], VAULT).key == poison
        for saying in letters:
            assert not seen(Codec().encode(saying), FORMS)


def test_a_worker_without_master_keys_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRIEVE_WORKER__DATA_DIR", str(tmp_path))
    found = CliRunner().invoke(cli, ["worker"])
    assert isinstance(found.exception, FatalError)
    assert "privacy.master_keys_file is not set" in str(found.exception)
