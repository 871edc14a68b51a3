"""What a local runtime stores of borrowers is sealed, works as if it were not, and is gone after an erasure."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from agents.planner.erasure import scrubbed
from console.read_store import ReadStore
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import FatalError
from simulator.runs import simulate
from state.borrower import BorrowerState
from state.policy_packs.loader import default_book
from streams.cli import cli
from streams.cli.key_usage import BORROWERS, LETTERS, LOG, WORDS
from streams.engine.agents import all_agents
from streams.local.dead_letters import read_dead_letters, redrive
from streams.local.runtime import LocalRuntime
from streams.local.store import Store
from streams.security.dead_letters import open_dead_letter
from streams.security.key_file import read_entries, rotate
from streams.security.vault import wrapped_of
from streams.security.vault_factory import FILE
from tests.support.canaries import (
    COMMENT,
    INCOME,
    NAME,
    PHONE,
    WORK,
    erasure,
    granted,
    leaks,
    report,
    seen,
    shapes,
    withdrawn,
)

FORMS = shapes()


@cache
def history() -> tuple[ev.Event, ...]:
    """Return half a year of a small population, each of whose borrowers reported what is marked on some day."""
    marked: list[ev.Event] = []
    borrowers: list[str] = []
    for event in simulate(accounts=60, days=150, seed=5):
        marked.append(event)
        if isinstance(event, ev.ProfileReported) and event.borrower_id not in borrowers:
            borrowers.append(event.borrower_id)
            marked += [granted(event.borrower_id, event.as_of), report(event.borrower_id, event.as_of)]
    return tuple(marked)


def borrower() -> str:
    """Return a borrower of whom there are reports and answers."""
    return next(e.borrower_id for e in history() if isinstance(e, ev.OfferAnswered) and e.answer == "accepted")


def last_day() -> date:
    return next(e.business_date for e in reversed(history()) if isinstance(e, ev.DayClosed))


def kept(runtime: LocalRuntime, folder: Path) -> dict[str, object]:
    """Return all states and facts by agent and key, opened."""
    with closing(sqlite3.connect(f"file:{folder / 'reprieve.db'}?mode=ro", uri=True)) as db:
        keys = db.execute("SELECT agent, key FROM state ORDER BY agent, key").fetchall()
    return {f"{a} {k}": (runtime.state(a, k), runtime.history(a, k)) for a, k in keys}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lived") / "data"
    with LocalRuntime.open(folder, default_book()) as runtime:
        runtime.feed(history())
    return folder


@pytest.fixture
def runtime(lived: Path, tmp_path: Path) -> Iterator[LocalRuntime]:
    """Open a copy of the data."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("reprieve.db", FILE):
        (folder / name).write_bytes((lived / name).read_bytes())
    (folder / FILE).chmod(0o600)
    with LocalRuntime.open(folder, default_book()) as made:
        yield made


def test_sealed_rows_decide_as_open_ones_and_hide_the_words(lived: Path, runtime: LocalRuntime) -> None:
    with LocalRuntime.open(None, default_book()) as clear:
        said = clear.feed(history())
        for name, found in kept(runtime, lived).items():
            agent, key = name.split(" ")
            assert found == (clear.state(agent, key), clear.history(agent, key))
    assert said
    assert leaks(lived, FORMS) == {}


def test_the_search_finds_what_is_in_the_clear(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with LocalRuntime(store, all_agents(), default_book()) as clear:
        clear.feed([granted("B1", date(2026, 1, 5)), report("B1", date(2026, 1, 5))])
        found = set().union(*leaks(tmp_path, FORMS).values())
    assert {f"{INCOME} as a varint", f"{INCOME} as MessagePack", f"{WORK} in utf-8"} <= found


def test_rows_of_an_earlier_release_are_sealed_when_rewritten(tmp_path: Path) -> None:
    events = history()
    half = len(events) // 2
    store = Store(tmp_path / "data")
    with LocalRuntime(store, all_agents(), default_book()) as older:
        older.feed(events[:half])
    assert leaks(tmp_path, FORMS) != {}
    with LocalRuntime.open(tmp_path / "data", default_book()) as newer:
        newer.feed(events[half:])
        newer.feed([erasure(borrower(), last_day())])
        found, mine = kept(newer, tmp_path / "data"), newer.state("planner", borrower())
        raw = dict(newer._store.states("planner", [borrower()]))[borrower()]
    with LocalRuntime.open(None, default_book()) as clear:
        clear.feed(events)
        clear.feed([erasure(borrower(), last_day())])
        assert found == {name: (clear.state(*name.split(" ")), clear.history(*name.split(" "))) for name in found}
    assert isinstance(mine, BorrowerState)
    assert raw[:1] == b"\0"


@pytest.mark.parametrize("harm", ["missing", "another"])
def test_without_master_keys_a_data_directory_stays_closed(runtime: LocalRuntime, tmp_path: Path, harm: str) -> None:
    count = len(read_dead_letters(runtime))
    runtime.close()
    path = tmp_path / "data" / FILE
    kept_keys = path.read_bytes()
    path.unlink()
    if harm == "another":
        with LocalRuntime.open(tmp_path / "other", default_book()):
            path.write_bytes((tmp_path / "other" / FILE).read_bytes())
        path.chmod(0o600)
    with (
        pytest.raises(FatalError, match=r"[Pp]ut .* back"),
        LocalRuntime.open(tmp_path / "data", default_book()) as opened,
    ):
        opened.feed([report(borrower(), last_day(), "more")])
    path.write_bytes(kept_keys)
    path.chmod(0o600)
    with LocalRuntime.open(tmp_path / "data", default_book()) as opened:
        # What came in before the keys were gone is decided on now.
        opened.run()
        assert len(read_dead_letters(opened)) == count


def test_an_erasure_leaves_no_data_and_no_data_key_in_any_file(runtime: LocalRuntime, tmp_path: Path) -> None:
    folder, who = tmp_path / "data", borrower()
    before = {name: dict(runtime._store.states("planner", [name]))[name] for name in (who, other(runtime))}
    keys = {name: wrapped_of(value, b"") for name, value in before.items()}
    assert all(any(key in p.read_bytes() for p in folder.glob("reprieve.db*")) for key in keys.values())
    runtime.publish_raw("profiles", who.encode(), f"{NAME} {PHONE}".encode(), [("x", COMMENT.encode())])
    runtime.run()
    letter = read_dead_letters(runtime)[-1].letter
    assert open_dead_letter(letter, runtime.vault).value == f"{NAME} {PHONE}".encode()

    said = runtime.feed([erasure(who, last_day())])
    (proof,) = [e for e in said if isinstance(e, ev.PersonalDataErased)]
    assert proof.borrower_id == who
    raw = b"".join(path.read_bytes() for path in sorted(folder.glob("reprieve.db*")))
    assert keys[who] not in raw, "the wrapped data key can still be read"
    assert before[who] not in raw
    # Others are as they were.
    assert keys[other(runtime)] in raw
    # What the log has of him opens, and is empty.
    for topic in ("profiles", "feedback"):
        for row in runtime._store.of_topic(topic):
            if row[3] == who.encode():
                assert not seen(repr(row).encode() + (row[4] or b""), FORMS)
    gone = next(x for x in read_dead_letters(runtime) if x.letter.event_id == letter.event_id)
    assert gone.resolved
    assert open_dead_letter(gone.letter, runtime.vault).value is None

    # Whatever is sent again resurrects nothing.
    again = [e for e in history() if getattr(e, "borrower_id", None) == who]
    runtime.feed([*again, report(who, last_day() - timedelta(days=1), "late")])
    state = runtime.state("planner", who)
    assert isinstance(state, BorrowerState)
    assert (state.readings, state.consents) == ((), ())
    assert not seen(msgspec.msgpack.encode([f for _, f in runtime.history("planner", who)]), FORMS)


def test_after_a_withdrawal_no_file_holds_what_was_reported(tmp_path: Path) -> None:
    day, later = date(2026, 1, 5), date(2026, 1, 20)
    store = Store(tmp_path)
    with LocalRuntime(store, all_agents(), default_book()) as clear:
        wrong = replace(report("B1", day, "wrong"), as_of=later)
        clear.feed([granted("B1", day), report("B1", day), wrong, granted("B2", day)])
        assert [x.letter.code for x in read_dead_letters(clear)] == ["out_of_range"]
        assert set().union(*leaks(tmp_path, FORMS).values()) >= {f"{INCOME} as a varint", f"{WORK} in utf-8"}
        clear.feed([withdrawn("B1", day)])
        assert leaks(tmp_path, FORMS) == {}
        # What is sent again or comes in late is emptied as it comes, and what is refused of it too.
        clear.feed([report("B1", day), report("B1", day, "late"), replace(wrong, event_id="again")])
        assert leaks(tmp_path, FORMS) == {}
        assert all(x.resolved for x in read_dead_letters(clear) if x.letter.code == "out_of_range")
        # What is reported later under a consent that is given anew stays.
        again = replace(granted("B1", later), event_id="anew")
        clear.feed([again, report("B1", later, "new")])
        assert leaks(tmp_path, FORMS)
        state = clear.state("planner", "B1")
        assert isinstance(state, BorrowerState)
        assert INCOME in {reading.value for reading in state.readings}


def test_reports_without_a_consent_leave_every_file_at_a_close(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with LocalRuntime(store, all_agents(), default_book()) as clear:
        clear.feed([report("B1", date(2026, 1, 5)), closing_of(date(2026, 1, 11))])
        assert leaks(tmp_path, FORMS)
        clear.feed([closing_of(date(2026, 1, 12))])
        assert leaks(tmp_path, FORMS) == {}


def test_a_withdrawal_destroys_only_the_data_key_of_reports(runtime: LocalRuntime, tmp_path: Path) -> None:
    folder, who = tmp_path / "data", borrower()
    before = {name: dict(runtime._store.states("planner", [name]))[name] for name in (who, other(runtime))}
    keys = {name: wrapped_of(value, b"") for name, value in before.items()}
    answers = [e for _, e in runtime.outputs("feedback") if isinstance(e, ev.OfferAnswered) and e.borrower_id == who]
    reports = [e for _, e in runtime.outputs("profiles") if isinstance(e, ev.ProfileReported) and e.borrower_id == who]
    marked = [e for e in reports if e.consent_id == f"consent-{who}"]
    assert marked
    runtime.feed([withdrawn(who, last_day())])
    raw = b"".join(path.read_bytes() for path in sorted(folder.glob("reprieve.db*")))
    assert keys[who] not in raw, "the wrapped data key can still be read"
    assert keys[other(runtime)] in raw
    state = runtime.state("planner", who)
    assert isinstance(state, BorrowerState)
    assert f"consent-{who}" not in {reading.consent_id for reading in state.readings}
    assert not seen(msgspec.msgpack.encode([f for _, f in runtime.history("planner", who)]), FORMS)
    after = [e for _, e in runtime.outputs("profiles") if isinstance(e, ev.ProfileReported) and e.borrower_id == who]
    assert after == [scrubbed(e) if e in marked else e for e in reports]
    # What he answered was never under that consent.
    assert [e for _, e in runtime.outputs("feedback") if e in answers] == answers


def closing_of(day: date) -> ev.DayClosed:
    """Return the close of a day."""
    return ev.DayClosed(
        event_id=f"close-{day}",
        occurred_at=datetime(day.year, day.month, day.day, 23, tzinfo=UTC),
        source="test",
        business_date=day,
        calendar="none",
    )


def other(runtime: LocalRuntime) -> str:
    """Return another borrower who is sealed."""
    return next(
        e.borrower_id
        for e in history()
        if isinstance(e, ev.ProfileReported)
        and e.borrower_id != borrower()
        and runtime.state("planner", e.borrower_id) is not None
    )


def test_repetitions_after_an_erasure_are_emptied_in_the_log(runtime: LocalRuntime) -> None:
    name, day = borrower(), last_day() + timedelta(days=1)
    personal = [e for e in history() if isinstance(e, ev.ProfileReported | ev.OfferAnswered) and e.borrower_id == name]
    late = [msgspec.structs.replace(e, event_id=f"late-{n}") for n, e in enumerate(personal)]
    answers = [
        msgspec.structs.replace(e, feedback_id=e.event_id, comment=COMMENT)
        for e in late
        if isinstance(e, ev.OfferAnswered)
    ]
    runtime.feed([erasure(name, day)])
    runtime.feed([*personal, *late])
    runtime.feed(answers)
    left = [e for topic in ("profiles", "feedback") for _, e in runtime.outputs(topic) if e.borrower_id == name]  # type: ignore[attr-defined]
    assert len(left) > len(personal)
    assert [scrubbed(e) for e in left] == left


def test_an_erasure_during_a_read_completes_after_it(runtime: LocalRuntime, tmp_path: Path) -> None:
    folder, who = tmp_path / "data", borrower()
    key = wrapped_of(dict(runtime._store.states("planner", [who]))[who], b"")
    runtime._store.db.execute("PRAGMA busy_timeout=50")
    with closing(sqlite3.connect(folder / "reprieve.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM state").fetchone()
        runtime.feed([erasure(who, last_day())])
        reader.execute("COMMIT")
    runtime.feed([granted("B-other", last_day())])
    assert not any(key in path.read_bytes() for path in folder.glob("reprieve.db*"))


def test_the_console_reads_sealed_rows_beside_the_writer(runtime: LocalRuntime, tmp_path: Path) -> None:
    with closing(ReadStore(tmp_path / "data")) as store:
        assert store.state("planner", borrower()) == runtime.state("planner", borrower())
        assert store.history("planner", borrower()) == runtime.history("planner", borrower())
        read = [event for _, event in store.after(0, 100_000)]
        assert report(borrower(), next(e.as_of for e in history() if isinstance(e, ev.ProfileReported)
                      and e.borrower_id == borrower())) in read  # fmt: skip


def test_master_keys_are_rotated_under_rows_that_are_there(runtime: LocalRuntime, tmp_path: Path) -> None:
    state = runtime.state("planner", borrower())
    runtime.close()
    second = rotate(tmp_path / "data" / FILE)
    with LocalRuntime.open(tmp_path / "data", default_book()) as opened:
        assert opened.state("planner", borrower()) == state
        opened.feed([report(borrower(), last_day(), "after")])
        raw = dict(opened._store.states("planner", [borrower()]))[borrower()]
    assert second.encode() in wrapped_of(raw, b"")


def test_an_old_master_key_is_given_up_once_nothing_asks_for_it(runtime: LocalRuntime, tmp_path: Path) -> None:
    file, data = tmp_path / "data" / FILE, tmp_path / "data"

    def keys(*arguments: str) -> str:
        found = CliRunner().invoke(cli, ["keys", arguments[0], str(file), *arguments[1:], "--data", str(data)])
        return f"{found.output}{found.exception or ''}"

    def letter(opened: LocalRuntime) -> bytes | None:
        letters_ = (e for _, e in opened.outputs("dead-letters") if isinstance(e, ev.DeadLetter))
        found = next(e for e in letters_ if e.code == "unreadable")
        return open_dead_letter(found, opened.vault).value

    runtime.publish_raw("feedback", borrower().encode(), NAME.encode())
    runtime.run()
    state, log = runtime.state("planner", borrower()), list(runtime.outputs("profiles"))
    runtime.close()
    first, second = read_entries(file)[0].id, rotate(file)
    old, new = keys("list").splitlines()
    assert all(what in old for what in (first, BORROWERS, LETTERS, LOG, WORDS))
    assert new.endswith("wraps  nothing asks for it yet")
    assert f"still ask for {first}" in keys("drop", first)
    with LocalRuntime.open(data, default_book()):
        # Nothing came in: it is the start that wraps.
        pass
    assert keys("list").splitlines()[0].endswith("nothing asks for it: it can be dropped")
    assert f"no longer has {first}" in keys("drop", first)
    assert f"has no master key {first}" in keys("drop", first)
    assert f"still ask for {second}" in keys("drop", second)
    assert [entry.id for entry in read_entries(file)] == [second]
    with LocalRuntime.open(data, default_book()) as opened:
        assert opened.state("planner", borrower()) == state
        assert list(opened.outputs("profiles")) == log
        assert letter(opened) == NAME.encode()
    file.write_text(file.read_text().replace(second, "other"))
    assert f"lacks {second}" in keys("list")


def test_a_dead_letter_is_sealed_and_sent_in_again_as_it_came(runtime: LocalRuntime, tmp_path: Path) -> None:
    late = report("B-new", last_day(), "sound")
    runtime.publish_raw("profiles", b"somebody else", Codec().encode(late), [("ce_id", b"canary")])
    assert runtime.run().refused == 1
    found = read_dead_letters(runtime)[-1]
    assert (found.letter.key, found.letter.value, found.letter.headers) == (None, None, {})
    assert "somebody else" not in found.letter.message
    whole = open_dead_letter(found.letter, runtime.vault)
    assert (whole.key, whole.value, whole.headers["ce_id"]) == (b"somebody else", Codec().encode(late), b"canary")
    assert redrive(runtime, [found]) == 1
    assert leaks(tmp_path, shapes(["somebody else"])) == {}


def test_a_fault_of_an_agent_tells_nothing_personal(
    runtime: LocalRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ValueError(f"cannot take {args}")

    monkeypatch.setattr("agents.planner.agent.add_readings", broken)
    (letter,) = runtime.feed([report(borrower(), last_day(), "again")])
    assert isinstance(letter, ev.DeadLetter)
    assert letter.code == "quarantined"
    assert "ValueError" in letter.message
    assert not seen(msgspec.json.encode(letter), FORMS)
    # What waits in the quarantine is sealed.
    assert runtime.keys("planner")
    assert leaks(tmp_path, FORMS) == {}
