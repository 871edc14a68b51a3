"""A key on which an agent fails waits in quarantine; its release gives what a run without the bug has."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agents.account.agent import AccountAgent
from agents.planner.agent import PlannerAgent
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import FatalError, InvalidEventError
from schemas.topics import TOPIC_OF
from simulator.runs import simulate
from state.policy_packs.loader import default_book
from streams.cli import cli
from streams.engine.agents import all_agents
from streams.local.runtime import LocalRuntime
from streams.local.store import Store
from tests.streams.test_two_runtimes import OUTPUTS, START, Outcome, Raw, by_key, driven, history, local

# The learner takes evidence of all borrowers: what comes late from one would change what others are offered.
WITHOUT_LEARNER = all_agents()[:2]
CODEC = Codec()


def raw(event: ev.Event) -> Raw:
    """Return an event of the clock as it is published."""
    return Raw(TOPIC_OF[type(event)].name, None, CODEC.encode(event))


def release(agent: str, key: str, number: int = 1) -> Raw:
    """Return the release of a key."""
    at = datetime(2026, 6, 1, tzinfo=UTC)
    return raw(
        ev.QuarantineReleased(
            event_id=f"release-{number}", occurred_at=at, source="test", agent=agent, key=key, actor="op-7"
        )
    )


@contextmanager
def failing(agent: type[Any], key: str, fails: Callable[[Any], bool]) -> Iterator[None]:
    """Let an agent fail on a key where `fails` says so of an event or a close, once it has changed the state."""
    handle, close = agent.handle, agent.close

    def faulty_handle(self: Any, state: Any, event: ev.Event, env: Any) -> Any:
        named = getattr(event, "borrower_id" if agent is PlannerAgent else "account_id", None)
        if named == key and fails(event):
            handle(self, state, event, env)
            # It has changed the state by now.
            raise ZeroDivisionError("Li Wei")
        return handle(self, state, event, env)

    def faulty_close(self: Any, state: Any, day: ev.DayClosed, env: Any) -> Any:
        step = close(self, state, day, env)
        if (state.borrower_id if agent is PlannerAgent else state.account_id) == key and fails(day):
            raise ZeroDivisionError("Li Wei")
        return step

    agent.handle, agent.close = faulty_handle, faulty_close
    try:
        yield
    finally:
        agent.handle, agent.close = handle, close


def outcome(runtime: LocalRuntime) -> Outcome:
    """Return all that a runtime has published, but for what says that keys are in quarantine, and all states."""
    rows = ((t, row) for t in OUTPUTS for row in runtime._store.of_topic(t))
    kept = (x for x in rows if x[0] != "dead-letters" or CODEC.decode(x[1][4] or b"").code != "quarantined")
    agents = [x.name for x in runtime._task.agent_tasks]
    return Outcome(
        by_key((topic, row[3], row[4], row[5]) for topic, row in kept),
        {(a, key): (runtime.state(a, key), runtime.history(a, key)) for a in agents for key in runtime.keys(a)},
    )


def published(runtime: LocalRuntime, records: Sequence[Raw], at: int) -> None:
    """Publish and process records."""
    for number, record in enumerate(records, at):
        runtime.publish_raw(*record, timestamp=number)
    runtime.run()


def events_of(records: Sequence[Raw], kind: type[ev.Event]) -> list[Any]:
    """Return all events of a kind."""
    found = []
    for record in records:
        try:
            found.append(CODEC.decode(record.value))
        except InvalidEventError:
            continue
    return [event for event in found if isinstance(event, kind)]


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("where", ["event", "opening", "close"])
@pytest.mark.parametrize("agent", [AccountAgent, PlannerAgent], ids=["account", "planner"])
def test_a_released_key_comes_to_what_a_run_without_the_bug_has(
    agent: type[Any], where: str, seed: int, tmp_path: Path
) -> None:
    records, dice = history(seed), random.Random(seed)
    agents = WITHOUT_LEARNER if agent is PlannerAgent else all_agents()[:1]
    book, batch = default_book(), dice.choice([7, 60, 10_000])
    cuts = sorted(dice.sample(range(len(records) * 2 // 3, len(records)), 2))
    with LocalRuntime(Store(None), agents, book) as runtime:
        published(runtime, records[: cuts[1]], 1)
        # What is in no quarantine is not released; it takes its place on the clock.
        published(runtime, [release(agent.name, "A0")] * 3, 0)
        published(runtime, records[cuts[1] :], cuts[1] + 1)
        wanted = outcome(runtime)
    early = records[: cuts[0]]
    if agent is PlannerAgent:
        # What it publishes of the key reaches others late: a plan would change what the account does.
        plans = [CODEC.decode(v) for (topic, _), some in wanted.outputs.items() if topic == "plans" for v, _ in some]
        changed = {x.account_id for x in plans if isinstance(x, ev.PlanActivated | ev.CollectionStopped)}
        busy = {x.borrower_id for x in events_of(records, ev.AccountOpened) if x.account_id in changed}
        offered = {key.decode() for topic, key in wanted.outputs if topic == "offers" and key}
        known = {x.borrower_id for x in events_of(early, ev.ProfileReported)}
        key = dice.choice(sorted(offered & known - busy))
        event_kind, opening = ev.ProfileReported, ev.ConsentGranted
    else:
        opened, paid = set(), []
        for event in events_of(early, ev.Event):
            if isinstance(event, ev.AccountOpened):
                opened.add(event.account_id)
            elif isinstance(event, ev.PaymentReceived) and event.account_id in opened:
                paid.append(event.account_id)
        key = max(sorted(set(paid)), key=paid.count)
        event_kind, opening = ev.PaymentReceived, ev.AccountOpened
    day = date.fromordinal(START.toordinal() + (dice.randrange(15, 60) if agent is AccountAgent else 0))

    def fails(event: ev.Event) -> bool:
        if where == "close":
            return isinstance(event, ev.DayClosed) and event.business_date >= day
        return isinstance(event, opening if where == "opening" else event_kind)

    store = tmp_path / "data"
    with failing(agent, key, fails):
        with LocalRuntime(Store(store), agents, book, batch=batch) as runtime:
            published(runtime, records[: cuts[0]], 1)
        # Another process takes over.
        with LocalRuntime(Store(store), agents, book, batch=batch) as runtime:
            published(runtime, records[cuts[0] : cuts[1]], cuts[0] + 1)
            assert list(runtime.quarantined) == [(agent.name, key)]
            published(runtime, [release(agent.name, key)], 0)
            assert list(runtime.quarantined) == [(agent.name, key)]
    with LocalRuntime(Store(store), agents, book, batch=batch) as runtime:
        published(runtime, [release(agent.name, key), release(agent.name, key)], 0)
        assert not runtime.quarantined
        assert not list(runtime._store.quarantined())
        published(runtime, records[cuts[1] :], cuts[1] + 1)
        found = outcome(runtime)
        letters = [event for _, event in runtime.outputs("dead-letters") if event.code == "quarantined"]
    assert found.states == wanted.states
    assert found.outputs == wanted.outputs
    # The fault, and the release that failed.
    assert len(letters) == 2
    for letter in letters:
        assert isinstance(letter, ev.DeadLetter)
        assert letter.key == key.encode()
        assert "ZeroDivisionError" in letter.message
        assert "Li Wei" not in letter.message


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("where", ["event", "close"])
def test_two_runtimes_give_the_same_bytes_with_quarantine(seed: int, where: str, tmp_path: Path) -> None:
    records, dice = history(seed), random.Random(seed)
    paid = [x.account_id for x in events_of(records, ev.PaymentReceived)]
    key = max(sorted(set(paid)), key=paid.count)
    end = len(records) * 3 // 4

    def fails(event: ev.Event) -> bool:
        if where == "close":
            return isinstance(event, ev.DayClosed) and event.business_date.toordinal() == START.toordinal() + 40
        return isinstance(event, ev.PaymentReceived) and event.value_on.toordinal() == START.toordinal() + 30

    # A fault that is never mended: each release fails, so all that it holds is still there in the end.
    held = [*records[:end], release("account", key), *records[end:]]
    with failing(AccountAgent, key, fails):
        found = local(held, dice.choice([50, 10_000]))
        cuts = sorted(dice.sample(range(1, len(held)), 5))
        again = driven(held, tmp_path, cuts)
    assert found.states == again.states
    assert found.outputs == again.outputs


def test_more_keys_than_the_limit_stop_the_task() -> None:
    records = history(3)

    def faulty(self: Any, state: Any, event: ev.Event, env: Any) -> Any:
        if isinstance(event, ev.PaymentReceived):
            raise ZeroDivisionError("Li Wei")
        return handle(self, state, event, env)

    handle = AccountAgent.handle
    AccountAgent.handle = faulty  # type: ignore[method-assign]
    try:
        with (
            LocalRuntime.open(None, default_book(), quarantine_limit=3) as runtime,
            pytest.raises(FatalError, match=r"worker\.quarantine_limit allows 3"),
        ):
            published(runtime, records, 1)
    finally:
        AccountAgent.handle = handle  # type: ignore[method-assign]


def test_operators_list_show_and_release_keys(tmp_path: Path) -> None:
    events = list(simulate(accounts=20, days=12, seed=3, start=START))
    data = ["--data", str(tmp_path / "data")]
    profile = next(event for event in events if isinstance(event, ev.ProfileReported))
    key = profile.borrower_id

    def asked(*args: str) -> Any:
        return CliRunner().invoke(cli, ["quarantine", *args, *data])

    with failing(PlannerAgent, key, lambda event: isinstance(event, ev.ProfileReported)):
        with LocalRuntime.open(tmp_path / "data", default_book()) as runtime:
            runtime.feed(events)
            # What is personal waits sealed.
            waiting = [value for _, value in runtime.quarantine_rows()]
            assert not any(CODEC.encode(profile) in value for value in waiting)
        listed = json.loads(asked("list", "--json").stdout)
        assert (listed["agent"], listed["key"], listed["days"]) == ("planner", key, 12)
        assert "ZeroDivisionError" in listed["error"]
        lines = f"planner {key}: {listed['error']}\n  failed at {listed['place']}, since {listed['since']}; "
        assert asked("list").stdout == f"{lines}waiting: {listed['records']} records, 12 closes\n"
        shown = json.loads(asked("show", key, "--json").stdout)
        assert shown["items"][0] == {"what": listed["place"], "closed_through": None}
        assert len(shown["items"]) == listed["records"] + 12
        refused = asked("release", key)
        assert refused.exit_code == 1
        assert "not mended" in str(refused.exception)
        again = CliRunner().invoke(cli, ["dead-letters", "replay", "--code", "quarantined", *data])
        assert again.exit_code == 1
    assert asked("release", key, "--all").exit_code == 2
    assert asked("release", "nobody").exit_code == 1
    assert asked("release", "--all", "--reason", "mended").exit_code == 0
    assert json.loads(asked("list", "--json").stdout or "null") is None
    assert asked("list").stdout == "No key is in quarantine.\n"
    with (
        LocalRuntime.open(tmp_path / "data", default_book()) as runtime,
        LocalRuntime.open(None, default_book()) as sound,
    ):
        sound.feed(events)
        assert runtime.state("planner", key) == sound.state("planner", key)
        assert runtime.history("planner", key) == sound.history("planner", key)
