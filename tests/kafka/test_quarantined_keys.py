"""On real Kafka: an account on which its agent always fails, across closes, a crash, another worker and its release."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import date

from click.testing import CliRunner

from schemas import events as ev
from simulator.runs import simulate
from streams.cli import cli
from streams.cli.quarantine import rows_on_kafka
from tests.support.worker_cluster import WorkerCluster, expected_outputs


def account_of_no_trouble(events: Sequence[ev.Event], outputs: Sequence[ev.Event]) -> str:
    """Return the first account that pays and of whose borrower nothing is published: what comes late is late there."""
    told = {getattr(e, "borrower_id", "") for e in outputs}
    opened = {e.account_id for e in events if isinstance(e, ev.AccountOpened) and e.borrower_id not in told}
    return next(e.account_id for e in events if isinstance(e, ev.PaymentReceived) and e.account_id in opened)


def test_a_key_that_always_fails_stops_nothing_else(workers: WorkerCluster) -> None:
    simulated = simulate(accounts=60, days=36, seed=11, start=date(2026, 1, 5))
    # Few closes, since each costs time.
    events = [e for e in simulated if not isinstance(e, ev.DayClosed) or e.business_date.day % 4 == 0]
    account = account_of_no_trouble(events, expected_outputs(events))
    paid = next(n for n, e in enumerate(events) if isinstance(e, ev.PaymentReceived) and e.account_id == account)
    cut = next(n for n, e in enumerate(events) if n > paid and isinstance(e, ev.DayClosed)) + 1
    sound, workers.program = workers.program, ("-m", "tests.support.programs.faulty_agent", account)
    workers.publish(events[:cut])
    workers.start()
    workers.wait_until_idle()
    workers.assert_running()
    workers.kill()
    workers.start()
    workers.publish(events[cut:])
    workers.wait_until_idle()
    workers.assert_running()

    config = str(workers.folder / "one.toml")
    listed = CliRunner().invoke(cli, ["quarantine", "list", "--kafka", "--config", config, "--json"])
    assert listed.exit_code == 0, listed.output
    shown = json.loads(listed.stdout)
    assert (shown["agent"], shown["key"]) == ("account", account)
    assert shown["days"] >= 2
    assert shown["place"].startswith(f"{workers.prefix}payments/")
    asked = CliRunner().invoke(cli, ["quarantine", "show", account, "--kafka", "--config", config])
    assert asked.exit_code == 0, asked.output
    release = ["quarantine", "release", account, "--kafka", "--config", config]

    # The bug is still there.
    assert CliRunner().invoke(cli, release).exit_code == 0
    workers.wait_until_idle()
    assert any(asyncio.run(rows_on_kafka(workers.settings())))
    # It is mended, and another worker has the partition, with nothing but the changelog.
    workers.kill()
    workers.program = sound
    workers.start("two")
    assert CliRunner().invoke(cli, release).exit_code == 0
    assert CliRunner().invoke(cli, release).exit_code in (0, 2)
    workers.wait_until_idle()
    assert not any(asyncio.run(rows_on_kafka(workers.settings())))
    workers.assert_exact(events, Counter(quarantined=2))
