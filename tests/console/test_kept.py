"""What was counted outlasts a restart: it goes on where it was, and counts what a console counts that reads it all."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console import kept as kept_
from console.cache import FILE, Cache
from console.ledger import Ledger
from console.live import Live
from console.pulse import Pulse
from console.source import LocalSource
from schemas import events as ev
from schemas.codec import Codec


@pytest.fixture(scope="module")
def log(lived: Path) -> list[ev.Event]:
    """Return every event of the log that can be read."""
    ledger = Ledger(lived)
    events = [event for _, event in ledger.after(0, 10**9) if event is not None]
    ledger.close()
    return events


def counted(pulse: Pulse) -> bytes:
    """Return all that is shown of a pulse, and all that is kept of it."""
    rest = (pulse.kinds, pulse.groups, pulse.model, pulse.came, pulse.said, pulse.leads.table())
    return msgspec.json.encode((pulse.snapshot(), rest), order="sorted") + b"".join(pulse.kept())


@pytest.fixture(scope="module")
def whole(log: list[ev.Event]) -> bytes:
    """Return what is counted without any restart."""
    pulse = Pulse()
    for event in log:
        pulse.take(event)
    return counted(pulse)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(cuts=st.sets(st.floats(0, 1), max_size=6))
def test_counts_after_restarts_anywhere_are_those_of_a_console_that_never_stopped(
    log: list[ev.Event], whole: bytes, cuts: set[float]
) -> None:
    pulse, begins = Pulse(), 0
    for end in (*sorted(round(cut * len(log)) for cut in cuts), len(log)):
        for event in log[begins:end]:
            pulse.take(event)
        parts, pulse, begins = pulse.kept(), Pulse(), end
        for part in parts:
            pulse.recall(part)
    assert counted(pulse) == whole


class OwnFile(LocalSource):
    """The console's own file of a deployment, without a deployment behind it."""

    keeps = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / FILE
        self.is_killed = False

    def open(self) -> Ledger:
        return Ledger(self.path.parent, FILE)

    def built(self, ledger: Ledger) -> str:
        return ledger.meta("built") or ""

    def health(self, ledger: Ledger) -> dict[str, object]:
        return {"kind": "kafka", "lag": 0, "problem": None}

    def kept(self, ledger: Ledger) -> tuple[int, Iterator[bytes]] | None:
        return kept_.kept(ledger.db, self.built(ledger))

    def keep(self, built: str, position: int, parts: Sequence[bytes]) -> bool:
        return not self.is_killed and kept_.keep(self.path, built, position, parts)


def written(cache: Cache, events: list[ev.Event]) -> None:
    """Put events into the file as the follower does."""
    cache.db.execute("BEGIN IMMEDIATE")
    for event in events:
        cache._append(event, 0)
    cache.db.execute("COMMIT")


def followed(source: OwnFile, monkeypatch: pytest.MonkeyPatch, *, killed: bool = False) -> tuple[Live, int]:
    """Run a console over the file until it has read all, end or kill it; returns it and how many events it read."""
    read: list[int] = []
    after = Ledger.after

    def watched(self: Ledger, position: int, limit: int) -> list[tuple[int, ev.Event | None]]:
        rows = after(self, position, limit)
        read.append(len(rows))
        return rows

    async def run() -> Live:
        ledger, live = source.open(), Live(source, lambda error: None)
        task = asyncio.create_task(live.keep_up(ledger))
        while not live.caught_up:
            await asyncio.sleep(0.01)
        if not killed:
            task.cancel()
        source.is_killed = killed
        task.cancel()
        await asyncio.wait([task])
        source.is_killed = False
        ledger.close()
        assert live.failure is None
        return live

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "after", watched)
        live = asyncio.run(run())
    return live, sum(read)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    made = Cache(tmp_path, "test", 1, Codec())
    yield made
    made.close()


def test_a_restart_reads_only_what_is_new(
    cache: Cache, tmp_path: Path, log: list[ev.Event], whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, (a, b) = OwnFile(tmp_path), (len(log) // 2, len(log) // 2 + 100)
    written(cache, log[:a])
    assert followed(source, monkeypatch)[1] == a
    assert followed(source, monkeypatch)[1] == 0
    written(cache, log[a:b])
    assert followed(source, monkeypatch)[1] == b - a
    written(cache, log[b:])
    live, read = followed(source, monkeypatch)
    assert (read, counted(live.pulse)) == (len(log) - b, whole)


def test_a_console_that_is_killed_goes_on_from_what_it_kept_when_it_had_caught_up(
    cache: Cache, tmp_path: Path, log: list[ev.Event], whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = OwnFile(tmp_path)
    written(cache, log[:-50])
    followed(source, monkeypatch)
    written(cache, log[-50:])
    # What comes later than that is read again by the next one.
    source.is_killed = True
    assert followed(source, monkeypatch, killed=True)[1] == 50
    live, read = followed(source, monkeypatch)
    assert (read, counted(live.pulse)) == (50, whole)


@pytest.mark.parametrize("change", ["layout", "built", "damaged", "cut", "other"])
def test_what_does_not_count_any_more_is_made_anew(
    cache: Cache, tmp_path: Path, log: list[ev.Event], whole: bytes, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    source = OwnFile(tmp_path)
    written(cache, log)
    followed(source, monkeypatch)
    if change == "layout":
        monkeypatch.setattr(kept_, "_LAYOUT", "another")
    elif change == "built":
        cache.empty("a test")
        written(cache, log)
    else:
        query = {
            "damaged": "UPDATE counted SET value = x'c1' WHERE number = 1",
            "cut": "DELETE FROM counted WHERE number = 2",
            "other": "UPDATE counted SET value = x'90' WHERE number = 0",
        }[change]
        with closing(sqlite3.connect(source.path)) as db, db:
            db.execute(query)
    live, read = followed(source, monkeypatch)
    assert (read, counted(live.pulse)) == (len(log), whole)


def test_a_file_in_which_nothing_can_be_written_keeps_what_it_had(cache: Cache, tmp_path: Path) -> None:
    path, pulse, ledger = tmp_path / FILE, Pulse(), Ledger(tmp_path, FILE)
    built = ledger.meta("built") or ""
    assert kept_.keep(path, built, 7, pulse.kept())
    cache.db.execute("BEGIN IMMEDIATE")
    kept_._PATIENCE, before = 0.05, kept_._PATIENCE
    try:
        assert not kept_.keep(path, built, 8, pulse.kept())
    finally:
        kept_._PATIENCE = before
        cache.db.execute("ROLLBACK")
    found = kept_.kept(ledger.db, built)
    assert found is not None
    assert found[0] == 7
    ledger.close()


def test_a_million_accounts_are_kept_in_parts(log: list[ev.Event], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.lines._PIECE", 7)
    pulse, again = Pulse(), Pulse()
    for event in log:
        pulse.take(event)
    parts = pulse.kept()
    assert len(parts) > pulse.count // 7
    for part in parts:
        again.recall(part)
    assert counted(again) == counted(pulse)
