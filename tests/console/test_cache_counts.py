"""The console's file of a Kafka deployment counts what was received by its facts."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path

from console.cache import Cache
from schemas import events as ev
from schemas.codec import Codec
from simulator.runs import simulate
from streams.engine.output import Record
from streams.engine.stored_facts import encode_fact
from streams.kafka.changelog_format import FACT
from streams.state_rows import fact_id
from tests.support.in_memory_cluster import InputRecord


def test_a_fact_that_waits_for_its_day_is_counted_too(tmp_path: Path) -> None:
    opened = [e for e in simulate(accounts=2, days=1, seed=1) if isinstance(e, ev.AccountOpened)]
    days = (0, date(2026, 1, 9).toordinal())
    rows: list[Record] = [
        InputRecord("account-changelog", n, FACT + fact_id(e.account_id, "opened").encode(), encode_fact(e, day))
        for n, (e, day) in enumerate(zip(opened, days, strict=False))
    ]
    with closing(Cache(tmp_path, "test", 1, Codec())) as cache:
        cache.write({("account-changelog", 0): ("account", rows)}, {})
        found = [Codec().decode(value) for (value,) in cache.db.execute("SELECT value FROM log ORDER BY position")]
    assert found == opened[:2]
    assert len(found) == 2
