"""Facts that wait are rows of their own: states read back whole, rows of earlier releases, what restores leave."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from agents import input_limits
from agents.account.deferral import DEFERRED
from agents.account.waiting import WAITING as HELD
from schemas import events as ev
from schemas.codec import Codec
from schemas.jsonlines import from_line
from schemas.topics import TOPIC_OF
from simulator.runs import simulate
from state.account import AccountState, AccountTerms, terms_of
from state.policy import Charges, PolicyBook
from state.storage import is_present, pack, terms_in, unpack
from streams.engine import agent_store
from streams.engine.agent_store import join
from streams.engine.stored_facts import encode_fact, read_fact, stored_as_it_came, waiting_day
from streams.engine.task import StreamTask
from streams.kafka.changelog_format import FACT, META, STATE, WAITING, packed_state
from streams.kafka.rocksdb_store import RocksDBStore
from streams.kafka.store_transaction import StoreTransaction, TaskStores
from streams.portfolio_metrics import COUNTED_ON_INTAKE
from streams.security.master_keys import MasterKeys
from streams.security.vault import Vault, is_sealed, seal_part
from streams.state_rows import fact_id
from tests.support.account_events import AccountEvents
from tests.support.compiled_readers import load
from tests.support.in_memory_cluster import AGENTS, record_of, stream_task
from tests.support.policies import book_of, policy
from tests.support.strategies import any_event

ACCOUNTS = [pair for pair in AGENTS if pair[0].name == "account"]
START = date(2026, 1, 5)
PAGE = 3


class AccountTask:
    """The account agent's part of a partition. rows: the changelog, its last rows by key."""

    def __init__(self, folder: Path, cached: int, book: PolicyBook | None = None) -> None:
        self.store = RocksDBStore(folder)
        self.rows: dict[bytes, bytes] = {}
        self.outputs: list[tuple[str, bytes | None, bytes | None]] = []
        self._offset = 0
        self._book = book
        self.begin(cached)

    def begin(self, cached: int) -> None:
        """Begin with what is stored."""
        made: tuple[StreamTask, TaskStores] = stream_task(
            {"account": self.store}, ACCOUNTS, book=self._book, cached=cached
        )
        self.task, self._stores = made

    def take(self, events: Sequence[ev.Event]) -> Iterator[set[bytes]]:
        """Process events, each with a commit of its own; yields the rows that each one wrote."""
        for number, event in enumerate(events):
            record, written = record_of(event, number), set[bytes]()
            if isinstance(event, ev.DayClosed):
                for _ in self.task.close(self.task.agent_tasks[0], record, event, PAGE):
                    written |= self.commit()
            else:
                self.task.process_batch({TOPIC_OF[type(event)].name: [record]})
            yield written | self.commit()

    def commit(self) -> set[bytes]:
        """Commit what was decided; returns the rows that were written."""
        self.outputs += [(r.topic, r.key, r.value) for r in self.task.prepare_commit().records]
        written = dict(self._stores.task.written)
        self.rows |= {key: value for key, value in written.items() if value is not None}
        self._offset += 1
        self._stores.apply({"account": self._offset})
        self.task.post_commit()
        return set(written)

    def states(self) -> dict[str, Any]:
        """Return all states as the task has them."""
        agent_task = self.task.agent_tasks[0]
        return {key: agent_task.store.state(key) for key in agent_task.rows.keys("account")}

    def entries(self) -> list[bytes]:
        """Return the entries of the waiting index."""
        return list(self.store.scan_keys(WAITING, WAITING + b"\xff"))


def stored_states(rows: dict[bytes, bytes]) -> dict[str, AccountState]:
    """Return the states that rows hold, by nothing but the rows: the facts that wait joined to each."""
    found = {}
    for row, value in rows.items():
        if row[:1] == STATE:
            key = row[1:].decode()
            facts = [fact for name, fact in rows.items() if name.startswith(FACT + row[1:] + b"\x1f")]
            found[key] = join(HELD, unpack(packed_state(value), AccountState), facts)
    return found


def history(seed: int) -> list[ev.Event]:
    """Return a population's events for the account agent, some of them repeated."""
    dice = random.Random(seed)
    kinds: tuple[type[ev.Event], ...] = (*ACCOUNTS[0][0].accepts, ev.DayClosed)
    events = [event for event in simulate(accounts=8, days=70, seed=seed, start=START) if isinstance(event, kinds)]
    for _ in range(10):
        at = dice.randrange(len(events))
        events.insert(dice.randrange(at, len(events)), events[at])
    return events


@pytest.mark.parametrize("seed", range(3))
def test_states_are_read_from_rows_as_they_were_in_memory(seed: int, tmp_path: Path) -> None:
    events = history(seed)
    warm, cold = AccountTask(tmp_path / "warm", 1_000), AccountTask(tmp_path / "cold", 0)
    waited, before = 0, dict[str, AccountState]()
    for number, written in enumerate(warm.take(events)):
        states = warm.states()
        bare = {key: HELD.without(state) for key, state in states.items()}
        # A state's row is written where something else of it changed than the facts that wait, and nowhere else.
        changed = {STATE + key.encode() for key, state in bare.items() if before.get(key) != state}
        assert {row for row in written if row[:1] == STATE} == changed
        waited += not changed and any(row[:1] == FACT for row in written)
        before = bare
        if number % 20 == 0:
            assert stored_states(warm.rows) == states
    for _ in cold.take(events):
        pass
    assert waited > 10
    assert cold.outputs == warm.outputs
    assert cold.rows == warm.rows
    assert cold.states() == warm.states() == stored_states(cold.rows)
    # What waits is in the index, and nothing else.
    waiting = {(key, item.day) for key, state in warm.states().items() for item in state.pending}
    for task in (warm, cold):
        named = {(e[5:].split(b"\x1f")[0].decode(), int.from_bytes(e[1:5], "big")) for e in task.entries()}
        assert named == waiting
        task.store.close()


def test_a_policy_change_visits_only_whom_it_concerns(tmp_path: Path) -> None:
    day, dear = START + timedelta(5), policy(charges=Charges(penalty_rate_bps=1_800))
    later = PolicyBook("later", lambda jurisdiction, product: dear if product == "credit_card" else policy())
    book = book_of(policy()).with_amendments([(day.toordinal(), later)])
    story = AccountTask(tmp_path / "rows", 3, book)
    events = [AccountEvents(f"A{n}", START) for n in range(8)]
    products = {e.account_id: ("credit_card", "mortgage")[n % 4 > 0] for n, e in enumerate(events)}
    opened = [e.opened(100, product=products[e.account_id]) for e in events]
    written = list(story.take([*opened, *events[0].closes(0, 6)]))
    visited = [{row[1:].decode() for row in rows if row[:1] == STATE} for rows in written[len(opened) :]]
    cards = {name for name, product in products.items() if product == "credit_card"}
    # All are folded on the day on which they are opened; nothing is due before the hundredth.
    assert visited == [set(products), set(), set(), set(), set(), cards, set()]
    assert len(cards) == 2
    story.store.close()


@pytest.mark.parametrize("seed", range(3))
def test_each_way_to_let_facts_wait_gives_the_same(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled_readers: Path
) -> None:
    events, tasks = history(seed), {}
    glimpse = load(compiled_readers, "agents.account.payment_reader").glimpse
    for way, kinds, read in (
        ("decided", frozenset(), None),
        ("judged", HELD.kinds, None),
        ("glimpsed", HELD.kinds, glimpse),
    ):
        monkeypatch.setattr(HELD, "kinds", kinds)
        monkeypatch.setattr(HELD, "glimpse", read)
        tasks[way] = task = AccountTask(tmp_path / way, 3)
        for _ in task.take(events):
            pass
    decided, judged, glimpsed = tasks.values()
    assert decided.outputs == judged.outputs == glimpsed.outputs
    assert decided.states() == judged.states() == glimpsed.states()
    assert judged.rows == glimpsed.rows
    # Rows of facts that merely wait hold the record's own bytes, and the same facts.
    facts = [
        {row: read_fact(value) for row, value in task.rows.items() if row[:1] == FACT} for task in (decided, judged)
    ]
    assert facts[0] == facts[1]
    assert decided.rows != judged.rows
    for task in tasks.values():
        task.store.close()


def old_rows(release: str, repository: Path) -> tuple[dict[bytes, bytes], list[ev.Event], list[ev.Event]]:
    """Return rows as a release wrote them, the events that made them, and those that follow."""
    text = (repository / "tests" / "data" / "rows_of_releases.json").read_bytes()
    found = msgspec.json.decode(text)
    rows = {bytes.fromhex(key): bytes.fromhex(value) for key, value in found["rows"][release].items()}
    before, after = ([from_line(line.encode()) for line in found[part]] for part in ("before", "after"))
    return rows, before, after


@pytest.mark.parametrize("release", ["58f09e1", "5109970"])
@pytest.mark.parametrize("cached", [0, 100])
def test_rows_of_an_earlier_release_go_on(release: str, cached: int, repository: Path, tmp_path: Path) -> None:
    rows, before, after = old_rows(release, repository)
    fresh = AccountTask(tmp_path / "fresh", cached)
    for _ in fresh.take(before):
        pass
    fresh.outputs.clear()
    old = AccountTask(tmp_path / "old", cached)
    old.store.write(rows.items(), 1)
    old.rows |= rows
    old.begin(cached)
    assert old.entries() == []
    waiting = [{key: state.pending for key, state in task.states().items()} for task in (old, fresh)]
    assert waiting[0] == waiting[1]
    assert all(waiting[0].values())
    for task in (old, fresh):
        for _ in task.take(after):
            pass
    assert old.outputs == fresh.outputs
    assert len(old.outputs) > 10
    assert old.states() == fresh.states() == stored_states(old.rows)
    # What was written again is in the present form, to the last byte.
    states = {key: value for key, value in old.rows.items() if key[:1] == STATE}
    assert all(is_present(packed_state(value), AccountState) for value in states.values())
    assert states == {key: value for key, value in fresh.rows.items() if key[:1] == STATE}
    for task in (old, fresh):
        task.store.close()


def test_a_payment_that_waits_takes_up_an_old_row(repository: Path, tmp_path: Path) -> None:
    rows, _, after = old_rows("5109970", repository)
    task = AccountTask(tmp_path / "p", 100)
    task.store.write(rows.items(), 1)
    task.begin(100)
    paid = next(e for e in after if isinstance(e, ev.PaymentReceived) and e.payment_id == "P4-A1")
    (written,) = task.take([paid])
    # The state goes to the present form, and with it each fact that waits in it.
    assert {key for key in written if key[:1] != META} >= {STATE + b"A1", FACT + b"A1\x1fpayment:P3-A1"}
    assert STATE + b"A2" not in written
    days = {key: waiting_day(value) for key, value in task.rows.items() if key[:1] == FACT}
    assert days[FACT + b"A1\x1fpayment:P3-A1"] == date(2026, 1, 14).toordinal()
    again = msgspec.structs.replace(paid, payment_id="P5", event_id="P5")
    (written,) = task.take([again])
    assert {key for key in written if key[:1] != META} == {FACT + b"A1\x1fpayment:P5"}
    task.store.close()


def opened(folder: Path) -> tuple[AccountTask, ev.AccountOpened, ev.PaymentReceived]:
    """Return a task that caches no state, its one account, and a payment of that account from a day that is open."""
    opening = next(event for event in history(0) if isinstance(event, ev.AccountOpened))
    paid = next(event for event in history(0) if isinstance(event, ev.PaymentReceived))
    day = opening.opened_on + timedelta(days=1)
    task = AccountTask(folder, 0)
    for _ in task.take([opening]):
        pass
    return task, opening, replace(paid, account_id=opening.account_id, value_on=day, currency=opening.currency)


def test_a_payment_that_waits_reads_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, opening, paid = opened(tmp_path / "p")

    def read(*_: object) -> None:
        raise AssertionError("a state was read")

    with monkeypatch.context() as patch:
        patch.setattr(agent_store, "unpack", read)
        (written,) = task.take([paid])
    row = FACT + f"{opening.account_id}\x1fpayment:{paid.payment_id}".encode()
    assert {key for key in written if key[:1] != META} == {row}
    assert task.rows[row] == paid.value_on.toordinal().to_bytes(4, "big") + Codec().encode(paid)
    assert [item.fact for item in task.states()[opening.account_id].pending] == [paid]
    task.store.close()


def test_no_more_facts_wait_than_an_account_may_have(tmp_path: Path) -> None:
    task, opening, paid = opened(tmp_path / "p")
    payments = [replace(paid, payment_id=f"P{n}", event_id=f"P{n}") for n in range(input_limits.MAX_ENTRIES + 5)]
    room = input_limits.MAX_ENTRIES - len(opening.instalments) - len(opening.parties)
    # The first batch is counted as it comes; what it leaves is counted from the rows.
    for begin, end in ((0, 1_200), (1_200, len(payments))):
        task.begin(0)
        task.task.process_batch({"payments": [record_of(event, n) for n, event in enumerate(payments[begin:end])]})
        task.commit()
    refused = [Codec().decode(value or b"") for topic, _, value in task.outputs if topic == "dead-letters"]
    assert {letter.code for letter in refused if isinstance(letter, ev.DeadLetter)} == {"too_many"}
    assert len(refused) == len(payments) - room
    assert len(task.states()[opening.account_id].pending) == room
    task.store.close()


def test_what_is_counted_when_it_comes_in_never_merely_waits() -> None:
    assert not DEFERRED & COUNTED_ON_INTAKE


def test_entries_that_a_restore_leaves_are_swept(tmp_path: Path) -> None:
    events = history(1)
    closes = [number for number, event in enumerate(events) if isinstance(event, ev.DayClosed)]
    task = AccountTask(tmp_path / "p", 100)
    written: list[dict[bytes, bytes]] = []
    before = dict(task.rows)
    for _ in task.take(events[: closes[40] + 4]):
        written.append({key: value for key, value in task.rows.items() if before.get(key) != value})
        before = dict(task.rows)
    # A store that reads the changelog from its beginning, as a standby and a restore do.
    restored = AccountTask(tmp_path / "restored", 100)
    for offset, rows in enumerate(written, 1):
        restored.store.write(rows.items(), offset)
    assert len(restored.entries()) > len(task.entries())
    left = restored.entries()
    restored.begin(100)
    # They do no harm before they are swept.
    assert restored.states() == task.states()
    for _ in restored.store.sweep():
        pass
    assert restored.entries() == task.entries() != left
    restored.begin(0)
    assert restored.states() == task.states()
    # Without being swept they go with the next close.
    unswept = AccountTask(tmp_path / "unswept", 100)
    for offset, rows in enumerate(written, 1):
        unswept.store.write(rows.items(), offset)
    unswept.begin(100)
    rest = events[closes[40] + 4 : closes[45] + 1]
    for each in (task, unswept, restored):
        each.outputs.clear()
        for _ in each.take(rest):
            pass
    assert unswept.outputs == restored.outputs == task.outputs
    assert unswept.entries() == restored.entries() == task.entries()
    for each in (task, unswept, restored):
        each.store.close()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(any_event())
def test_a_stored_fact_is_read_without_its_checks_as_with_them(event: ev.Event) -> None:
    day = START.toordinal()
    came = stored_as_it_came(Codec().encode(event), day)
    for value, waits in ((encode_fact(event), 0), (encode_fact(event, day), day), (came, day)):
        found = read_fact(value)
        assert (found, type(found), waiting_day(value)) == (event, type(event), waits)
    assert read_fact(msgspec.msgpack.encode(event)) == msgspec.msgpack.decode(
        msgspec.msgpack.encode(event), type=ev.AnyEvent
    )


def test_sealed_facts_wait_for_no_day(tmp_path: Path) -> None:
    vault = Vault(MasterKeys({"k1": b"1" * 32}, "k1", "a test"))
    key = vault.new_key(b"scope")
    sealed = [seal_part(b"event", b"scope", key), vault.seal(b"event", b"scope", key)]
    store = RocksDBStore(tmp_path / "p")
    rows = StoreTransaction(store)
    rows.put_facts([("planner", fact_id("B1", str(number)), value) for number, value in enumerate(sealed)])
    assert rows.due("planner", date.max.toordinal() - 1) == []
    rows.apply(1)
    assert rows.due("planner", date.max.toordinal() - 1) == []
    assert [waiting_day(value) for value in sealed] == [0, 0]
    paid = next(event for event in history(0) if isinstance(event, ev.PaymentReceived))
    assert [is_sealed(value) for value in (*sealed, encode_fact(paid, START.toordinal()), encode_fact(paid))] == [
        True,
        True,
        False,
        False,
    ]
    store.close()


def test_terms_stand_before_a_state_and_say_the_same(tmp_path: Path) -> None:
    task = AccountTask(tmp_path / "p", 100)
    for _ in task.take(history(2)[:200]):
        pass
    seen = set()
    for state in task.states().values():
        terms = AccountTerms.read(terms_in(pack(state)))
        current = state.bucket == "current" and state.plan is None
        assert terms[:2] == (state.folded_through, state.opened_on)
        assert (terms.unreversed, terms.current, terms.currency) == (not state.reversals, current, state.currency)
        assert terms == terms_of(state)
        # What waits is not among them: its rows come and go without the state's.
        assert terms_in(pack(HELD.without(state))) == terms_in(pack(state))
        seen.add(terms)
    assert len(seen) > 1
    task.store.close()
