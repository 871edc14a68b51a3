"""A data directory of release 0.1.0 is read and continued.

`tests/data/data_directory_0.1.0.tar.xz` holds a directory that the code of 4058f05 wrote: two payments wait for their
accounts, one record is a dead letter, a change of policy has come and takes effect later. Beside it stand the events
that made it, and those that follow (`history.jsonl`, from the line in `cut` on).
"""

from __future__ import annotations

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from schemas import events as ev
from schemas.jsonlines import from_line
from state.borrower import BorrowerState
from state.policy_packs.loader import default_book
from streams.local.letters import letters
from streams.local.runtime import LocalRuntime


@pytest.fixture
def old(tmp_path: Path, repository: Path) -> Path:
    """Return a folder with the old data directory and its history."""
    with tarfile.open(repository / "tests" / "data" / "data_directory_0.1.0.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def stored(data: Path) -> tuple[int, str, int]:
    """Return how far a directory is processed, the closed day, and how many records wait."""
    with closing(sqlite3.connect(data / "reprieve.db")) as db:
        meta = dict(db.execute("SELECT name, value FROM meta"))
        return int(meta["done"]), meta["closed_through"], db.execute("SELECT COUNT(*) FROM parked").fetchone()[0]


def without_limit(state: object) -> object:
    """Return a state without the limit of an offer that is over, which earlier releases left until the next offer."""
    if isinstance(state, BorrowerState) and state.offer is not None and state.offer.end:
        return replace(state, offer=replace(state.offer, affordability_limit=0))
    return state


def test_a_directory_of_an_earlier_release_goes_on_where_it_was(old: Path, tmp_path: Path) -> None:
    history = [from_line(line) for line in (old / "history.jsonl").read_bytes().splitlines()]
    cut = int((old / "cut").read_text("utf-8"))
    done, closed, parked = stored(old / "data")
    assert (closed, parked) == ("2026-04-10", 2)
    with LocalRuntime.open(tmp_path / "new", default_book()) as runtime:
        runtime.publish_raw("payments", b"A", b"\xffnothing", (), 1)
        runtime.feed(history[:cut])
        wanted = runtime.feed(history[cut:])
        states = {
            (name, key): runtime.state(name, key) for name in ("account", "planner") for key in runtime.keys(name)
        }
        model = runtime.keys("learner")
    with LocalRuntime.open(old / "data", default_book()) as runtime:
        assert runtime.run().read == 0
        assert [x.letter.code for x in letters(runtime)] == ["unreadable"]
        said = runtime.feed(history[cut:])
        assert said == wanted
        assert {key: without_limit(runtime.state(*key)) for key in states} == {
            key: without_limit(state) for key, state in states.items()
        }
        assert runtime.keys("learner") == model
        # The account that was opened late has the payment that waited for it; the other one was waited for in vain.
        paid = [event for _, event in runtime.history("account", "LATE-1") if isinstance(event, ev.PaymentReceived)]
        assert [event.payment_id for event in paid] == ["EARLY1"]
        assert [x.letter.code for x in letters(runtime)] == ["unreadable", "unknown_account"]
    assert stored(old / "data")[0] > done
    assert stored(old / "data")[2] == 0
    assert {type(event) for event in said} >= {ev.OfferPublished, ev.DeadLetter, ev.ModelUpdated}
