"""A worker whose own disk is really full, or gives back other bytes than it was given."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from schemas import events as ev
from simulator.runs import simulate
from tests.support.small_disk import mounted
from tests.support.worker_cluster import TIMEOUT, WorkerCluster


def test_a_worker_on_a_full_disk_keeps_stores_and_continues(workers: WorkerCluster, tmp_path: Path) -> None:
    events = list(simulate(accounts=60, days=20, seed=2, start=date(2026, 1, 5), close_every=4))
    half = max(n for n, e in enumerate(events) if isinstance(e, ev.DayClosed) and e.business_date.day == 12) + 1
    with mounted(tmp_path / "small") as disk:
        data = disk.path / "data"
        workers.start(data_dir=str(data))
        workers.publish(events[:half])
        workers.wait_until_idle()
        assert workers.stop() == 0
        rows = {file.relative_to(data): file.read_bytes() for file in data.rglob("*.sst")}
        assert rows
        # Room for the lock, for a few files of RocksDB, and for none of its records.
        for left in (0, 20_000, 200_000):
            disk.fill(left)
            workers.publish([])
            worker = workers.start(data_dir=str(data))
            if left < 200_000:
                assert worker.wait(TIMEOUT) == 1
                told = workers.log().strip().splitlines()[-1]
                assert "is full" in told
                assert "Make room" in told
                del workers.processes["one"]
            else:
                workers.wait(lambda: workers.log_lines("tasks_open") != [], "tasks")
                workers.kill()
            disk.free()
        assert workers.log_lines("store_rebuilt") == []
        assert rows.items() <= {file.relative_to(data): file.read_bytes() for file in data.rglob("*.sst")}.items()
        workers.start(data_dir=str(data))
        workers.publish(events[half:])
        workers.wait_until_idle()
        workers.assert_exact(events)
        assert workers.log_lines("store_rebuilt") == []
        assert workers.stop() == 0


def test_damage_that_shows_at_work_is_mended_by_the_next_start(workers: WorkerCluster) -> None:
    events = list(simulate(accounts=300, days=40, seed=2, start=date(2026, 1, 5), close_every=4))
    half = max(n for n, e in enumerate(events) if isinstance(e, ev.DayClosed) and e.business_date.month == 1) + 1
    workers.start()
    workers.publish(events[:half])
    workers.wait_until_idle()
    assert workers.stop() == 0
    hurt = 0
    for file in workers.data_dir().rglob("*.sst"):
        content = bytearray(file.read_bytes())
        # Blocks of rows, not what an opening looks at: the table's end.
        for place in range(1000, len(content) * 2 // 3, 4096):
            content[place] ^= 0x55
            hurt += 1
        file.write_bytes(content)
    assert hurt
    workers.publish(events[half:])
    starts = 0
    # Three partitions of three agents: each store is found damaged once at most.
    while starts < 10:
        starts += 1
        worker = workers.start()
        workers.wait(lambda w=worker: w.poll() is not None or _settled(workers), "an end or the work")  # type: ignore[misc]
        if worker.poll() is None:
            break
        told = workers.log().strip().splitlines()[-1]
        assert "is damaged" in told, told
        assert "made anew from its changelog at the next start" in told
        del workers.processes["one"]
    assert 1 < starts < 10
    workers.wait_until_idle()
    workers.assert_exact(events)
    assert {line["cause"] for line in workers.log_lines("store_rebuilt")} == {"corrupt"}


def _settled(workers: WorkerCluster) -> bool:
    try:
        workers.wait_until_idle(patience=2)
    except AssertionError:
        return False
    return True
