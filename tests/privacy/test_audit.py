"""Whoever is shown personal data is on record before, and the record cannot be changed unseen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from console.server import ConsoleServer
from schemas import events as ev
from schemas.errors import FatalError, UsageError
from simulator.world import START, World
from state.policy_packs.loader import default_book
from streams.cli import cli
from streams.local.runtime import LocalRuntime
from streams.security.audit import FILE, FileAudit, file_records
from streams.security.audit_chain import Break, Head, breaks, heads, next_record
from tests.support.canaries import INCOME, granted, report, seen, shapes

DAY = date(2026, 1, 5)


def chain(name: str, count: int) -> list[ev.PersonalDataRead]:
    made, head = [], Head()
    for n in range(count):
        record = next_record(name, head, datetime.now(UTC), "test", f"B{n}", "someone", "hotline", ["means.region"])
        head = Head(record.number, record.digest)
        made.append(record)
    return made


CHANGES: dict[str, Callable[[ev.PersonalDataRead], ev.PersonalDataRead]] = {
    "actor": lambda r: replace(r, actor="nobody"),
    "purpose": lambda r: replace(r, purpose="complaint"),
    "borrower": lambda r: replace(r, borrower_id="B999"),
    "fields": lambda r: replace(r, fields=()),
    "previous": lambda r: replace(r, previous="0" * 64),
    "digest": lambda r: replace(r, digest="0" * 64),
    "instant": lambda r: replace(r, occurred_at=r.occurred_at.replace(year=2001)),
}


@settings(max_examples=150, derandomize=True, deadline=None)
@given(data=st.data(), count=st.integers(1, 8))
def test_the_first_changed_missing_or_added_record_is_named(data: st.DataObject, count: int) -> None:
    whole, beside = chain("one", count), chain("two", 3)
    order = data.draw(st.permutations(whole + beside))
    assert breaks(order) == []
    noted = heads(order)
    assert breaks(order, noted) == []
    at = data.draw(st.integers(0, count - 1))
    change = data.draw(st.sampled_from([*CHANGES, "left out", "put in", "replaced", "cut off"]))
    rest = [r for r in order if r is not whole[at]]
    expected = at + 1
    if change == "left out":
        rest = rest if at < count - 1 else [*rest, *chain("one", count + 1)[count:]]
    elif change == "put in":
        rest = [*order, replace(whole[at], actor="nobody")]
    elif change == "replaced":
        # As if by somebody who knows how digests are made: the next one no longer follows.
        head = Head(at, whole[at].previous)
        rest.append(next_record("one", head, datetime.now(UTC), "test", "B999", "nobody", "hotline", []))
        expected = at + 2 if at < count - 1 else at + 1
        noted = noted if at == count - 1 else {}
        assert [(b.chain, b.number) for b in breaks(rest, noted)] == [("one", expected)]
        return
    elif change == "cut off":
        rest = [r for r in order if r.chain != "one" or r.number <= at]
        assert breaks(rest, noted) == [
            Break("one", at + 1, f"the chain was cut off: number {count} was noted as its head")
        ]
        return
    else:
        rest.append(CHANGES[change](whole[at]))
    found = breaks(rest)
    assert [b.chain for b in found] == ["one"]
    assert found[0].number == expected


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from streams.security.audit import FileAudit\n"
        "for n in range(25): FileAudit(Path(sys.argv[1]), 'test').record([(f'B{n}', ['x'])], 'someone', 'hotline')"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(240) for process in running] == [0, 0, 0]
    found = list(file_records(tmp_path))
    assert (len(found), len({r.chain for r in found}), breaks(found)) == (75, 1, [])


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_line_cut_by_a_crash_is_dropped_and_the_chain_goes_on(tmp_path: Path, cut: int) -> None:
    audit = FileAudit(tmp_path, "test")
    audit.record([("B1", ["x"]), ("B2", ["x"])], "someone", "hotline")
    with (tmp_path / FILE).open("r+b") as file:
        file.truncate(os.path.getsize(tmp_path / FILE) - cut)
    audit.record([("B3", ["x"])], "someone", "hotline")
    found = list(file_records(tmp_path))
    assert [r.borrower_id for r in found] == ["B1", "B3"]
    assert breaks(found) == []


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data directory with a borrower of whom a consent was granted, and one of whom none was."""
    folder = tmp_path / "data"
    with LocalRuntime.open(folder, default_book()) as runtime:
        runtime.feed([granted("B1", DAY), report("B1", DAY), report("B2", DAY)])
    return folder


def looked_up(data: Path, *more: str, code: int = 0, borrower: str = "B1") -> str:
    found = CliRunner().invoke(cli, ["borrower", borrower, "--data", str(data), *more])
    assert found.exit_code == code, found.output
    return found.output


def test_every_look_up_needs_a_purpose_and_is_on_record(data: Path) -> None:
    assert "Say with --purpose" in looked_up(data, code=2)
    assert list(file_records(data)) == []
    assert str(INCOME) in looked_up(data, "--purpose", "hotline", "--as", "li.wei", "--json")
    (record,) = file_records(data)
    assert (record.borrower_id, record.actor, record.purpose) == ("B1", "li.wei", "hotline")
    assert "means.monthly_income" in record.fields
    # What was shown is named, and not repeated.
    assert not seen((data / FILE).read_bytes(), shapes())


def test_without_consent_means_are_for_borrower_and_auditor(data: Path) -> None:
    assert str(INCOME) not in looked_up(data, "--purpose", "hotline", "--json", borrower="B2")
    assert str(INCOME) in looked_up(data, "--purpose", "subject_access", "--json", borrower="B2")
    assert [("reports" in r.fields) for r in file_records(data)] == [False, True]


def test_what_cannot_be_put_on_record_is_not_shown(data: Path) -> None:
    (data / FILE).mkdir()
    found = CliRunner().invoke(cli, ["borrower", "B1", "--data", str(data), "--purpose", "hotline", "--json"])
    assert isinstance(found.exception, FatalError)
    assert str(INCOME) not in found.output
    with pytest.raises(UsageError, match="is no purpose"):
        FileAudit(data, "test").record([("B1", [])], "someone", "curiosity")


def test_the_console_puts_each_borrower_that_it_shows_on_record(data: Path) -> None:
    with ConsoleServer(data) as served:
        with closing(urllib.request.urlopen(f"{served.url}/api/borrowers/B1?purpose=complaint")) as answer:
            assert json.load(answer)["borrower"] == "B1"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{served.url}/api/borrowers/B1?purpose=curiosity")
        assert refused.value.code == 400
        refused.value.close()
    (record,) = file_records(data)
    assert (record.source, record.purpose, record.borrower_id) == ("reprieve.console", "complaint", "B1")


def test_every_page_and_command_about_a_person_is_on_record(tmp_path: Path) -> None:
    world = World(30, 5, START)
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        arrived = list(world.opening())
        for n in range(150):
            said = runtime.feed(arrived)
            arrived = list(world.day(START + timedelta(days=n), said))
        plan = next(e for _, e in runtime.outputs("plans") if isinstance(e, ev.PlanActivated))
    account, borrower = plan.account_id, plan.borrower_id
    with ConsoleServer(tmp_path) as served:
        for n, path in enumerate(
            (f"accounts/{account}", f"accounts/{account}/agreements/{plan.plan_id}", f"borrowers/{borrower}"), start=1
        ):
            with closing(urllib.request.urlopen(f"{served.url}/api/{path}?purpose=complaint")) as answer:
                assert borrower in answer.read().decode()
            assert [(r.borrower_id, r.purpose) for r in file_records(tmp_path)] == [(borrower, "complaint")] * n
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{served.url}/api/{path}?purpose=curiosity")
            refused.value.close()
    for command in (["account", account], ["agreement", account], ["borrower", borrower]):
        options = ["--data", str(tmp_path), "--purpose", "audit", "--as", "li.wei"]
        assert CliRunner().invoke(cli, [*command, *options]).exit_code == 0
    assert [r.borrower_id for r in file_records(tmp_path) if r.actor == "li.wei"] == [borrower] * 3


def test_verify_names_the_first_break_and_list_shows_reads(data: Path) -> None:
    for _ in range(3):
        looked_up(data, "--purpose", "hotline")
    found = CliRunner().invoke(cli, ["audit", "verify", "--data", str(data)])
    assert found.exit_code == 0, found.output
    head = found.output.splitlines()[0]
    lines = (data / FILE).read_bytes().splitlines(keepends=True)
    (data / FILE).write_bytes(lines[0] + lines[1].replace(b"hotline", b"complaint") + lines[2])
    found = CliRunner().invoke(cli, ["audit", "verify", "--data", str(data)])
    assert found.exit_code == 1
    assert "is broken at 2: the record was changed" in found.output
    (data / FILE).write_bytes(lines[0] + lines[1])
    assert CliRunner().invoke(cli, ["audit", "verify", "--data", str(data)]).exit_code == 0
    found = CliRunner().invoke(cli, ["audit", "verify", "--data", str(data), "--expect", head])
    assert found.exit_code == 1
    assert "cut off" in found.output
    found = CliRunner().invoke(cli, ["audit", "list", "--data", str(data), "--json", "--borrower", "B1"])
    assert [json.loads(line)["type"] for line in found.output.splitlines()] == ["PersonalDataRead"] * 2


def test_a_line_that_is_no_record_is_named_by_its_number(tmp_path: Path) -> None:
    audit = FileAudit(tmp_path, "test")
    audit.record([("B1", ["means.region"])], "someone", "hotline")
    audit.record([("B2", ["means.region"])], "someone", "hotline")
    file = tmp_path / FILE
    first, second = file.read_bytes().splitlines(keepends=True)
    for nonsense in (b"nonsense\n", b'{"type":"DayClosed"}\n'):
        file.write_bytes(first + nonsense + second)
        with pytest.raises(FatalError, match=rf"{FILE}:2 holds a line that is no record of an audit"):
            list(file_records(tmp_path))
