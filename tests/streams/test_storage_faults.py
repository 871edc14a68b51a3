"""Stores whose files cannot be used: only damage is a reason to throw a copy away, and each cause has its sentence."""

from __future__ import annotations

import itertools
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from console.cache import FILE, Cache
from console.read_store import ReadStore
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import FatalError
from schemas.topics import TOPICS
from simulator.runs import simulate
from state.policy_packs.loader import default_book
from streams.kafka.restore import open_store
from streams.kafka.rocksdb_store import CorruptStoreError, RocksDBStore
from streams.local.runtime import LocalRuntime
from streams.storage_faults import Cause, StorageError
from tests.support.small_disk import SmallDisk, mounted

ROWS = 3_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk") as made:
        yield made


def filled(folder: Path) -> None:
    """Make a store of three files with all rows."""
    store = RocksDBStore(folder)
    for first in range(0, ROWS, 1_000):
        rows: list[tuple[bytes, bytes | None]] = [
            (b"s%05d" % n, bytes(4) + os.urandom(200)) for n in range(first, first + 1_000)
        ]
        store.write(rows, ROWS)
        store._db.flush()
    store.close()


def rows_of(store: RocksDBStore) -> int:
    with closing(store):
        return sum(1 for _ in store.scan(b"s", b"t"))


def files_of(folder: Path) -> dict[str, bytes]:
    """Return what the rows are in."""
    return {p.name: p.read_bytes() for p in folder.glob("*.sst")}


@contextmanager
def descriptors(left: int) -> Iterator[None]:
    """Let this process open only so many files more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {fd for fd in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{fd}")}
    free = (fd for fd in itertools.count() if fd not in taken)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, left, None)), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def refusal(attempt: Callable[[], object]) -> FatalError | None:
    """Return what is raised on purpose, None where nothing is."""
    try:
        attempt()
    except FatalError as error:
        return error
    return None


# -- RocksDB


def written(folder: Path) -> None:
    """Write more to a store than there is room for."""
    with closing(open_store(folder)) as store:
        for n in range(4_000):
            store.write([(b"t%05d" % n, os.urandom(20_000))], ROWS)


def test_a_store_on_a_full_disk_is_kept_and_goes_on_with_room(disk: SmallDisk) -> None:
    folder = disk.path / "MANIFEST-of-CURRENT-locks" / "account-0"
    filled(folder)
    for left in (0, 4_096, 65_536):
        before = files_of(folder)
        disk.fill(left)
        with pytest.raises(
            FatalError, match=r"The disk of .* is full .*Make room, and start the worker again"
        ) as caught:
            written(folder)
        assert not isinstance(caught.value, CorruptStoreError)
        disk.free()
        assert before.items() <= files_of(folder).items()
        assert rows_of(open_store(folder)) == ROWS


def test_a_store_without_descriptors_is_kept(tmp_path: Path) -> None:
    folder, refused = tmp_path / "account-0", 0
    filled(folder)
    for left in range(1, 30):
        with descriptors(left):
            error = refusal(lambda: rows_of(open_store(folder)))
        if error is not None:
            refused += 1
            assert not isinstance(error, CorruptStoreError)
            assert "no file descriptor left" in str(error)
            assert "LimitNOFILE" in str(error)
    assert 3 < refused < 25
    assert rows_of(open_store(folder)) == ROWS


def test_a_store_on_a_read_only_file_system_is_kept(disk: SmallDisk) -> None:
    folder = disk.path / "account-0"
    filled(folder)
    with disk.read_only(), pytest.raises(FatalError, match=r"read-only .*Mount it to be written"):
        open_store(folder)
    assert rows_of(open_store(folder)) == ROWS


@pytest.mark.skipif(os.geteuid() != 0, reason="rights are nothing that this user could lose")
@pytest.mark.parametrize("name", [".", "CURRENT", "MANIFEST", "LOCK", "rocksdict-config.json"])
def test_a_store_that_this_user_may_not_use_is_kept(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o755)
    # Above it the tests' own folders may be closed to others.
    base = Path("/tmp") / f"reprieve-{os.getpid()}"
    folder = base / "account-0"
    filled(folder)
    try:
        for file in (base, folder, *folder.iterdir()):
            os.chown(file, 65534, 65534)
        next(f for f in (folder, *folder.iterdir()) if name == "." or f.name.startswith(name)).chmod(0)
        program = (
            "import sys, os; from pathlib import Path; from streams.kafka.restore import open_store\n"
            "os.setuid(65534)\ntry: open_store(Path(sys.argv[1]))\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        told = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
        assert "FatalError User 65534 may not use" in told.stdout, told
        assert "store_rebuilt" not in told.stdout
        for file in folder.iterdir():
            os.chown(file, 0, 0)
        folder.chmod(0o755)
        assert rows_of(open_store(folder)) == ROWS
    finally:
        shutil.rmtree(base)


def test_a_store_that_is_in_use_is_kept(tmp_path: Path) -> None:
    filled(tmp_path / "account-0")
    with (
        closing(RocksDBStore(tmp_path / "account-0")),
        pytest.raises(
            FatalError, match=r"in use by another process .*Stop that one, or set worker\.data_dir to another"
        ),
    ):
        open_store(tmp_path / "account-0")
    assert rows_of(open_store(tmp_path / "account-0")) == ROWS


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def noise(file: Path) -> None:
    file.write_bytes(os.urandom(file.stat().st_size))


@pytest.mark.parametrize(
    ("name", "hurt"),
    [
        ("CURRENT", cut), ("CURRENT", noise), ("CURRENT", Path.unlink), ("MANIFEST-*", noise),
        ("MANIFEST-*", Path.unlink), ("*.sst", cut), ("*.sst", noise), ("*.sst", Path.unlink),
    ],
)  # fmt: skip
def test_a_damaged_store_is_made_anew(tmp_path: Path, name: str, hurt: Callable[[Path], None]) -> None:
    folder = tmp_path / "account-0"
    filled(folder)
    hurt(min(folder.glob(name)))
    with capture_logs() as told:
        store = open_store(folder)
    assert [line["cause"] for line in told if line["event"] == "store_rebuilt"] == ["corrupt"]
    assert store.position == (0, b"")
    assert rows_of(store) == 0


def test_damage_that_shows_in_use_is_found_at_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "account-0"
    filled(folder)
    file = min(folder.glob("*.sst"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with capture_logs() as told:
        store = open_store(folder)
        with pytest.raises(CorruptStoreError, match=r"made anew from its changelog at the next start; nothing is lost"):
            rows_of(store)
        assert rows_of(open_store(folder)) == 0
    assert [line["cause"] for line in told if line["event"] == "store_rebuilt"] == ["corrupt"]
    # Once.
    with capture_logs() as told:
        open_store(folder).close()
    assert not told


def test_a_store_that_cannot_be_removed_is_never_taken_as_new(disk: SmallDisk) -> None:
    folder = disk.path / "account-0"
    filled(folder)
    with disk.read_only(), pytest.raises(FatalError, match=r"cannot be removed\. Remove the folder"):
        RocksDBStore.remove(folder)
    RocksDBStore.remove(folder)
    RocksDBStore.remove(folder)
    assert not folder.exists()


# -- the local runtime


def history() -> list[ev.Event]:
    return list(simulate(accounts=30, days=40, seed=3, start=date(2026, 1, 5)))


def said_alone() -> list[ev.Event]:
    with LocalRuntime.open(None, default_book()) as runtime:
        return runtime.feed(history())


def fed(data: Path, events: list[ev.Event]) -> None:
    with LocalRuntime.open(data, default_book()) as runtime:
        runtime.feed(events)


def test_a_data_directory_on_a_full_disk_loses_nothing(disk: SmallDisk) -> None:
    data, events, refused = disk.path / "data", history(), 0
    for start in range(0, len(events), 40):
        part = events[start : start + 40]
        disk.fill(40_000 * (start // 40 % 7))
        error = refusal(partial(fed, data, part))
        disk.free()
        if error is not None:
            refused += 1
            assert "is full" in str(error)
            assert "Make room" in str(error)
        # What is sent again has the same ids.
        fed(data, part)
    assert refused > 2
    with LocalRuntime.open(data, default_book()) as runtime:
        found = [event.event_id for topic in TOPICS for _, event in runtime.outputs(topic) if not TOPICS[topic].inbound]
    assert sorted(found) == sorted(e.event_id for e in said_alone())


def filled_up(runtime: LocalRuntime) -> None:
    for _ in range(200):
        runtime.publish_raw("payments", b"A", os.urandom(50_000))
        runtime.run()


def test_a_runtime_goes_on_after_its_disk_was_full(disk: SmallDisk) -> None:
    with LocalRuntime.open(disk.path / "data", default_book()) as runtime:
        events = history()
        runtime.feed(events[:100])
        disk.fill()
        with pytest.raises(StorageError, match="is full"):
            filled_up(runtime)
        disk.free()
        runtime.feed(events[100:])
        assert runtime.closed_through == max(e.business_date for e in events if isinstance(e, ev.DayClosed))


def test_a_data_directory_without_descriptors_says_so(tmp_path: Path) -> None:
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        runtime.feed(history()[:50])
    refused = []
    for left in range(1, 12):
        with descriptors(left):
            refused.append(refusal(lambda: LocalRuntime.open(tmp_path, default_book()).close()))
    told = [str(error) for error in refused if error is not None]
    assert len(told) > 2
    assert [text for text in told if "no file descriptor left" not in text] == []
    LocalRuntime.open(tmp_path, default_book()).close()


def test_a_data_directory_on_a_read_only_file_system_says_so(disk: SmallDisk) -> None:
    with LocalRuntime.open(disk.path / "data", default_book()) as runtime:
        runtime.feed(history()[:50])
    with disk.read_only(), pytest.raises(FatalError, match="read-only"):
        LocalRuntime.open(disk.path / "data", default_book())


def damage(path: Path) -> None:
    """Overwrite pages in the midst of a database, whose first one stays."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with open(path, "r+b") as file:
        for page in range(4096, size, 4096):
            file.seek(page)
            file.write(os.urandom(512))


@pytest.mark.parametrize("hurt", [damage, noise])
def test_damaged_data_are_left_as_they_are(tmp_path: Path, hurt: Callable[[Path], None]) -> None:
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        runtime.feed(history())
    hurt(tmp_path / "reprieve.db")
    before = (tmp_path / "reprieve.db").read_bytes()
    with pytest.raises(StorageError, match=r"is damaged .*Restore the directory from a backup") as caught:
        fed(tmp_path, history())
    assert caught.value.cause is Cause.DAMAGED
    assert (tmp_path / "reprieve.db").read_bytes() == before


def test_a_limit_of_a_files_size_is_no_damage(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with LocalRuntime.open(tmp_path, default_book()) as runtime:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
            with pytest.raises(StorageError) as caught:
                runtime.feed(history())
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            assert caught.value.cause is not Cause.DAMAGED
            runtime.feed(history())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


# -- the console's file


def cached(folder: Path, events: int = 300) -> str:
    """Make a console's file with some events; returns the word by which it is known."""
    with closing(Cache(folder, "test", 1, Codec())) as cache:
        cache.db.execute("BEGIN IMMEDIATE")
        for event in history()[:events]:
            cache._append(event, 0)
        cache.db.execute("COMMIT")
        return str(cache._one("SELECT value FROM meta WHERE name = 'generation'"))


def test_a_consoles_file_on_a_full_disk_is_kept(disk: SmallDisk) -> None:
    built = cached(disk.path)
    disk.fill()
    with capture_logs() as told:
        error = refusal(lambda: Cache(disk.path, "test", 1, Codec()).close())
    assert error is None or "is full" in str(error)
    assert not [line for line in told if line["event"] == "console_cache_rebuilt"]
    disk.free()
    assert cached(disk.path, 0) == built


def test_a_consoles_file_without_descriptors_is_kept(tmp_path: Path) -> None:
    built, refused = cached(tmp_path), 0
    for left in range(1, 12):
        with descriptors(left):
            error = refusal(lambda: Cache(tmp_path, "test", 1, Codec()).close())
        if error is not None:
            refused += 1
            assert "no file descriptor left" in str(error)
    assert refused > 1
    assert cached(tmp_path, 0) == built


def test_a_consoles_file_that_another_holds_is_kept(tmp_path: Path) -> None:
    built = cached(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(FatalError, match="in use by another process"):
            Cache(tmp_path, "test", 1, Codec())
    assert cached(tmp_path, 0) == built


def test_a_damaged_consoles_file_is_made_anew(tmp_path: Path) -> None:
    built = cached(tmp_path)
    noise(tmp_path / FILE)
    with capture_logs() as told:
        assert cached(tmp_path) != built
    assert [line["cause"] for line in told if line["event"] == "console_cache_rebuilt"] == ["damaged"]


def test_damage_of_a_console_file_is_found_at_the_next_start(tmp_path: Path) -> None:
    built = cached(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'log'").fetchone()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with open(tmp_path / FILE, "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))
    store = ReadStore(tmp_path, FILE)
    with pytest.raises(StorageError, match="rebuilt from Kafka"), store.faults():
        store.after(0, 10_000)
    store.close()
    assert cached(tmp_path) != built
    assert not list(tmp_path.glob("*-damaged"))
