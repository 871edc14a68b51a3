"""`reprieve account` and `reprieve borrower`: as of the last closed day, for people and for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import Struct

from schemas import events as ev
from simulator.runs import simulate
from state.account import AccountState
from state.borrower import BorrowerState
from state.policy_packs.loader import default_book
from streams.cli import cli
from streams.cli.plain_state import TIMES
from streams.local.runtime import LocalRuntime

# Days and instants of these years.
ORDINAL = range(date(2015, 1, 1).toordinal(), date(2040, 1, 1).toordinal())
MILLISECONDS = range(1_420_000_000_000, 2_210_000_000_000)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory of a portfolio that has seen some months, one day of which is still open."""
    folder = tmp_path_factory.mktemp("lived")
    with LocalRuntime.open(folder, default_book()) as runtime:
        # In the middle of a day, while offers are open.
        runtime.feed(takewhile(lambda e: e.event_id != "day-2026-06-10", simulate(accounts=90, days=200, seed=3)))
    return folder


def asked(*arguments: str) -> str:
    found = CliRunner().invoke(cli, list(arguments), env={"COLUMNS": "100"})
    assert found.exit_code == 0, found.output
    return found.stdout


def keys(folder: Path, agent: str) -> list[str]:
    with LocalRuntime.open(folder, default_book()) as runtime:
        return runtime.keys(agent)


def late_since_a_hold() -> Iterator[ev.Event]:
    """Yield a debt due on 10 February that was disputed from 15 February to 30 April, closed through 25 May."""
    at = datetime(2026, 1, 1, 10, tzinfo=UTC)
    yield ev.AccountOpened(
        event_id="e1",
        occurred_at=at,
        source="core",
        account_id="A1",
        borrower_id="B1",
        product="personal_loan",
        jurisdiction="EU",
        currency="EUR",
        opened_on=at.date(),
        annual_rate_bps=0,
        principal=300_000,
        instalments=tuple(
            ev.Instalment(number=n, due_on=date(2026, n + 1, 10), principal=50_000, interest=500, fees=0)
            for n in range(1, 7)
        ),
    )
    yield ev.HoldPlaced(
        event_id="e2",
        occurred_at=at + timedelta(days=45),
        source="core",
        hold_id="H1",
        account_id="A1",
        kind="dispute",
        from_on=date(2026, 2, 15),
        until_on=date(2026, 4, 30),
    )
    for day in (date(2026, 2, 15), date(2026, 5, 1), date(2026, 5, 25)):
        yield ev.DayClosed(
            event_id=f"day-{day}",
            occurred_at=datetime(day.year, day.month, day.day, 23, tzinfo=UTC),
            source="core",
            business_date=day,
            calendar="none",
        )


def test_an_account_not_visited_is_shown_as_of_the_last_close(tmp_path: Path) -> None:
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        runtime.feed(list(late_since_a_hold()))
        stored = runtime.state("account", "A1")
        assert isinstance(stored, AccountState)
        assert date.fromordinal(stored.folded_through) == date(2026, 5, 11)
    found = json.loads(asked("account", "A1", "--data", str(tmp_path), "--json"))
    assert found["as_of"] == found["state"]["folded_through"] == "2026-05-25"
    # 104 days after the due date of 10 February, of which the dispute paused 75.
    assert found["state"]["days_past_due"] == found["standing"]["status"]["days_past_due"] == 29
    assert found["standing"]["status"]["holds"] == []
    assert found["state"]["holds"] == [{"hold_id": "H1", "kind": "dispute", "start": "2026-02-15", "end": "2026-04-30"}]
    assert found["state"]["receivables"][0]["due"] == "2026-02-10"
    assert found["standing"]["next"]["due"] == "2026-06-10"
    told = asked("account", "A1", "--data", str(tmp_path))
    assert "Account A1 of borrower B1, as of 2026-05-25" in told
    assert re.search(r"Days past due +29 ", told)
    assert re.search(r"Holds +none", told)
    assert re.search(r"Next instalment +2026-06-10, 505.00 EUR", told)
    assert "✗  Failed contact attempts 0 (at least 3)" in told


def test_output_for_people_has_no_structure_of_the_program(lived: Path) -> None:
    shown = [asked("account", key, "--data", str(lived)) for key in keys(lived, "account")]
    shown += [asked("borrower", key, "--purpose", "hotline", "--data", str(lived)) for key in keys(lived, "planner")]
    for text in shown:
        assert not re.search(r"[{}\[\]]|datetime|None|Struct", text), text
        assert not re.search(r"(?<![\d,.])7[34]\d{4}(?![\d,.])", text), text
    assert any("The way into bad debt" in text for text in shown)
    assert any("Option " in text for text in shown)


def test_programs_get_every_day_and_instant_as_iso_text(lived: Path) -> None:
    days = 0
    for command, agent in (("account", "account"), ("borrower", "planner")):
        for key in keys(lived, agent):
            found = json.loads(asked(command, key, "--purpose", "audit", "--data", str(lived), "--json"))
            assert date.fromisoformat(found["as_of"])
            for name, value in leaves(found["state"]):
                days += name in TIMES and re.fullmatch(r"\d{4}-\d\d-\d\d", str(value)) is not None
                assert not (name in TIMES and isinstance(value, int) and not isinstance(value, bool)), name
    assert days > 1_000


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a JSON value holds, each with the name of the field that it is under."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part, name)
    else:
        yield name, value


def numbers(value: object, name: str) -> Iterator[tuple[str, int]]:
    """Yield the numbers of a stored state, each with the name of its field."""
    if isinstance(value, ev.Event):
        return
    if isinstance(value, Struct):
        for field in value.__struct_fields__:
            yield from numbers(getattr(value, field), field)
    elif isinstance(value, dict):
        for part in value.values():
            yield from numbers(part, name)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from numbers(part, name)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield name, value


def test_no_field_of_days_or_instants_is_left_as_a_number(lived: Path) -> None:
    seen: dict[str, set[int]] = {}
    with LocalRuntime.open(lived, default_book()) as runtime:
        for agent, kind in (("account", AccountState), ("planner", BorrowerState)):
            for key in runtime.keys(agent):
                state = runtime.state(agent, key)
                assert isinstance(state, kind)
                for name, number in numbers(state, ""):
                    if number > 0:
                        seen.setdefault(name, set()).add(number)
    # A field of which every number that ever occurs is a day of these years, or an instant of them, holds such.
    times = {name for name, found in seen.items() if all(n in ORDINAL or n in MILLISECONDS for n in found)}
    assert {name for name in times if len(seen[name]) > 3} <= TIMES
    assert {name for name in TIMES & seen.keys() if name not in times} == set()
