"""A standby does not die unnoticed: what ends it is told, and damage of its files is mended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import REGISTRY

from schemas.errors import FatalError
from streams.kafka import restore
from streams.kafka.restore import ChangelogReader, Standby, open_store
from streams.kafka.rocksdb_store import CorruptStoreError, RocksDBStore
from streams.settings import Settings

SOON = {"retry_pause_seconds": 0.01, "retry_pause_max_seconds": 0.01}
PLACE = TopicPartition("account-changelog", 2)


class Reader:
    """Reads twice, then meets what a test wants it to meet."""

    made = 0
    error: BaseException

    def __init__(self, settings: Settings, *, lasting: bool = True) -> None:
        self._rounds = 0
        type(self).made += 1

    async def start(self) -> None:
        """Connect to nothing."""

    async def stop(self) -> None:
        """Disconnect."""

    async def assign(self, places: dict[Any, Any], ids: Any = None) -> None:
        """Begin."""

    async def read(self) -> int:
        """Read nothing."""
        self._rounds += 1
        await asyncio.sleep(0)
        if self._rounds == 3 and type(self).made < 3:
            raise self.error
        await asyncio.sleep(0.01)
        return 0


def standby(monkeypatch: pytest.MonkeyPatch, error: BaseException, failed: Callable[[BaseException], None]) -> Standby:
    monkeypatch.setattr(Reader, "made", 0)
    monkeypatch.setattr(Reader, "error", error, raising=False)
    monkeypatch.setattr(restore, "ChangelogReader", Reader)
    # A store is never touched here.
    places: Any = {PLACE: None, TopicPartition("planner-changelog", 2): None}
    return Standby(Settings.load(kafka=SOON), places, failed)


def test_what_ends_a_standby_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[BaseException] = []
    full = FatalError("The disk is full")

    async def scene() -> None:
        made = standby(monkeypatch, full, failures.append)
        await made.start()
        assert made.at_work
        assert REGISTRY.get_sample_value("reprieve_standbys") == 1
        while made.at_work:
            await asyncio.sleep(0.01)
        assert REGISTRY.get_sample_value("reprieve_standbys") == 0
        await made.stop()

    asyncio.run(asyncio.wait_for(scene(), 120))
    assert failures == [full]


def test_a_standby_reads_on_from_its_stores_after_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[BaseException] = []

    async def scene() -> None:
        made = standby(monkeypatch, KafkaError("away"), failures.append)
        await made.start()
        while Reader.made < 3:
            await asyncio.sleep(0.01)
        assert made.at_work
        await made.stop()
        assert not made.at_work

    asyncio.run(asyncio.wait_for(scene(), 120))
    assert failures == []


def test_files_found_damaged_while_following_are_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = TopicPartition("account-changelog", 1)
    rows = [SimpleNamespace(offset=n, key=b"s%d" % n, value=b"\0\0\0\0x") for n in range(9)]
    log = {PLACE: rows, other: rows}
    really, damaged = RocksDBStore.write, [True]

    def write(store: RocksDBStore, *arguments: Any) -> None:
        if store.folder.name == "store-2" and damaged and arguments[1] > 4:
            damaged.clear()
            raise CorruptStoreError("a block's checksum is wrong")
        really(store, *arguments)

    async def scene() -> dict[int, int]:
        reader = ChangelogReader(Settings.load(kafka=SOON))
        at = dict.fromkeys(log, 0)

        async def getmany(*_: Any, **__: Any) -> dict[TopicPartition, list[Any]]:
            found = {tp: log[tp][at[tp] : at[tp] + 3] for tp in log if at[tp] < 9}
            at.update({tp: at[tp] + 3 for tp in found})
            return found

        async def seek_to_beginning(tp: TopicPartition) -> None:
            at[tp] = 0

        monkeypatch.setattr(reader._reader.fetcher, "getmany", getmany)
        monkeypatch.setattr(reader._reader.consumer, "seek_to_beginning", seek_to_beginning)
        monkeypatch.setattr(RocksDBStore, "write", write)
        reader._stores = {tp: open_store(tmp_path / f"store-{tp.partition}") for tp in log}
        while any(place < 9 for place in at.values()):
            await reader.read()
        found = {tp.partition: sum(1 for _ in store.scan(b"s", b"t")) for tp, store in reader._stores.items()}
        for store in reader._stores.values():
            store.close()
        await reader.stop()
        return found

    assert asyncio.run(asyncio.wait_for(scene(), 120)) == {1: 9, 2: 9}
    assert not damaged
