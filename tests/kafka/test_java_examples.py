"""The worked examples in Java: a payment system whose file counts once, a notification service that tells once."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from deploy.local.jars import fetched, jars_in, java
from schemas import events as ev
from schemas.codec import Codec
from simulator.runs import simulate
from streams.registry import ConfluentRegistry, register_all
from streams.settings import RegistrySettings
from tests.support.registry_server import RegistryServer
from tests.support.worker_cluster import WorkerCluster

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "java"
START = date(2026, 1, 5)
Run = Callable[..., str]


@pytest.fixture(scope="module")
def classes(kafka_parts: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Compile the examples as their pom says, and return their class path."""
    compiler = shutil.which("javac")
    if compiler is None:
        pytest.skip("javac is not here")
    jars, made = (
        jars_in(fetched(EXAMPLE / "pom.xml", "the Java examples' libraries")),
        tmp_path_factory.mktemp("classes"),
    )
    sources = sorted((EXAMPLE / "src").rglob("*.java"))
    options = ["-Xlint:all", "-Werror", "-proc:none", "--release", "17", "-cp", jars, "-d", str(made)]
    subprocess.run([compiler, *options, *map(str, sources)], check=True, timeout=120)
    return os.pathsep.join((str(made), jars))


@pytest.fixture
def registry(request: pytest.FixtureRequest, workers: WorkerCluster, tmp_path: Path) -> Iterator[str | None]:
    """Yield the address of a registry with our schemas where the test asks for one, which the workers uses then."""
    if not request.param:
        yield None
        return
    with RegistryServer(tmp_path / "registry") as server:
        workers.registry = server.url
        register_all(workers.settings())
        with closing(ConfluentRegistry(RegistrySettings(url=server.url))) as client:
            workers.codec = Codec(client)
            yield server.url


@pytest.fixture
def run(classes: str, workers: WorkerCluster, registry: str | None) -> Run:
    """Return how to run a program of the examples to its end; it returns what the program printed."""

    def run(program: str, **options: object) -> str:
        given = {"bootstrap": workers.bootstrap, "prefix": workers.prefix, "contracts": ROOT / "docs" / "asyncapi.yaml"}
        given |= options | ({} if registry is None else {"registry": registry})
        flat = [str(part) for name, value in given.items() for part in (f"--{name}", value)]
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        command = [java(), quiet, "-cp", classes, f"example.{program}", *flat]
        return subprocess.run(command, check=True, timeout=240, capture_output=True, text=True).stdout

    return run


def opened() -> ev.AccountOpened:
    """Return a loan of three instalments."""
    return ev.AccountOpened(
        event_id="open",
        occurred_at=datetime.combine(START, time(9), UTC),
        source="loans",
        account_id="J1",
        borrower_id="JB1",
        product="loan",
        jurisdiction="CN",
        currency="CNY",
        opened_on=START,
        annual_rate_bps=0,
        principal=30_000,
        instalments=tuple(
            ev.Instalment(number=n, due_on=START + timedelta(days=30 * n), principal=10_000, interest=0, fees=0)
            for n in (1, 2, 3)
        ),
    )


def payments() -> list[ev.PaymentReceived]:
    """Return what the payment system makes of its file: one in time, one late."""
    days = {"j1": START + timedelta(days=30), "j2": START + timedelta(days=64)}
    return [
        ev.PaymentReceived(
            # Java's UUID of a name has no namespace.
            event_id=str(UUID(bytes=hashlib.md5(f"payment/{name}".encode()).digest(), version=3)),
            occurred_at=datetime.combine(day, time(10), UTC),
            source="payment-system",
            payment_id=name,
            account_id="J1",
            amount=10_000,
            currency="CNY",
            value_on=day,
            channel="transfer",
        )
        for name, day in days.items()
    ]


def lender() -> list[ev.Event]:
    """Return a small lender whose borrowers answer nothing, and of whose days every tenth is closed by itself."""
    events: list[ev.Event] = []
    for event in simulate(accounts=40, days=100, seed=11, start=START):
        if isinstance(event, ev.DayClosed) and (event.business_date - START).days % 10 != 9:
            continue
        if not isinstance(event, ev.OfferAnswered):
            events.append(event)
    return events


@pytest.mark.parametrize("registry", [False, True], ids=["single-object", "confluent"], indirect=True)
def test_java_payments_count_once_and_offers_are_told_once(
    registry: str | None, run: Run, workers: WorkerCluster, tmp_path: Path
) -> None:
    file = tmp_path / "payments.csv"
    fields = ("payment_id", "account_id", "amount", "currency", "value_on", "channel")
    file.write_text("\n".join([",".join(fields), *(",".join(str(getattr(p, f)) for f in fields) for p in payments())]))
    workers.start()
    workers.publish([opened()])
    for _ in range(2):
        run("PaymentSystem", file=file)
    rest = lender()
    workers.publish(rest)
    workers.wait_until_idle()
    workers.assert_exact([opened(), *payments(), *rest])

    said = workers.outputs()
    offers = {e.offer_id: e for e in said if isinstance(e, ev.OfferPublished)}
    over = {e.offer_id for e in said if isinstance(e, ev.OfferWithdrawn | ev.OfferExpired)}
    open_ones = sorted(offers.keys() - over)
    assert open_ones
    assert over
    database = tmp_path / "outbox.db"
    contacts = {e.offer_id: e.contact for e in offers.values()}
    for revised in sorted((e for e in said if isinstance(e, ev.ContactRevised)), key=lambda e: e.number):
        contacts[revised.offer_id] = revised.contact
    contact = contacts[open_ones[0]]
    here = {"outbox": f"jdbc:sqlite:{database}", "at": contact.not_before.isoformat().replace("+00:00", "Z")}
    # Ended in the middle of what it had fetched, it goes on behind what was committed with the record.
    assert run("NotificationService", **{**here, "at": "2000-01-01T00:00:00Z", "most": 3}) == ""
    told = run("NotificationService", **here, **{"until-end": "true"})
    expected = {
        offer: offers[offer]
        for offer in open_ones
        if contacts[offer].channels
        and any(w.not_before <= contact.not_before < w.not_after for w in contacts[offer].windows or (contacts[offer],))
    }
    lines = [line.split("\t") for line in told.splitlines()]
    assert sorted(line[0] for line in lines) == sorted(expected)
    for offer, borrower, channels, message in lines:
        wanted = expected[offer]
        assert (borrower, message) == (wanted.borrower_id, wanted.message)
        assert channels.split(",") == list(wanted.contact.channels)
    with closing(sqlite3.connect(database)) as rows:
        states = dict(rows.execute("SELECT offer_id, state FROM offer"))
    assert states == {o: "over" if o in over else "sent" if o in expected else "waiting" for o in offers}
    assert run("NotificationService", **here, **{"until-end": "true"}) == ""
