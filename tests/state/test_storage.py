"""Stored state: read back the same, in old layouts too, and never by guess."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from schemas import events as ev
from schemas.errors import FatalError
from state import layout
from state.storage import LAYOUTS, Layout, Upgrade, appended, pack, stored, unpack
from tests.support.strategies import events_of


class Part(Struct, frozen=True, array_like=True):
    name: str
    amount: int


class TillV1(Struct, array_like=True):
    """What the first release stored: an amount in major units, no parts."""

    account_id: str
    amount: int


class TillV2(Struct, array_like=True):
    """The second appended parts and a fact."""

    account_id: str
    amount: int
    parts: tuple[Part, ...] = ()
    last: ev.PaymentReceived | ev.PaymentFailed | None = None


class Till(Struct, array_like=True):
    """The third holds minor units."""

    account_id: str
    amount: int
    parts: tuple[Part, ...] = ()
    last: ev.PaymentReceived | ev.PaymentFailed | None = None


def in_minor_units(value: list[object]) -> list[object]:
    amount = value[1]
    assert isinstance(amount, int)
    return [value[0], amount * 100, *value[2:]]


stored(version=2, upgrades={1: appended})(TillV2)
stored(version=3, upgrades={1: appended, 2: in_minor_units})(Till)

IDS = st.text(max_size=20)
AMOUNTS = st.integers(-(2**63), 2**63 - 1)
TILLS = st.builds(
    Till,
    account_id=IDS,
    amount=AMOUNTS,
    parts=st.lists(st.builds(Part, name=IDS, amount=AMOUNTS), max_size=3).map(tuple),
    last=st.one_of(st.none(), events_of(ev.PaymentReceived), events_of(ev.PaymentFailed)),
)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(till=TILLS)
def test_a_state_is_read_back_and_gives_the_same_bytes(till: Till) -> None:
    data = pack(till)
    assert data[0] == 3
    assert unpack(data, Till) == till
    assert pack(unpack(data, Till)) == data


@settings(max_examples=50, derandomize=True, deadline=None)
@given(account_id=IDS, amount=st.integers(-(2**40), 2**40))
def test_earlier_layouts_are_read_through_every_step(account_id: str, amount: int) -> None:
    expected = Till(account_id, amount * 100)
    assert unpack(pack(TillV1(account_id, amount)), Till) == expected
    assert unpack(pack(TillV2(account_id, amount)), Till) == expected


def test_bytes_that_the_first_release_wrote_are_read() -> None:
    assert unpack(bytes.fromhex("0192a3612d3119"), Till) == Till("a-1", 2_500)


def test_a_later_layout_stops_the_process_with_a_sentence() -> None:
    later = b"\x04" + pack(Till("a", 1))[1:]
    with pytest.raises(FatalError, match=r"A stored Till is in layout 4; this release knows 1\.\.3\. Run the release"):
        unpack(later, Till)
    with pytest.raises(FatalError, match="layout 0"):
        unpack(b"\0" + later[1:], Till)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(till=TILLS, data=st.data())
def test_a_state_that_is_cut_short_stops_the_process(till: Till, data: st.DataObject) -> None:
    whole = pack(till)
    with pytest.raises(FatalError, match="Restore it"):
        unpack(whole[: data.draw(st.integers(0, len(whole) - 1))], Till)


@pytest.mark.parametrize(("version", "upgrades"), [(0, {}), (256, {}), (2, {}), (3, {2: appended}), (1, {1: appended})])
def test_a_layout_without_every_step_cannot_be_named(version: int, upgrades: dict[int, Upgrade]) -> None:
    with pytest.raises(FatalError):
        stored(version, upgrades)(msgspec.defstruct("Other", ["field"]))


def test_the_layout_of_each_stored_state_is_that_of_its_file() -> None:
    assert layout.problems(layout.registered()) == []


def test_a_layout_is_written_once_and_changes_need_a_version(tmp_path: Path) -> None:
    layouts = {TillV1: Layout()}
    assert layout.problems(layouts, tmp_path) == ["TillV1 has no file of layout 1. Run `python -m state.layout`."]
    (path,) = layout.write(layouts, tmp_path)
    assert path.name == "TillV1.v1.json"
    assert layout.problems(layouts, tmp_path) == []
    assert layout.write(layouts, tmp_path) == []

    for fields in (
        [("amount", int), ("account_id", str)],
        [("account_id", str), ("amount", str)],
        [("account_id", str), ("sum", int)],
        [("account_id", str), ("amount", int), ("more", int, 0)],
    ):
        changed = msgspec.defstruct("TillV1", fields, array_like=True)
        (problem,) = layout.problems({changed: Layout()}, tmp_path)
        assert "Raise its version to 2" in problem
        assert layout.write({changed: Layout()}, tmp_path) == []
        raised = {changed: Layout(2, {1: appended})}
        layout.write(raised, tmp_path)
        assert layout.problems(raised, tmp_path) == []
        (tmp_path / "TillV1.v2.json").unlink()


def test_a_layout_holds_neither_docs_nor_contract_events() -> None:
    text = layout.text_of(Till)
    assert "minor units" not in text
    assert "Money came in" not in text
    assert json.loads(text)["fields"] == {
        "Till": ["account_id", "amount", "parts", "last"],
        "Part": ["name", "amount"],
    }


def test_the_layouts_of_tests_are_not_those_of_the_program() -> None:
    assert Till in LAYOUTS
    assert Till not in layout.registered()


def test_the_command_writes_new_and_refuses_changed_layouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(layout, "registered", lambda: {TillV1: Layout()})
    assert layout.main(tmp_path) == 0
    assert capsys.readouterr().out == "wrote TillV1.v1.json\n1 layouts are current\n"
    (tmp_path / "TillV1.v1.json").write_text("{}", "utf-8")
    assert layout.main(tmp_path) == 1
    assert "TillV1 is not as TillV1.v1.json says" in capsys.readouterr().err
