"""A process that delivers, or takes in, killed with `kill -9` at random points: nothing lost, nothing twice by id."""

from __future__ import annotations

import json
import random
import threading
import time
from datetime import timedelta
from pathlib import Path

import msgspec
import requests
from click.testing import CliRunner

from schemas import events as ev
from schemas.openapi import TOLD
from simulator.runs import simulate
from streams.cli import cli
from streams.cli.common import book_named
from streams.local.runtime import LocalRuntime
from tests.support.webhook_processes import Endpoint, Process, config, wait
from tests.support.webhook_receivers import AT, SECRETS, granted, partner
from tests.support.webhook_senders import SENDING, education, headers

QUICK = {"retry_first_seconds": 0.05, "retry_most_seconds": 0.3, "answer_seconds": 2}
EVENTS = sorted(set(TOLD) - {"ErasureRequested", "ConsentWithdrawn"})


def test_deliveries_survive_kills_at_random_points(tmp_path: Path) -> None:
    history = list(simulate(accounts=150, days=120, seed=11))
    borrowers = sorted({e.borrower_id for e in history if isinstance(e, ev.AccountOpened)})
    consenting = set(borrowers[::2])
    before = AT - timedelta(days=300)
    with LocalRuntime.open(tmp_path / "data", book_named(None)) as runtime:
        runtime.publish(granted(b, "partner:shop", before) for b in sorted(consenting))
        runtime.publish(history)
        runtime.run()
        said = [e for topic in ("offers", "plans") for _, e in runtime.outputs(topic)]
    owner = {e.account_id: e.borrower_id for e in history if isinstance(e, ev.AccountOpened)}
    of = {e.event_id: getattr(e, "borrower_id", None) or owner[e.account_id] for e in said}  # type: ignore[attr-defined]
    wanted = {e.event_id for e in said if type(e).__name__ in EVENTS and of[e.event_id] in consenting}
    assert len(wanted) > 50
    endpoint, chance = Endpoint(SECRETS[0], seed=3), random.Random(5)
    with endpoint.served() as url:
        roster = tmp_path / "partners.yaml"
        roster.write_bytes(msgspec.json.encode({"partners": [partner("shop", url, events=EVENTS)]}))
        settings = config(
            tmp_path / "reprieve.toml",
            webhooks={"partners_file": str(roster), "data_dir": str(tmp_path / "out"), **QUICK},
            worker={"log_format": "json"},
        )
        arguments = ["webhooks", "run", "--config", str(settings), "--data", str(tmp_path / "data")]
        process = Process(tmp_path / "log", arguments, {"PARTNER_SECRET": SECRETS[0]})
        for kill in range(3):
            process.start()
            # Early in its life, or in the middle of its deliveries.
            enough = len(endpoint.calls) + chance.randrange(1, len(wanted) // 4)
            wait(lambda enough=enough: len(endpoint.calls) >= enough, f"call {enough}", process)  # type: ignore[misc]
            time.sleep(chance.random() * 0.05)
            process.kill()
            assert kill == 2 or set(endpoint.answered) != wanted, "killed too late to show anything"
        process.start()
        wait(lambda: set(endpoint.answered) >= wanted, "all deliveries", process)
        listing = ["webhooks", "list", "--config", str(settings), "--json"]
        wait(lambda: json.loads(CliRunner().invoke(cli, listing).output)["deliveries"] == [], "their outcome", process)
        assert process.end() == 0
    assert endpoint.faults == []
    assert set(endpoint.calls) == wanted
    first = list(dict.fromkeys(endpoint.answered))
    for borrower in consenting:
        # In the order in which it was said: the outputs of one topic are in it, and those of one day are not many.
        own = [name for name in first if of[name] == borrower]
        days = {e.event_id: e.occurred_at for e in said}
        assert [days[name] for name in own] == sorted(days[name] for name in own)


def test_events_that_come_in_survive_kills_at_random_points(tmp_path: Path) -> None:
    roster = tmp_path / "partners.yaml"
    roster.write_bytes(msgspec.json.encode(SENDING))
    settings = config(tmp_path / "reprieve.toml", intake={"partners_file": str(roster), "port": 0})
    arguments = ["intake", "--config", str(settings), "--data", str(tmp_path / "data")]
    secrets = {"EMPLOYER_SECRET": SECRETS[0], "EMPLOYER_NEXT_SECRET": SECRETS[1], "HOTLINE_SECRET": SECRETS[2]}
    process, chance = Process(tmp_path / "log", arguments, secrets), random.Random(7)
    address, sent, deaths = "", 0, 0
    numbers = iter(range(10_000))
    number = next(numbers)
    while sent < 120 or deaths < 3:
        if not address:
            process.start()
            lines = len(process.said().splitlines())
            wait(lambda seen=lines: "taking events" in "".join(process.said().splitlines()[seen:]), "it", process)  # type: ignore[misc]
            address = process.said().splitlines()[-1].split(" at ")[1].split(";")[0]
            left = chance.randrange(5, 40)
        body = json.dumps(
            [education(number, borrower_id=f"B{number % 7}", item_id=f"i{number}", occurred_at="2026-03-01T09:00:00Z")]
        ).encode()
        try:
            if left == 0 and deaths < 3:
                # While the next message is on its way, or has been written, or has been answered.
                threading.Timer(chance.random() * 0.02, process.kill).start()
            got = requests.post(
                address,
                params={"source": "employer"},
                data=body,
                headers=headers(SECRETS[0], body, f"m-{number}"),
                timeout=120,
            )
        except requests.ConnectionError:
            # Nobody knows whether it was taken: it is sent again.
            address, deaths = "", deaths + 1
            continue
        left -= 1
        if got.status_code == 202:
            sent, number = sent + 1, next(numbers)
    process.kill()
    with LocalRuntime.open(tmp_path / "data", book_named(None)) as runtime:
        known = [e for b in range(7) for _, e in runtime.history("planner", f"B{b}")]
        assert sorted(e.event_id for e in known) == sorted(f"employer:study-{n}" for n in range(sent))
        assert list(runtime.outputs("dead-letters")) == []
