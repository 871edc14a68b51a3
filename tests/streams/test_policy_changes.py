"""A change of policy comes in as any event: once, in its place among the others, and the same for every runtime."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from agents.policies import changed
from schemas import events as ev
from schemas.errors import FatalError, UsageError
from schemas.jsonlines import from_line
from simulator.runs import simulate
from state.policy import PolicyBook
from state.policy_packs.book import book_of
from state.policy_packs.loader import book_for, default_book, files_of
from state.portfolio import Portfolio
from state.texts import Localised
from streams.cli import cli
from streams.local.runtime import LocalRuntime
from tests.support.in_memory_cluster import InMemoryCluster, InMemoryWorker, account_states

START, DAYS = date(2026, 1, 5), 140
OTHER, THIRD = files_of("us_ffiec"), files_of("eu_dod")


def change(name: str, on: date, files: dict[str, str], at: datetime) -> ev.PolicyChanged:
    """Return a change of policy that is sent at an instant."""
    return ev.PolicyChanged(
        event_id=f"policy-{name}",
        occurred_at=at,
        source="risk",
        change_id=name,
        effective_on=on,
        files=files,
    )


@cache
def history() -> tuple[ev.Event, ...]:
    """Return a population's events, with two changes sent on one day: one for the next day, one for later."""
    sent = START + timedelta(80)
    at = datetime(sent.year, sent.month, sent.day, 23, tzinfo=UTC)
    changes = [
        change("first", sent + timedelta(1), OTHER, at),
        change("second", sent + timedelta(30), THIRD, at),
    ]
    # The population answers what is offered under them, and hears of each when it counts.
    simulated = simulate(accounts=40, days=DAYS, seed=11, start=START, changes=changes)
    events = [e for e in simulated if not isinstance(e, ev.PolicyChanged)]
    close = next(n for n, e in enumerate(events) if isinstance(e, ev.DayClosed) and e.business_date >= sent)
    return (*events[: close + 1], *changes, *events[close + 1 :])


def changes() -> list[ev.PolicyChanged]:
    """Return the changes in it."""
    return [e for e in history() if isinstance(e, ev.PolicyChanged)]


@cache
def alone() -> tuple[ev.Event, ...]:
    """Return what one process says to it."""
    with LocalRuntime.open(None, default_book()) as runtime:
        return tuple(runtime.feed(history()))


def test_reports_of_a_day_follow_the_policies_of_that_day() -> None:
    first, second = (c.effective_on for c in changes())
    decided: dict[int, set[str]] = {0: set(), 1: set(), 2: set()}
    for event in alone():
        if isinstance(event, ev.DecisionLogged):
            period = (event.business_date >= first) + (event.business_date >= second)
            decided[period].add(event.policy_version.split("@")[0])
    assert decided[1] == {"house+us_ffiec"}
    assert decided[2] == {"house+eu_dod"}
    assert decided[0]
    assert not decided[0] & (decided[1] | decided[2])


def test_until_the_first_change_nothing_is_said_otherwise() -> None:
    with LocalRuntime.open(None, default_book()) as runtime:
        never = runtime.feed([e for e in history() if not isinstance(e, ev.PolicyChanged)])
    at = changes()[0].occurred_at
    assert [e for e in alone() if e.occurred_at < at] == [e for e in never if e.occurred_at < at]
    assert [e.event_id for e in alone()] != [e.event_id for e in never]


def test_a_reopened_runtime_goes_on_by_the_same_policies(tmp_path: Path) -> None:
    events, said = history(), []
    at = events.index(changes()[0])
    for first, last in ((0, at), (at, at + 1), (at + 1, at + 40), (at + 40, len(events))):
        with LocalRuntime.open(tmp_path / "data", default_book()) as runtime:
            said += runtime.feed(events[first:last])
    assert said == list(alone())


def test_a_failed_batch_leaves_the_policies_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    events = history()
    at = events.index(changes()[0])
    with LocalRuntime.open(None, default_book()) as runtime:
        said = runtime.feed(events[:at])
        with monkeypatch.context() as broken:
            broken.setattr(runtime._log, "flush", lambda: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                runtime.feed(changes())
        assert runtime._task.policies.book.later == ()
        runtime.run()
        assert [day for day, _ in runtime._task.policies.book.later] == [c.effective_on.toordinal() for c in changes()]
        said += runtime.feed(events[at + 2 :])
    assert said == list(alone())


def by_any(event: ev.Event) -> ev.Event:
    """Return an event without its cause, where tasks may hear first of another account of the borrower."""
    return replace(event, caused_by="") if isinstance(event, ev.ContactRevised | ev.OfferWithdrawn) else event


def test_tasks_and_their_portfolio_equal_one_process(tmp_path: Path) -> None:
    cluster, one, two = InMemoryCluster(tmp_path, 3), InMemoryWorker(), InMemoryWorker()

    async def run() -> None:
        events = history()
        at = events.index(changes()[0])
        for partition in range(3):
            cluster.open(one, partition)
        # Taken over behind the change and before its day, and once more behind it.
        for first, last in ((0, at + 2), (at + 2, at + 60), (at + 60, len(events))):
            cluster.publish(events[first:last])
            await cluster.settle(one, two)
            await cluster.leave(one if 2 in one.executors else two, 2)
            cluster.open(two if first else one, 2)
        await cluster.settle(one, two)
        for owner in (one, two):
            for executor in owner.running():
                await executor.stop(5)

    asyncio.run(run())
    topics = {topic for topic, _ in cluster.logs if topic not in ("barriers", "learning", "clock")}
    said = {e.event_id: e for topic in topics for _, e in cluster.said(topic)}
    wanted = {e.event_id: e for e in alone() if not isinstance(e, ev.ModelUpdated)}
    assert wanted.keys() <= said.keys()
    assert {name: by_any(said[name]) for name in wanted} == {name: by_any(event) for name, event in wanted.items()}
    assert not [e for e in said.values() if isinstance(e, ev.DeadLetter)]

    kept: Counter[tuple[str, ...]] = Counter()
    fresh = Portfolio(changed(cluster.book, changes()))
    for owner in (one, two):
        for executor in owner.running():
            kept.update(
                {key: count for key, (count, _) in executor.task.committed_portfolio.items() if key[0] != "recovered"}
            )
            for state in account_states(executor.task):
                fresh.move(None, state)
    counted = {key: count for key, (count, _) in fresh.copy().items() if count}
    assert {key: count for key, count in kept.items() if count} == counted
    assert {key[2] for key in counted if key[0] == "class"} == {"eu_dod"}
    cluster.close()


def test_an_invalid_change_is_a_dead_letter_and_work_goes_on() -> None:
    events = history()
    first, second = changes()
    late = replace(first, change_id="late", event_id="late", effective_on=START)
    odd = replace(first, change_id="odd", event_id="odd", files={"book": "no book"})
    other = replace(first, event_id="again", files=THIRD)
    sent = [first, late, odd, other, first, replace(first, event_id="same"), second]
    with LocalRuntime.open(None, default_book()) as runtime:
        at = events.index(first)
        said = runtime.feed([*events[:at], *sent, *events[at + 2 :]])
    letters = [(e.topic, e.code) for e in said if isinstance(e, ev.DeadLetter)]
    assert letters == [("clock", "out_of_range"), ("clock", "invalid_policy"), ("clock", "conflicting_duplicate")]
    assert [e for e in said if not isinstance(e, ev.DeadLetter)] == list(alone())


EDITED = {
    **files_of("default"),
    "house": files_of("default")["house"].replace("grace_days: {value: 0", "grace_days: {value: 9"),
}


class Told:
    """A log that is remembered."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def warning(self, event: str, **_: object) -> None:
        """Remember what it was about."""
        self.events.append(event)


def edited(name: str = "default") -> PolicyBook:
    """Return the package's book as another release may have it."""
    assert files_of("default") != EDITED
    return PolicyBook(name, book_of(EDITED).policy_for, files=EDITED)


def test_another_release_changes_nothing_until_it_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events, said, told = history(), [], Told()
    monkeypatch.setattr("streams.engine.policies.log", told)
    at = events.index(changes()[0])
    with LocalRuntime.open(tmp_path / "data", default_book()) as runtime:
        said += runtime.feed(events[: at // 2])
    with LocalRuntime.open(tmp_path / "data", edited()) as runtime:
        said += runtime.feed(events[at // 2 :])
    assert said == list(alone())
    assert told.events == ["policy_not_in_force"]


def test_a_task_goes_on_only_under_the_policy_that_it_knows(tmp_path: Path) -> None:
    cluster, owner = InMemoryCluster(tmp_path, 1), InMemoryWorker()

    async def opened(book: PolicyBook) -> None:
        cluster.book = book
        cluster.open(owner, 0)
        cluster.publish([e for e in history()[:60] if not isinstance(e, ev.PolicyChanged)])
        await cluster.settle(owner)
        await cluster.leave(owner, 0)

    asyncio.run(opened(default_book()))
    asyncio.run(opened(edited()))
    with pytest.raises(
        FatalError, match=r"decided under the policy default, not cn_card\. Start with default; .* change cn_card"
    ):
        asyncio.run(opened(book_for("cn_card")))
    # Once the change was published, who starts under it means the same.
    cluster.publish([replace(changes()[0], files=files_of("cn_card"), effective_on=date(2026, 12, 1))])
    asyncio.run(opened(default_book()))
    asyncio.run(opened(book_for("cn_card")))
    cluster.close()


def test_the_command_writes_a_change_that_is_taken(tmp_path: Path) -> None:
    arguments = ["policy", "change", "us_ffiec", "--everywhere", "--from", "2026-03-01"]
    arguments += ["--output", str(tmp_path / "change.jsonl")]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    written = from_line((tmp_path / "change.jsonl").read_bytes().splitlines()[0])
    assert isinstance(written, ev.PolicyChanged)
    with LocalRuntime.open(None, default_book()) as runtime:
        assert runtime.feed([written]) == []
        assert [day for day, _ in runtime._task.policies.book.later] == [date(2026, 3, 1).toordinal()]


def test_a_pack_for_all_accounts_stands_beside_the_others(tmp_path: Path) -> None:
    pack, change_file = tmp_path / "ours.yaml", tmp_path / "change.jsonl"
    name = "name: {value: {default: Example Bank, zh: 示例银行}, verified: true, source: ours}"
    pack.write_text(f"pack: ours\nversion: 1\ntitle: Ours\nsections:\n  lender:\n    {name}\n", "utf-8")
    arguments = ["policy", "change", str(pack), "--from", "2026-03-01", "--output", str(change_file)]
    assert CliRunner().invoke(cli, [*arguments, "--all-accounts"]).exit_code == 0
    (written,) = (from_line(line) for line in change_file.read_bytes().splitlines())
    assert isinstance(written, ev.PolicyChanged)
    before, after = default_book(), book_of(written.files)
    for place in (("CN", "credit_card"), ("US", "credit_card"), ("DE", "loan"), ("", "")):
        was, is_ = before.policy_for(*place), after.policy_for(*place)
        assert is_.lender.name == Localised(en="Example Bank", zh="示例银行")
        assert replace(is_, lender=was.lender, name=was.name, version=was.version) == was
    for other in (["--everywhere"], ["--jurisdiction", "DE"]):
        refused = CliRunner().invoke(cli, [*arguments, "--all-accounts", *other])
        assert isinstance(refused.exception, UsageError)


@pytest.mark.parametrize(
    ("pack", "day", "words"),
    [("no_such", "2026-03-01", "There is no such pack"), ("cn_card", "1826-03-01", "outside the years 1900 to 2199")],
)
def test_the_command_refuses_what_would_be_refused(pack: str, day: str, words: str) -> None:
    found = CliRunner().invoke(cli, ["policy", "change", pack, "--everywhere", "--from", day])
    assert isinstance(found.exception, UsageError)
    assert words in str(found.exception)


def test_tasks_withdraw_an_offer_over_two_ended_accounts_alike(tmp_path: Path) -> None:
    # Found by chaos: a change of policy ended both, and whichever the planner heard of first was named as the cause.
    told = [
        change(f"C{n}", date(2026, 1, 5) + timedelta(days=100 * n // 3), files, history()[0].occurred_at)
        for n, files in ((1, OTHER), (2, THIRD))
    ]
    events = list(
        simulate(accounts=120, days=100, seed=random.Random(5001).randrange(2**32), start=START, changes=told)
    )
    with LocalRuntime.open(None, default_book()) as runtime:
        wanted = runtime.feed(events)
    ends = Counter((e.borrower_id, e.business_date) for e in wanted if isinstance(e, ev.WorkoutEnded))
    withdrawn = [e for e in wanted if isinstance(e, ev.OfferWithdrawn)]
    assert any(ends[e.borrower_id, e.business_date] == 2 for e in withdrawn)
    cluster, owner = InMemoryCluster(tmp_path, 3), InMemoryWorker()

    async def run() -> None:
        for partition in range(3):
            cluster.open(owner, partition)
        cluster.publish(events)
        await cluster.settle(owner)
        for executor in owner.running():
            await executor.stop(5)

    asyncio.run(run())
    said = [e for _, e in cluster.said("offers") if isinstance(e, ev.OfferWithdrawn)]
    assert sorted(said, key=lambda e: e.event_id) == sorted(withdrawn, key=lambda e: e.event_id)
    cluster.close()
