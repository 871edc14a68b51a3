"""The engine by itself: the phases of a close, the order of intake, the placement of keys, and what it may import."""

from __future__ import annotations

import ast
from datetime import UTC, date, datetime
from pathlib import Path

from aiokafka.partitioner import murmur2 as of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from schemas import events as ev
from streams.engine.day_close import Action, Barriers, DayClose, Phase
from streams.engine.partitioning import murmur2
from tests.support.in_memory_cluster import InputRecord

DAY = date(2026, 1, 5)
AT = datetime(2026, 1, 5, 23, tzinfo=UTC)
CLOSE = ev.DayClosed(event_id="c", occurred_at=AT, source="t", business_date=DAY, calendar="none")
RECORD = InputRecord("clock", 0, None, b"")


class Closer:
    """An agent of which only the close is told."""

    def __init__(self, name: str, *, closed: bool = False) -> None:
        self.name = name
        self.closed = closed

    def has_closed(self, day: date) -> bool:
        """Say whether it has closed the day."""
        return self.closed


class Read:
    """Topics, by how far they were read."""

    def __init__(self) -> None:
        self.offsets: dict[str, int] = {}

    def is_past(self, topic: str, at: int) -> bool:
        """Say that nothing was appended behind."""
        return False

    def has_read(self, topic: str, fence: int) -> bool:
        """Say whether a topic was read up to a fence."""
        return self.offsets.get(topic, 0) >= fence


def begun(agents: list[Closer], command: ev.DayClosed | ev.PolicyChanged = CLOSE) -> DayClose[Closer]:
    return DayClose(RECORD, 0, command, agents, ["payments"], ["plans"])


def test_a_close_waits_for_inputs_peers_and_their_events() -> None:
    agents, read, barriers = [Closer("account"), Closer("planner")], Read(), Barriers()
    close = begun(agents)
    assert close.action(read, barriers, 2) is Action.FENCE
    close.fence = {"payments": 7}
    assert (close.action(read, barriers, 2), close.phase) == (Action.WAIT, Phase.READ_INPUTS)
    read.offsets = {"payments": 7}
    assert close.action(read, barriers, 2) is Action.REPORT_READY
    close.done(Action.REPORT_READY)
    barriers.note(close.report(0))
    for agent in agents:
        # The other partition has not come as far.
        assert (close.action(read, barriers, 2), close.phase) == (Action.WAIT, Phase.AWAIT_PEERS)
        before = None if agent is agents[0] else agents[0].name
        barriers.note(close.report(1, before))
        # What was read before says nothing of what the others have published since.
        assert close.action(read, barriers, 2) is Action.FENCE
        close.fence = {"plans": 3}
        read.offsets["plans"] = 2
        assert (close.action(read, barriers, 2), close.phase) == (Action.WAIT, Phase.READ_OUTPUTS)
        read.offsets["plans"] = 3
        assert close.action(read, barriers, 2) is Action.CLOSE_AGENT
        assert close.agent is agent
        agent.closed = True
        close.done(Action.CLOSE_AGENT)
        barriers.note(close.report(0, agent.name))
    barriers.note(close.report(1, "planner"))
    assert (close.action(read, barriers, 2), close.phase) == (Action.FENCE, Phase.READ_MODEL)
    assert close.topics == ("learning",)
    close.fence = {"learning": 0}
    assert close.action(read, barriers, 2) is Action.FINISH
    close.done(Action.FINISH)
    assert close.phase is Phase.DONE


def test_a_begun_close_goes_on_behind_agents_that_closed() -> None:
    read, barriers = Read(), Barriers()
    # All agents have closed the day: only the peers are awaited.
    close = begun([Closer("account", closed=True), Closer("planner", closed=True)])
    assert (close.phase, close.action(read, barriers, 1)) == (Phase.AWAIT_PEERS, Action.WAIT)
    barriers.note(close.report(0, "planner"))
    assert close.action(read, barriers, 1) is Action.FENCE
    # One of them has: it reports again that it is ready, and awaits the barrier of that agent.
    close = begun([Closer("account", closed=True), Closer("learner")])
    close.fence = {"payments": 0}
    assert close.action(read, barriers, 1) is Action.REPORT_READY
    close.done(Action.REPORT_READY)
    barriers.note(close.report(0))
    assert close.action(read, barriers, 1) is Action.WAIT
    barriers.note(close.report(0, "account"))
    close.action(read, barriers, 1)
    assert close.phase is Phase.READ_OUTPUTS


def test_a_change_of_policy_needs_only_what_came_before() -> None:
    change = ev.PolicyChanged(
        event_id="p", occurred_at=AT, source="t", change_id="p", effective_on=DAY, files={"book": "text"}
    )
    close = begun([Closer("account")], change)
    close.fence = {"payments": 0}
    assert close.action(Read(), Barriers(), 5) is Action.CHANGE_POLICIES
    close.done(Action.CHANGE_POLICIES)
    assert close.phase is Phase.DONE


@given(st.binary(max_size=40))
def test_a_key_belongs_where_kafkas_own_clients_place_it(key: bytes) -> None:
    assert murmur2(key) & 0x7FFFFFFF == of_aiokafka(key) & 0x7FFFFFFF


def test_the_engine_imports_no_broker_no_database_and_no_clock(repository: Path) -> None:
    found: set[str] = set()
    for path in (repository / "streams" / "engine").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module or "")
    outer = ("streams.kafka", "streams.local", "streams.http", "streams.cli", "streams.settings")
    assert not {name for name in found if name.startswith(outer)}
    wrong = {"aiokafka", "faust", "mode", "sqlite3", "rocksdict", "prometheus_client", "time", "asyncio", "random"}
    assert not {name.split(".")[0] for name in found} & wrong
