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

from console import snapshot
from console.cache import FILE, Cache
from console.overview_feed import OverviewFeed
from console.overview_projection import OverviewProjection
from console.read_store import ReadStore
from console.source import LocalSource
from schemas import events as ev
from schemas.codec import Codec


def counted(projection: OverviewProjection) -> bytes:
    """Return all that is shown of a projection, and all that is kept of it."""
    rest = (
        projection.kinds,
        projection.arms,
        projection.model,
        projection.events_in,
        projection.events_out,
        projection.recommendations.table(),
    )
    return msgspec.json.encode((projection.overview(), rest), order="sorted") + b"".join(projection.snapshot())


@pytest.fixture(scope="module")
def whole(log: list[ev.Event]) -> bytes:
    """Return what is counted without any restart."""
    projection = OverviewProjection()
    for event in log:
        projection.apply(event)
    return counted(projection)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(cuts=st.sets(st.floats(0, 1), max_size=6))
def test_counts_after_restarts_equal_an_unbroken_run(log: list[ev.Event], whole: bytes, cuts: set[float]) -> None:
    projection, begins = OverviewProjection(), 0
    for end in (*sorted(round(cut * len(log)) for cut in cuts), len(log)):
        for event in log[begins:end]:
            projection.apply(event)
        parts, projection, begins = projection.snapshot(), OverviewProjection(), end
        for part in parts:
            projection.restore(part)
    assert counted(projection) == whole


class OwnFile(LocalSource):
    """The console's own file of a deployment, without a deployment behind it."""

    has_snapshots = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / FILE
        self.is_killed = False

    def open(self) -> ReadStore:
        return ReadStore(self.path.parent, FILE)

    def store_generation(self, store: ReadStore) -> str:
        return store.meta("generation") or ""

    def health(self, store: ReadStore) -> dict[str, object]:
        return {"kind": "kafka", "lag": 0, "problem": None}

    def load_snapshot(self, store: ReadStore) -> tuple[int, Iterator[bytes]] | None:
        return snapshot.load(store.db, self.store_generation(store))

    def save_snapshot(self, generation: str, position: int, parts: Sequence[bytes]) -> bool:
        return not self.is_killed and snapshot.save(self.path, generation, position, parts)


def written(cache: Cache, events: list[ev.Event]) -> None:
    """Put events into the file as the follower does."""
    cache.db.execute("BEGIN IMMEDIATE")
    for event in events:
        cache._append(event, 0)
    cache.db.execute("COMMIT")


def followed(source: OwnFile, monkeypatch: pytest.MonkeyPatch, *, killed: bool = False) -> tuple[OverviewFeed, int]:
    """Run a console over the file until it has read all, end or kill it; returns it and how many events it read."""
    read: list[int] = []
    after = ReadStore.after

    def watched(self: ReadStore, position: int, limit: int) -> list[tuple[int, ev.Event | None]]:
        rows = after(self, position, limit)
        read.append(len(rows))
        return rows

    async def run() -> OverviewFeed:
        store, live = source.open(), OverviewFeed(source, lambda error: None)
        task = asyncio.create_task(live.run(store))
        while not live.caught_up:
            await asyncio.sleep(0.01)
        if not killed:
            task.cancel()
        source.is_killed = killed
        task.cancel()
        await asyncio.wait([task])
        source.is_killed = False
        store.close()
        assert live.failure is None
        return live

    with monkeypatch.context() as patched:
        patched.setattr(ReadStore, "after", watched)
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
    assert (read, counted(live.projection)) == (len(log) - b, whole)


def test_a_killed_console_resumes_from_its_last_snapshot(
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
    assert (read, counted(live.projection)) == (50, whole)


@pytest.mark.parametrize("change", ["layout", "generation", "damaged", "cut", "other"])
def test_what_does_not_count_any_more_is_made_anew(
    cache: Cache, tmp_path: Path, log: list[ev.Event], whole: bytes, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    source = OwnFile(tmp_path)
    written(cache, log)
    followed(source, monkeypatch)
    if change == "layout":
        monkeypatch.setattr(snapshot, "_LAYOUT", "another")
    elif change == "generation":
        cache.empty("a test")
        written(cache, log)
    else:
        query = {
            "damaged": "UPDATE snapshot SET value = x'c1' WHERE number = 1",
            "cut": "DELETE FROM snapshot WHERE number = 2",
            "other": "UPDATE snapshot SET value = x'90' WHERE number = 0",
        }[change]
        with closing(sqlite3.connect(source.path)) as db, db:
            db.execute(query)
    live, read = followed(source, monkeypatch)
    assert (read, counted(live.projection)) == (len(log), whole)


def test_a_file_that_cannot_be_written_keeps_what_it_had(cache: Cache, tmp_path: Path) -> None:
    path, projection, store = tmp_path / FILE, OverviewProjection(), ReadStore(tmp_path, FILE)
    generation = store.meta("generation") or ""
    assert snapshot.save(path, generation, 7, projection.snapshot())
    cache.db.execute("BEGIN IMMEDIATE")
    snapshot._LOCK_TIMEOUT, before = 0.05, snapshot._LOCK_TIMEOUT
    try:
        assert not snapshot.save(path, generation, 8, projection.snapshot())
    finally:
        snapshot._LOCK_TIMEOUT = before
        cache.db.execute("ROLLBACK")
    found = snapshot.load(store.db, generation)
    assert found is not None
    assert found[0] == 7
    store.close()


def test_a_million_accounts_are_kept_in_parts(log: list[ev.Event], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.overview_projection._CHUNK", 7)
    projection, again = OverviewProjection(), OverviewProjection()
    for event in log:
        projection.apply(event)
    parts = projection.snapshot()
    assert len(parts) > projection.account_count // 7
    for part in parts:
        again.restore(part)
    assert counted(again) == counted(projection)
