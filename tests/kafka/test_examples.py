"""The worked examples: a payment system that feeds a worker, a notification service that tells each offer once."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from types import ModuleType
from uuid import NAMESPACE_URL, uuid5

import pytest

from schemas import events as ev
from schemas.codec import Codec
from schemas.jsonlines import from_line
from simulator.runs import simulate
from tests.support.worker_cluster import TIMEOUT, WorkerCluster

EXAMPLES = Path(__file__).parents[2] / "examples"
START = date(2026, 1, 5)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Yield the notification service, which finds its contracts beside it as it does when it is run."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import notification_service

    yield notification_service
    for name in ("notification_service", "contracts"):
        sys.modules.pop(name, None)


def test_asyncapi_contracts_read_and_write_what_ours_do(service: ModuleType) -> None:
    from contracts import Contracts  # type: ignore[import-not-found]

    theirs, ours = Contracts(), Codec()
    lines = (EXAMPLES.parent / "schemas" / "examples.jsonl").read_bytes().splitlines()
    for event in map(from_line, lines):
        name, fields = theirs.decode(ours.encode(event))
        assert name == type(event).__name__
        assert ours.decode(theirs.encode(name, fields)) == event


def test_a_payment_system_sends_a_file_twice_and_it_counts_once(workers: WorkerCluster, tmp_path: Path) -> None:
    due = [START + timedelta(days=30 * n) for n in (1, 2, 3)]
    opened = ev.AccountOpened(
        event_id="open",
        occurred_at=datetime.combine(START, time(9), UTC),
        source="loans",
        account_id="A1",
        borrower_id="B1",
        product="loan",
        jurisdiction="CN",
        currency="CNY",
        opened_on=START,
        annual_rate_bps=0,
        principal=30_000,
        instalments=tuple(
            ev.Instalment(number=n, due_on=d, principal=10_000, interest=0, fees=0) for n, d in enumerate(due, 1)
        ),
    )
    paid = [
        ev.PaymentReceived(
            event_id=str(uuid5(NAMESPACE_URL, f"payment/p{n}")),
            occurred_at=datetime.combine(day, time(10), UTC),
            source="payment-system",
            payment_id=f"p{n}",
            account_id="A1",
            amount=10_000,
            currency="CNY",
            value_on=day,
            channel="transfer",
        )
        for n, day in enumerate((due[0], due[1] + timedelta(days=4)))
    ]
    file = tmp_path / "payments.csv"
    with file.open("w", newline="") as rows:
        fields = ("payment_id", "account_id", "amount", "currency", "value_on", "channel")
        writer = csv.DictWriter(rows, fields)
        writer.writeheader()
        writer.writerows({f: getattr(p, f) for f in fields} for p in paid)
    closes = [
        ev.DayClosed(
            event_id=f"close-{n}",
            occurred_at=datetime.combine(START + timedelta(days=n), time(23), UTC),
            source="clock",
            business_date=START + timedelta(days=n),
            calendar="none",
        )
        # Every fourth day, since each close costs time.
        for n in range(3, 100, 4)
    ]
    workers.start()
    workers.publish([opened])
    command = [sys.executable, str(EXAMPLES / "payment_system.py"), str(file)]
    for _ in range(2):
        subprocess.run(
            [*command, "--bootstrap", workers.bootstrap, "--prefix", workers.prefix], check=True, timeout=TIMEOUT
        )
    workers.publish(closes)
    workers.wait_until_idle()
    workers.assert_exact([opened, *paid, *closes])


def test_a_notification_service_tells_each_open_offer_once(
    workers: WorkerCluster, tmp_path: Path, service: ModuleType
) -> None:
    workers.start()
    workers.publish(list(simulate(accounts=150, days=120, seed=11, close_every=5)))
    workers.wait_until_idle()
    said = workers.outputs()
    offers = {e.offer_id: e for e in said if isinstance(e, ev.OfferPublished)}
    over = {e.offer_id for e in said if isinstance(e, ev.OfferWithdrawn | ev.OfferExpired)}
    assert offers
    assert over
    file = str(tmp_path / "outbox.db")
    for most in (1, 2, 4):
        # A crash leaves what was committed; the next one goes on from there.
        service.follow(workers.bootstrap, workers.prefix, service.Outbox(file), most=most)
    outbox = service.Outbox(file)
    service.follow(workers.bootstrap, workers.prefix, outbox, until_end=True)
    rows = dict(outbox.db.execute("SELECT offer_id, state FROM offer"))
    assert rows.keys() == offers.keys()
    contacts = {e.offer_id: e.contact for e in offers.values()}
    for revised in sorted((e for e in said if isinstance(e, ev.ContactRevised)), key=lambda e: e.number):
        contacts[revised.offer_id] = revised.contact
    windows = {offer: contact.windows or (contact,) for offer, contact in contacts.items()}
    noted = set(outbox.db.execute("SELECT offer_id, not_before, not_after FROM hours"))
    assert noted == {
        (offer, w.not_before.isoformat(), w.not_after.isoformat()) for offer, hours in windows.items() for w in hours
    }
    assert {offer for offer, state in rows.items() if state == "over"} == over
    told: list[str] = []
    for offer_id in sorted(offers.keys() - over):
        for w in windows[offer_id]:
            for outside in (w.not_before - timedelta(seconds=1), w.not_after):
                assert offer_id not in {offer for offer, *_ in outbox.due(outside)}
            # What was missed in one window is due in the next.
            assert offer_id in {*told, *(offer for offer, *_ in outbox.due(w.not_before))}
        for due, borrower, message, channels in outbox.due(windows[offer_id][-1].not_before):
            assert (borrower, message) == (offers[due].borrower_id, offers[due].message)
            assert channels == list(contacts[due].channels)
            told.append(due)
            outbox.sent(due)
    assert sorted(told) == sorted(offers.keys() - over)
