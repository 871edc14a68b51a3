"""A borrower in quarantine keeps no right to erasure waiting: what is personal goes at once, and stays gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import msgpack
from msgspec.structs import replace

from agents.planner.agent import PlannerAgent
from agents.planner.erasure import scrubbed
from schemas import events as ev
from schemas.codec import Codec
from simulator.runs import simulate
from state.borrower import BorrowerState
from state.policy_packs.loader import default_book
from streams.cli import cli
from streams.cli.key_usage import WAITING
from streams.engine.quarantine import sealed_values
from streams.local.runtime import LocalRuntime
from streams.security.key_file import read_entries, rotate
from streams.security.vault import wrapped_of
from streams.security.vault_factory import FILE
from tests.privacy.test_at_rest import closing_of
from tests.streams.test_quarantine import failing
from tests.support.canaries import COMMENT, RECORDING, erasure, granted, report, seen, shapes, withdrawn

FORMS = shapes()
DAY = date(2026, 1, 5)
WHO = "B1"


def held(runtime: LocalRuntime) -> bytes:
    """Return all that waits, in the clear."""
    return msgpack.encode([item for item, _ in runtime._task.quarantine.items("planner", WHO)])


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("reprieve.db*"))


def keys(runtime: LocalRuntime) -> list[bytes]:
    """Return the wrapped data keys of all that waits."""
    return [wrapped_of(value, b"") for value in sealed_values(runtime.quarantine_rows())]


def release() -> ev.QuarantineReleased:
    return ev.QuarantineReleased(
        event_id="release", occurred_at=closing_of(DAY).occurred_at, source="test", agent="planner", key=WHO, actor="op"
    )


def borrower(runtime: LocalRuntime) -> BorrowerState:
    state = runtime.state("planner", WHO)
    assert isinstance(state, BorrowerState)
    return state


BEFORE = [granted(WHO, DAY), report(WHO, DAY), closing_of(DAY)]
# On the first of these the agent fails; the last is of before the erasure, and comes behind it.
SINCE = [report(WHO, DAY, "again"), report(WHO, DAY, "more"), closing_of(DAY + timedelta(days=1))]
LATE = [report(WHO, DAY, "late")]


@pytest.mark.parametrize("ends", [erasure, withdrawn], ids=["erasure", "withdrawal"])
def test_what_is_personal_goes_though_its_key_is_held(tmp_path: Path, ends: Callable[[str, date], ev.Event]) -> None:
    ended = ends(WHO, DAY + timedelta(days=1))
    with (
        failing(PlannerAgent, WHO, lambda e: getattr(e, "event_id", "").startswith("again")),
        LocalRuntime.open(tmp_path, default_book()) as runtime,
    ):
        runtime.feed([*BEFORE, *SINCE])
        assert list(runtime.quarantined) == [("planner", WHO)]
        assert seen(held(runtime), FORMS)
        assert borrower(runtime).readings
        before = keys(runtime)
        assert all(key in files(tmp_path) for key in before)
        said = runtime.feed([ended])
        assert [type(e) for e in said] == ([ev.PersonalDataErased] if ends is erasure else [])
        assert borrower(runtime).readings == ()
        runtime.feed([*LATE, closing_of(DAY + timedelta(days=2))])
        assert list(runtime.quarantined) == [("planner", WHO)]
        assert not seen(held(runtime), FORMS)
        assert not seen(msgpack.encode(runtime.history("planner", WHO)), FORMS)
        assert not any(key in files(tmp_path) for key in before[:2])
    with LocalRuntime.open(tmp_path, default_book()) as runtime, LocalRuntime.open(None, default_book()) as sound:
        runtime.feed([release()])
        assert not runtime.quarantined
        # It comes to what a run without the bug has in which the end came before what waited.
        sound.feed([*BEFORE, ended, *SINCE, *LATE, closing_of(DAY + timedelta(days=2))])
        assert borrower(runtime) == borrower(sound)
        assert runtime.history("planner", WHO) == sound.history("planner", WHO)
        assert not seen(msgpack.encode(runtime.history("planner", WHO)), FORMS)


@pytest.mark.parametrize("opening", [False, True])
def test_an_erasure_on_which_the_agent_fails_waits(tmp_path: Path, opening: bool) -> None:
    ended = erasure(WHO, DAY + timedelta(days=1))
    with (
        failing(PlannerAgent, WHO, lambda e: isinstance(e, ev.ErasureRequested | ev.ProfileReported)),
        LocalRuntime.open(tmp_path, default_book()) as runtime,
    ):
        runtime.feed([*BEFORE[: 0 if opening else 1], *SINCE, ended, *LATE])
        assert list(runtime.quarantined) == [("planner", WHO)]
        assert seen(held(runtime), FORMS)
        waiting = [item.record.value for item, _ in runtime._task.quarantine.items("planner", WHO)]
        assert Codec().encode(ended) in waiting
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        # Once it is mended, another request is carried out at once.
        (said,) = runtime.feed([replace(ended, event_id="once-more")])
        assert isinstance(said, ev.PersonalDataErased)
        assert not seen(held(runtime), FORMS)
        runtime.feed([release()])
        assert borrower(runtime).readings == ()
        assert not seen(msgpack.encode(runtime.history("planner", WHO)), FORMS)


def test_an_acceptance_that_waits_is_answered_behind_an_erasure(tmp_path: Path) -> None:
    events = list(simulate(accounts=40, days=120, seed=11, start=DAY))
    at, accepted = next(
        (n, e) for n, e in enumerate(events) if isinstance(e, ev.OfferAnswered) and e.answer == "accepted"
    )
    who = accepted.borrower_id
    end = next(n for n in range(at, len(events)) if isinstance(events[n], ev.DayClosed)) + 1
    answer = replace(accepted, comment=COMMENT, recording_ref=RECORDING, channel="hotline")
    before, since = events[:at], [answer, *events[at + 1 : end]]
    ended = replace(erasure(who, DAY), occurred_at=events[end - 1].occurred_at)
    with (
        failing(PlannerAgent, who, lambda e: getattr(e, "answer", "") == "accepted"),
        LocalRuntime.open(tmp_path, default_book()) as runtime,
    ):
        runtime.feed([*before, *since, ended])
        waiting = [item.record.value or b"" for item, _ in runtime._task.quarantine.items("planner", who)]
        (kept,) = [e for e in map(Codec().decode, waiting) if isinstance(e, ev.OfferAnswered)]
        # Whether its recording is needed is decided with the agreement.
        assert kept == scrubbed(answer, recording=True)
    with LocalRuntime.open(tmp_path, default_book()) as runtime, LocalRuntime.open(None, default_book()) as sound:
        said = runtime.feed([replace(release(), key=who)])
        sound.feed([*before, ended])
        wanted = sound.feed(since)
        # As one that comes in behind an erasure: the offer was withdrawn by it, and another one is made.
        made = [e for e in wanted if isinstance(e, ev.OfferPublished) and e.borrower_id == who]
        assert made
        assert [e for e in said if isinstance(e, ev.OfferPublished) and e.borrower_id == who] == made
        assert runtime.state("planner", who) == sound.state("planner", who)


def test_a_new_master_key_wraps_what_waits_and_the_old_one_goes(tmp_path: Path) -> None:
    file = tmp_path / FILE

    def usage(*arguments: str) -> str:
        found = CliRunner().invoke(cli, ["keys", arguments[0], str(file), *arguments[1:], "--data", str(tmp_path)])
        return f"{found.output}{found.exception or ''}"

    # The borrower's first event fails: nothing but what waits has anything of theirs.
    with (
        failing(PlannerAgent, WHO, lambda e: True),
        LocalRuntime.open(tmp_path, default_book()) as runtime,
    ):
        runtime.feed([*BEFORE, *SINCE])
        assert runtime.keys("planner") == []
    first, second = read_entries(file)[0].id, rotate(file)
    assert f"6 {WAITING}" in usage("list").splitlines()[0]
    assert f"still ask for {first}" in usage("drop", first)
    with LocalRuntime.open(tmp_path, default_book()):
        # It is the start that wraps.
        pass
    assert f"6 {WAITING}" in usage("list").splitlines()[1]
    assert f"no longer has {first}" in usage("drop", first)
    assert f"still ask for {second}" in usage("drop", second)
    with LocalRuntime.open(tmp_path, default_book()) as runtime, LocalRuntime.open(None, default_book()) as sound:
        runtime.feed([release()])
        sound.feed([*BEFORE, *SINCE])
        assert borrower(runtime) == borrower(sound)
