"""Nothing is lost: what cannot be taken is kept as it came, with the reason, and can be sent in again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import FatalError
from schemas.jsonlines import to_line
from state.policy_packs.loader import default_book
from streams.cli import COMMANDS, cli
from streams.folder_lock import lock_folder
from streams.local.dead_letters import read_dead_letters, redrive
from streams.local.runtime import LocalRuntime
from streams.security.dead_letters import open_dead_letter

START = date(2026, 1, 1)


def at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 9, tzinfo=UTC)


def test_an_unknown_field_is_a_warning_and_the_run_succeeds(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    lines = [{**json.loads(to_line(paid(n))), "memo": "x", "curency": "EUR"} for n in range(3)]
    file.write_text("\n".join(json.dumps(line) for line in [json.loads(to_line(opened())), *lines]))
    ran = CliRunner().invoke(cli, ["publish", str(file), "--data", str(tmp_path / "data")])
    assert ran.exit_code == 0
    assert ran.stderr.count("warning") == 2
    assert f"{file}:2: warning: PaymentReceived has no field 'curency'. Did you mean currency?" in ran.stderr
    assert "left out: PaymentReceived.memo (3), PaymentReceived.curency (3)" in ran.stderr
    assert "4 events published, 0 outputs, 0 dead letters, 0 lines rejected;" in ran.stderr


def opened(account: str = "A1") -> ev.AccountOpened:
    return ev.AccountOpened(
        event_id=f"open-{account}",
        occurred_at=at(START),
        source="test",
        account_id=account,
        borrower_id="B1",
        product="personal_loan",
        jurisdiction="US",
        currency="USD",
        opened_on=START,
        annual_rate_bps=1_000,
        principal=30_000,
        instalments=tuple(
            ev.Instalment(number=n, due_on=START + timedelta(days=30 * n), principal=10_000, interest=0, fees=0)
            for n in (1, 2, 3)
        ),
    )


def paid(number: int, account: str = "A1", amount: int = 10_000, currency: str = "USD") -> ev.PaymentReceived:
    return ev.PaymentReceived(
        event_id=f"pay-{account}-{number}",
        occurred_at=at(START),
        source="test",
        payment_id=f"p{number}",
        account_id=account,
        amount=amount,
        currency=currency,
        value_on=START + timedelta(days=number),
        channel="transfer",
    )


def closed(offset: int) -> ev.DayClosed:
    day = START + timedelta(days=offset)
    return ev.DayClosed(event_id=f"close-{day}", occurred_at=at(day), source="test", business_date=day, calendar="none")


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[LocalRuntime]:
    with LocalRuntime.open(tmp_path / "data", default_book()) as found:
        yield found


def refused(runtime: LocalRuntime) -> list[ev.DeadLetter]:
    return [open_dead_letter(x.letter, runtime.vault) for x in read_dead_letters(runtime)]


GOOD = Codec().encode(paid(1))


@pytest.mark.parametrize(
    ("topic", "key", "value", "code"),
    [
        ("payments", b"A1", b"\x07garbage", "unreadable"),
        ("payments", b"A1", b"", "unreadable"),
        ("payments", b"A1", None, "unreadable"),
        ("payments", b"A1", GOOD[:-3], "unreadable"),
        ("payments", b"A1", GOOD + b"\x00", "unreadable"),
        ("payments", b"A1", b"\xc3\x01" + b"\x00" * 12, "unknown_schema"),
        ("payments", b"A1", b"\x00\x00\x00\x00\x09abc", "unknown_schema"),
        ("payments", b"A2", GOOD, "wrong_key"),
        ("payments", None, GOOD, "wrong_key"),
        ("collections", b"A1", GOOD, "unexpected_type"),
        ("offers", b"A1", GOOD, "unknown_topic"),
        ("nowhere", b"A1", GOOD, "unknown_topic"),
    ],
)
def test_an_unfit_record_is_a_dead_letter_with_its_headers(
    runtime: LocalRuntime, topic: str, key: bytes | None, value: bytes | None, code: str
) -> None:
    runtime.feed([opened()])
    offset = runtime.publish_raw(topic, key, value, [("trace", b"\xff\x00"), ("x", b"1")], 1_700_000_000_123)
    runtime.publish([paid(2)])
    assert runtime.run().refused == 1
    (letter,) = refused(runtime)
    assert (letter.topic, letter.offset, letter.key, letter.value) == (topic, offset, key, value)
    assert letter.headers == {"trace": b"\xff\x00", "x": b"1"}
    assert letter.code == code
    assert letter.message.endswith(".")
    # The stream goes on.
    assert any(name == "payment:p2" for name, _ in runtime.history("account", "A1"))


def test_a_field_outside_its_range_is_named(runtime: LocalRuntime) -> None:
    runtime.feed([opened(), paid(1, amount=0)])
    (letter,) = refused(runtime)
    assert (letter.code, letter.field) == ("out_of_range", "amount")


def test_a_broken_rule_of_the_agent_is_a_dead_letter_too(runtime: LocalRuntime) -> None:
    runtime.feed([opened(), paid(1, currency="EUR")])
    (letter,) = refused(runtime)
    assert (letter.code, letter.field) == ("wrong_currency", "currency")
    assert Codec().decode(letter.value or b"") == paid(1, currency="EUR")


def test_events_before_their_account_wait_and_count(runtime: LocalRuntime) -> None:
    runtime.feed([paid(1), paid(2), closed(0)])
    runtime.feed([opened(), closed(5)])
    assert refused(runtime) == []
    assert runtime.state("account", "A1").received == 20_000  # type: ignore[union-attr]


def test_events_of_an_unopened_account_become_dead_letters(runtime: LocalRuntime) -> None:
    wait = default_book().policy_for("", "").unknown_account_wait_days
    runtime.feed([closed(0), paid(1)])
    runtime.feed([closed(n) for n in range(1, wait + 1)])
    assert refused(runtime) == []
    runtime.feed([closed(wait + 1)])
    (letter,) = refused(runtime)
    assert (letter.code, letter.key, letter.value) == ("unknown_account", b"A1", GOOD)

    # Once the account is there, what was refused is sent in again and counts.
    runtime.feed([opened()])
    assert redrive(runtime, read_dead_letters(runtime)) == 0
    assert [x.resolved for x in read_dead_letters(runtime)] == [True]
    runtime.feed([closed(wait + 2)])
    assert runtime.state("account", "A1").received == 10_000  # type: ignore[union-attr]


def test_of_two_statements_with_one_id_one_stands(runtime: LocalRuntime) -> None:
    runtime.feed([opened(), paid(1), paid(1, amount=5)])
    (letter,) = refused(runtime)
    assert letter.code == "conflicting_duplicate"


@pytest.mark.parametrize("batch", [1, 2, 7, 10_000])
def test_the_size_of_a_batch_does_not_matter(tmp_path: Path, batch: int) -> None:
    events: list[ev.Event] = [
        paid(3),
        opened(),
        paid(1),
        paid(1),
        closed(0),
        paid(2, amount=0),
        opened("A2"),
        closed(40),
    ]
    events += [paid(61), closed(40), closed(20), closed(70), paid(10), closed(71)]

    def outcome(folder: Path, size: int) -> tuple[list[object], object]:
        with LocalRuntime.open(folder, default_book(), batch=size) as one:
            one.feed(events)
            said: list[object] = [e for t in ("delinquency", "plans", "workout-requests") for e in one.outputs(t)]
            return said + refused(one), (one.state("account", "A1"), one.history("account", "A1"))

    said, state = outcome(tmp_path / "a", 10_000)
    assert said
    assert outcome(tmp_path / "b", batch) == (said, state)


def test_a_fault_beyond_quarantine_stops_and_keeps_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalRuntime.open(None, default_book(), quarantine_limit=0) as runtime:
        runtime.feed([opened()])
        with monkeypatch.context() as broken:
            broken.setattr("agents.input_limits.check_event", lambda *_: 1 // 0)
            with pytest.raises(FatalError, match=r"payments/0/0 failed with ZeroDivisionError"):
                runtime.feed([paid(1)])
        assert runtime.history("account", "A1") == [("account:", opened())]
        assert runtime.run().read == 1
        assert len(runtime.history("account", "A1")) == 2


def test_a_data_directory_is_for_one_process(runtime: LocalRuntime, tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "streams.cli", "consume", "offers", "--data", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert "is in use by process" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_line_with_an_error_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    wrong = json.loads(to_line(paid(2)))
    wrong["amount"] = -4
    file.write_bytes(
        to_line(opened()) + json.dumps(wrong).encode() + b"\n{oops\n" + to_line(paid(1)) + to_line(closed(40))
    )
    found = CliRunner().invoke(cli, ["publish", str(file), "--data", str(tmp_path / "d")])
    assert found.exit_code == 1
    assert f"{file}:2" in found.stderr
    assert "amount" in found.stderr
    assert f"{file}:3" in found.stderr
    assert "3 events published" in found.stderr
    shown = CliRunner().invoke(cli, ["account", "A1", "--data", str(tmp_path / "d"), "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["state"]["received"] == 10_000


def test_replay_gives_the_same_bytes_and_compares_policies(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"".join(to_line(e) for e in [opened(), paid(1), *(closed(n) for n in range(120))]))
    outputs = []
    for name in ("one", "two"):
        out = tmp_path / name
        found = CliRunner().invoke(cli, ["replay", "--input", str(file), "--output", str(out)])
        assert found.exit_code == 0, found.output
        outputs.append(out.read_bytes())
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"\n") > 5
    found = CliRunner().invoke(
        cli, ["replay", "--input", str(file), "--output", str(tmp_path / "x"), "--compare", "us_ffiec", "--json"]
    )
    assert found.exit_code == 0
    assert json.loads(found.stdout)["policies"] == ["default", "us_ffiec"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["publish"], 2),
        (["consume", "nowhere"], 2),
        (["replay", "--input", "x"], 2),
        (["policy", "show", "cn_card"], 0),
        (["policy", "show"], 0),
        (["schemas", "check"], 0),
        (["policy", "check", "no-such-file.yaml"], 2),
        *[([name, "--help"], 0) for name in COMMANDS],
    ],
)
def test_exit_codes_are_done_failed_or_wrong_use(arguments: list[str], code: int) -> None:
    assert CliRunner().invoke(cli, arguments).exit_code == code


def test_an_unverified_rule_is_shown_as_such() -> None:
    shown = CliRunner().invoke(cli, ["policy", "show", "cn_2023"]).output
    assert "UNVERIFIED" in shown


def test_an_unwritable_data_directory_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FatalError, match=r"cannot be taken\. .*Not a directory.* or name another\."):
        lock_folder(tmp_path / "file" / "data", "name another")


def test_dead_letters_are_listed_whole_whatever_the_width(tmp_path: Path) -> None:
    file, data = tmp_path / "events.jsonl", ["--data", str(tmp_path / "data")]
    file.write_bytes(to_line(opened()) + to_line(paid(1, currency="EUR")))
    ran = CliRunner().invoke(cli, ["publish", str(file), *data])
    assert ran.stderr.startswith("2 events published, 0 outputs, 1 dead letters, 0 lines rejected\n")
    assert f"`reprieve dead-letters list --data {tmp_path / 'data'}` gives the reasons" in ran.stderr
    listing = ["dead-letters", "list", *data]
    letter = json.loads(CliRunner().invoke(cli, [*listing, "--json"]).stdout)["letter"]
    listed = CliRunner().invoke(cli, listing, env={"COLUMNS": "40"}).stdout
    assert listed == f"{letter['event_id']}  payments/{letter['offset']}  wrong_currency\n  {letter['message']}\n"
    assert CliRunner().invoke(cli, ["dead-letters", "replay", *data]).exit_code == 1
    again = CliRunner().invoke(cli, [*listing, "--all"]).stdout
    assert f"{letter['event_id']}  payments/{letter['offset']}  wrong_currency  (sent again)\n" in again
    assert CliRunner().invoke(cli, [*listing, "--code", "unreadable"]).stdout == "No dead letters.\n"


def test_a_letter_that_there_is_not_is_named_and_no_success(tmp_path: Path) -> None:
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        runtime.publish_raw("payments", b"A1", b"nonsense")
        runtime.run()
        (letter,) = read_dead_letters(runtime)

    def replayed(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "streams.cli", "dead-letters", "replay", "--data", str(tmp_path), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    code, told = replayed("--id", "nope")
    assert (code, told) == (
        1,
        "reprieve: There is no dead letter nope. `reprieve dead-letters list --all` names all.\n",
    )
    code, told = replayed("--code", "nope")
    assert code == 0
    assert told.startswith("There is no dead letter of code nope;")
    assert replayed("--id", letter.letter.event_id, "--code", "nope")[0] == 1
    assert "1 sent in again, 0 taken, 1 refused anew" in replayed("--id", letter.letter.event_id)[1]
    assert replayed("--id", letter.letter.event_id) == (
        0,
        "0 sent in again, 1 had been before, 0 taken, 0 refused anew\n",
    )
