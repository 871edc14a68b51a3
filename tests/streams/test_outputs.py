"""What a command writes: never over what it reads, as a whole or not at all, and a sentence where it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas.errors import FatalError
from streams.cli import cli
from streams.cli.writing import replacing

EVENTS = Path(__file__).parents[2] / "schemas" / "examples.jsonl"


def reprieve(*arguments: object, stdin: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program as people do."""
    command = [sys.executable, "-m", "streams.cli", *map(str, arguments)]
    with (stdin or Path(os.devnull)).open("rb") as given:
        return subprocess.run(command, stdin=given, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Return a file of events, which must not change."""
    file = tmp_path / "events.jsonl"
    file.write_bytes(EVENTS.read_bytes())
    return file


def test_no_output_is_written_over_what_is_read(tmp_path: Path, events: Path) -> None:
    link, hard, pack = tmp_path / "link.jsonl", tmp_path / "hard.jsonl", tmp_path / "pack.yaml"
    link.symlink_to(events)
    hard.hardlink_to(events)
    pack.write_bytes((Path(__file__).parents[2] / "state" / "policy_packs" / "packs" / "us_ffiec.yaml").read_bytes())
    before = {file: file.read_bytes() for file in (events, pack)}
    for arguments in (
        ["replay", "--input", events, "--output", events],
        ["replay", "--input", EVENTS, "--input", events, "--output", link],
        ["replay", "--input", events, "--output", hard],
        ["replay", "--input", EVENTS, "--policy", pack, "--output", pack],
        ["replay", "--input", EVENTS, "--compare", pack, "--output", pack],
        ["evaluate", "--input", events, "--html", events],
        ["policy", "change", pack, "--everywhere", "--from", "2026-07-01", "--output", pack],
        ["keys", "wire", tmp_path / "wire.json", "--public", tmp_path / "wire.json"],
    ):
        told = CliRunner().invoke(cli, [str(word) for word in arguments])
        assert told.exit_code == 2, arguments
        assert "would be written over" in told.output
    by_pipe = reprieve("replay", "--input", "-", "--output", events, stdin=events)
    assert by_pipe.returncode == 2
    assert "would be written over standard input" in by_pipe.stderr
    assert {file: file.read_bytes() for file in before} == before
    assert not (tmp_path / "wire.json").exists()


def test_an_agreement_is_not_written_over_its_data(tmp_path: Path) -> None:
    data, events = tmp_path / "data", tmp_path / "events.jsonl"
    assert reprieve("simulate", "--accounts", 40, "--days", 120, "--output", events).returncode == 0
    assert reprieve("publish", events, "--data", data).returncode == 0
    account = next(
        line.split('"account_id":"')[1].split('"')[0]
        for line in reprieve("consume", "plans", "--data", data).stdout.splitlines()
        if "PlanActivated" in line
    )
    before = (data / "reprieve.db").read_bytes()
    told = reprieve("agreement", account, "--data", data, "--output", data / "reprieve.db")
    assert (told.returncode, (data / "reprieve.db").read_bytes()) == (2, before)
    assert reprieve("agreement", account, "--data", data, "--output", tmp_path / "a.html").returncode == 0
    assert (tmp_path / "a.html").read_text("utf-8").startswith("<!")


def test_a_run_that_fails_leaves_an_older_file_as_it_was(tmp_path: Path, events: Path) -> None:
    older = tmp_path / "out.jsonl"
    older.write_text("older\n", "utf-8")
    older.chmod(0o640)
    failed = reprieve("replay", "--input", events, "--input", tmp_path / "none", "--output", older)
    assert failed.returncode == 1
    assert older.read_text("utf-8") == "older\n"
    with pytest.raises(ZeroDivisionError), replacing(older) as out:
        out.writelines(b"%d" % (4 // n) for n in (1, 0))
    assert older.read_text("utf-8") == "older\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["events.jsonl", "out.jsonl"]
    assert reprieve("simulate", "--accounts", 3, "--days", 3, "--output", older).returncode == 0
    assert "AccountOpened" in older.read_text("utf-8")
    assert reprieve("simulate", "--accounts", 60, "--days", 1, "--events", "rich", "--output", older).returncode == 0
    assert "OpeningPosition" in older.read_text("utf-8")
    assert older.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_and_a_device_takes_what_is_written(tmp_path: Path) -> None:
    place, link = tmp_path / "place", tmp_path / "link"
    place.write_text("older", "utf-8")
    link.symlink_to(place)
    with replacing(link) as out:
        out.write(b"newer")
    assert link.is_symlink()
    assert place.read_text("utf-8") == "newer"
    with replacing(Path(os.devnull)) as out:
        out.write(b"gone")
    with (
        pytest.raises(FatalError, match="/dev/full cannot be written: No space left on device"),
        replacing(Path("/dev/full")) as out,
    ):
        out.write(b"much")


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay", "--input", EVENTS, "--output"],
        ["simulate", "--accounts", 2, "--days", 2, "--output"],
        ["policy", "change", "default", "--from", "2026-07-01", "--output"],
        ["schemas", "asyncapi", "--output"],
        ["schemas", "openapi", "--output"],
        ["keys", "wire", "wire.json", "--public"],
    ],
    ids=lambda arguments: " ".join(map(str, arguments[:2])),
)
def test_what_cannot_be_written_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[object]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    told = reprieve(*arguments, tmp_path / "nowhere" / "file")
    assert told.returncode == 1
    assert f"reprieve: {tmp_path}/nowhere/file cannot be written: No such file or directory." in told.stderr
    assert "Traceback" not in told.stderr
    # No private key is left whose public part nobody has.
    assert not list(tmp_path.iterdir())
