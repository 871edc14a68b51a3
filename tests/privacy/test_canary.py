"""Marked values go in everywhere, through faults too, and come out nowhere but where they were published to."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from console.read_store import ReadStore
from console.server import ConsoleServer
from schemas import events as ev
from schemas.jsonlines import to_line
from schemas.topics import TOPICS
from simulator.runs import simulate
from state.borrower import BorrowerState
from streams.cli import cli
from streams.views.view import borrower_view
from tests.support.canaries import (
    COMMENT,
    INCOME,
    NAME,
    PHONE,
    RECORDING,
    SHOP,
    answer,
    erasure,
    granted,
    leaks,
    report,
    seen,
    shapes,
)

FORMS = shapes()
PERSONAL = {"profiles", "feedback"}


def history() -> list[ev.Event]:
    """Return half a year, in which all that borrowers say and that is said of them is marked."""
    marked: list[ev.Event] = []
    for event in simulate(accounts=80, days=170, seed=5):
        if isinstance(event, ev.OfferAnswered):
            recording = RECORDING if event.channel == "hotline" else None
            event = replace(event, comment=f"{NAME}, {PHONE}: {COMMENT}", recording_ref=recording)
        marked.append(event)
        if isinstance(event, ev.ProfileReported):
            who, day, name = event.borrower_id, event.as_of, event.event_id[:8]
            marked += [granted(who, day), report(who, day, name), answer(who, day, f"never-{name}", "declined")]
    return marked


def faults(event: ev.ProfileReported, said: ev.OfferAnswered) -> list[bytes]:
    """Return lines that are refused, each with what is personal at the place of the fault."""
    whole, answered = json.loads(to_line(event)), json.loads(to_line(said))
    odd: list[dict[str, object]] = [
        whole | {"monthly_income": str(INCOME)},
        whole | {"monthly_income": -INCOME},
        whole | {"household_size": INCOME},
        whole | {"kind": COMMENT},
        whole | {"spending": {SHOP: COMMENT}},
        whole | {"as_of": PHONE},
        whole | {"currency": NAME},
        whole | {"consent_id": f"{NAME} {PHONE}"},
        answered | {"reasons": [COMMENT]},
        answered | {"channel": NAME},
        answered | {"rating": INCOME},
        answered | {"occurred_at": COMMENT},
    ]
    lines = [json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in odd]
    return [*lines, to_line(event)[:-40] + b"\n", f"{NAME} {PHONE} {INCOME}\n".encode(), NAME.encode("utf-16") + b"\n"]


def program(*args: str) -> subprocess.Popen[bytes]:
    """Start the real program."""
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", *args],
        env={**os.environ, "REPRIEVE_CHUNK": "300"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def said_to(*args: str) -> bytes:
    """Return what the program says to a command."""
    found = CliRunner().invoke(cli, args)
    assert found.exit_code == 0, found.output[-500:]
    return found.output_bytes


def said_so_far(data: Path) -> int:
    """Return how much has been said and committed."""
    try:
        with closing(sqlite3.connect(f"file:{data / 'reprieve.db'}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT COUNT(*) FROM log WHERE inbound = 0").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ev.Event], bytes]:
    """Return a data directory, what was published to it by a program that was killed midway, and what that said."""
    folder, events = tmp_path_factory.mktemp("canary"), history()
    data, file = folder / "data", folder / "inputs" / "events.jsonl"
    file.parent.mkdir()
    first = next(e for e in events if isinstance(e, ev.ProfileReported) and e.monthly_income == INCOME)
    said = next(e for e in events if isinstance(e, ev.OfferAnswered))
    lines = [to_line(event) for event in events]
    half = len(lines) // 2
    file.write_bytes(b"".join([*lines[:half], *faults(first, said), *lines[half:]]))
    process = program("publish", str(file), "--data", str(data))
    while process.poll() is None and said_so_far(data) < 100:
        pass
    process.kill()
    told = process.communicate()[0]
    process = program("publish", str(file), "--data", str(data))
    told += process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert told.count(b"events.jsonl:") >= len(faults(first, said))
    return data, events, told


def test_no_file_and_no_output_of_the_program_holds_a_canary(
    lived: tuple[Path, list[ev.Event], bytes],
) -> None:
    data, _, told = lived
    assert leaks(data, FORMS) == {}
    assert not seen(told, FORMS)


def test_only_topics_that_upstream_publishes_hold_canaries(
    lived: tuple[Path, list[ev.Event], bytes],
) -> None:
    data, _, _ = lived
    for topic in TOPICS:
        found = said_to("consume", topic, "--data", str(data))
        assert bool(seen(found, FORMS)) == (topic in PERSONAL), topic


def test_no_page_and_no_answer_of_the_console_holds_a_mark(lived: tuple[Path, list[ev.Event], bytes]) -> None:
    data, events, _ = lived
    borrowers = sorted({e.borrower_id for e in events if isinstance(e, ev.ProfileReported)})
    accounts = sorted({e.account_id for e in events if isinstance(e, ev.AccountOpened)})
    paths = ["/", "/api/overview", "/api/letters", "/api/learner", "/api/rules", "/api/search?q=B"]
    paths += [f"/api/borrowers/{who}" for who in borrowers] + [f"/api/accounts/{account}" for account in accounts]
    with ConsoleServer(data) as served:
        for path in paths:
            with closing(urllib.request.urlopen(served.url + path)) as answered:
                assert not seen(answered.read(), FORMS), path


def test_no_view_that_goes_to_redis_holds_a_mark(lived: tuple[Path, list[ev.Event], bytes]) -> None:
    data, events, _ = lived
    with closing(ReadStore(data)) as store:
        marked = 0
        for who in {e.borrower_id for e in events if isinstance(e, ev.ProfileReported)}:
            state = store.state("planner", who)
            assert isinstance(state, BorrowerState)
            marked += any(reading.value == INCOME for reading in state.readings)
            assert not seen(repr(borrower_view(state)).encode(), FORMS)
        assert marked


def test_after_erasing_everybody_no_topic_holds_a_canary(
    lived: tuple[Path, list[ev.Event], bytes], tmp_path: Path
) -> None:
    data, events, _ = lived
    borrowers = sorted({e.borrower_id for e in events if isinstance(e, ev.ProfileReported | ev.OfferAnswered)})
    day = max(e.business_date for e in events if isinstance(e, ev.DayClosed))
    file = tmp_path / "erasures.jsonl"
    file.write_bytes(b"".join(to_line(erasure(who, day)) for who in borrowers))
    said_to("publish", str(file), "--data", str(data))
    for args in (["consume", "profiles"], ["consume", "feedback"], ["dead-letters", "list", "--all", "--json"]):
        found = said_to(*args, "--data", str(data))
        assert found
        assert not seen(found, FORMS)
    # Of what was offered the figures stay, and no word of trouble; of how it was decided, that it was.
    for topic in ("offers", "decisions"):
        for line in said_to("consume", topic, "--data", str(data)).splitlines():
            left = json.loads(line)
            if left["type"] == "OfferPublished" and left["occurred_at"][:10] <= day.isoformat():
                assert (left["message"], left["reasons"], left["education"], left["tone"]) == ("", [], [], "neutral")
                assert all(option["reasons"] == [] for option in left["options"])
            if left["type"] == "DecisionLogged" and left["occurred_at"][:10] <= day.isoformat():
                assert (left["reasons"], left["candidates"], left["shown"], left["features_hash"]) == ([], [], [], "")
    for who in borrowers[:5]:
        args = ("borrower", who, "--data", str(data), "--purpose", "subject_access", "--json")
        assert not seen(said_to(*args), FORMS)
