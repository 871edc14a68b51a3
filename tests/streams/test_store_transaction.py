"""The rows of a task against a plain dictionary: what is read in the middle of a batch, after it, and after a crash."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import FatalError
from streams.engine.stored_facts import waiting_day
from streams.kafka.changelog_format import ParkedRecord
from streams.kafka.rocksdb_store import CorruptStoreError, RocksDBStore
from streams.kafka.store_transaction import StoreTransaction
from streams.state_rows import fact_id

KEYS = st.sampled_from(["a", "ab", "b", "账户"])
DAYS = st.one_of(st.none(), st.integers(1, 30))
PUT = st.tuples(st.just("put"), KEYS, st.binary(min_size=1, max_size=8), DAYS)
# An event's first byte is not zero; a fact that waits has its day before it.
EVENTS = st.binary(min_size=1, max_size=8).map(lambda value: b"\x8a" + value)
FACT = st.tuples(
    st.just("fact"),
    KEYS,
    st.sampled_from(["pay:1", "pay:2", "hold:1"]),
    st.one_of(EVENTS, st.tuples(st.integers(1, 30), EVENTS).map(lambda x: x[0].to_bytes(4, "big") + x[1])),
)
PARK = st.tuples(st.just("park"), KEYS, st.integers(0, 3), st.none())
UNPARK = st.tuples(st.just("unpark"), KEYS, st.none(), st.none())
COMMIT = st.tuples(st.sampled_from(["apply", "forget", "reopen"]), st.none(), st.none(), st.none())
CLOSE = st.tuples(st.just("close"), st.none(), st.none(), st.integers(1, 30))


class Model:
    """What a task should hold."""

    def __init__(self) -> None:
        self.states: dict[str, tuple[bytes, int | None]] = {}
        self.facts: dict[tuple[str, str], bytes] = {}
        self.parked: set[tuple[str, int]] = set()

    def copy(self) -> Model:
        made = Model()
        made.states, made.facts, made.parked = dict(self.states), dict(self.facts), set(self.parked)
        return made


def record(offset: int) -> ParkedRecord:
    """Return a record that waits."""
    return ParkedRecord("payments", 0, offset, b"k", b"v", (), 0)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(st.one_of(PUT, FACT, PARK, UNPARK, COMMIT, CLOSE), max_size=25))
def test_rows_equal_a_dictionary_through_batches_and_restarts(
    steps: list[tuple[str, str, Any, Any]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = RocksDBStore(Path(folder) / "p")
        rows, committed, now, offset = StoreTransaction(store), Model(), Model(), 0
        for kind, key, what, value in steps:
            if kind == "put":
                rows.put_states([("agent", key, what, value)])
                now.states[key] = (what, value)
            elif kind == "fact":
                before = waiting_day(now.facts.get((key, str(what)), b"\x8a"))
                if before and before != waiting_day(value):
                    rows.end_waiting("agent", [(before, fact_id(key, str(what)))])
                rows.put_facts([("agent", fact_id(key, str(what)), value)])
                now.facts[key, str(what)] = value
            elif kind == "park":
                rows.park(key, record(what), None)
                now.parked.add((key, what))
            elif kind == "unpark":
                rows.unpark(key)
                now.parked = {p for p in now.parked if p[0] != key}
            elif kind == "close":
                found = rows.due("agent", value)
                due = {k for k, (_, day) in now.states.items() if day is not None and day <= value}
                folded = [(day, k, f) for (k, f), v in now.facts.items() if 0 < (day := waiting_day(v)) <= value]
                assert found == sorted(set(found))
                assert due | {k for _, k, _ in folded} <= set(found)
                # What was due is visited, and is due later; what waited is in the state.
                for name in due:
                    now.states[name] = (now.states[name][0], value + 40)
                rows.put_states([("agent", name, now.states[name][0], now.states[name][1]) for name in due])
                rows.end_waiting("agent", [(day, fact_id(k, f)) for day, k, f in folded])
                for _, k, f in folded:
                    now.facts[k, f] = now.facts[k, f][4:]
                    rows.put_facts([("agent", fact_id(k, f), now.facts[k, f])])
                rows.visited("agent", found)
                if not now.parked:
                    offset += 1
                    rows.apply(offset)
                    committed = now.copy()
                    # No key is looked at twice for what it was due once.
                    assert rows.due("agent", value) == []
            elif kind == "apply":
                offset += 1
                rows.apply(offset)
                committed = now.copy()
            elif kind == "forget":
                # A batch that did not happen goes with the rows that held it.
                rows, now = StoreTransaction(store), committed.copy()
            else:
                # What was not committed is gone; what was is there, with its place.
                store.close()
                store = RocksDBStore(Path(folder) / "p")
                rows, now = StoreTransaction(store), committed.copy()
                assert store.position[0] == offset
            names = sorted({*now.states, "never"})
            assert dict(rows.states("agent", names)) == {k: v for k, (v, _) in now.states.items()}
            for name in ("a", "ab", "b", "账户"):
                assert rows.facts("agent", name) == sorted((f, v) for (k, f), v in now.facts.items() if k == name)
                assert sorted(r.offset for r, _ in rows.parked(name)) == sorted(o for k, o in now.parked if k == name)
            waits = {fact_id(k, f): v for (k, f), v in now.facts.items() if waiting_day(v)}
            assert dict(rows.waiting("agent", ["a", "ab", "b", "never", "账户"], 0)) == waits
            only = {name: v for name, v in waits.items() if name.startswith("ab\x1f")}
            assert dict(rows.waiting("agent", ["ab"], 0)) == only
            later = {name for name, v in waits.items() if waiting_day(v) > 15}
            assert later <= dict(rows.waiting("agent", ["a", "ab", "b", "never", "账户"], 15)).keys() <= waits.keys()
            ids = [fact_id(k, f) for k, f in now.facts]
            assert dict(rows.known("agent", ids)) == {fact_id(k, f): v for (k, f), v in now.facts.items()}
        store.close()


def test_a_store_has_one_owner_and_damage_is_distinguished(tmp_path: Path) -> None:
    store = RocksDBStore(tmp_path / "p")
    with pytest.raises(FatalError, match="is in use"):
        RocksDBStore(tmp_path / "p")
    store.write([(b"sa", b"\0\0\0\0x")], 1)
    store.close()
    for file in (tmp_path / "p").glob("MANIFEST*"):
        file.write_bytes(b"\xff" * 100)
    with pytest.raises(CorruptStoreError):
        RocksDBStore(tmp_path / "p")
