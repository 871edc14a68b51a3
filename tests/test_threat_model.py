"""The threat model names tests that there are, and every threat has one, or says that it waits for one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# What the parts of others will hold off; none of them once all are here.
PENDING = {"partners", "privacy", "stress"}
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_ROW = re.compile(r"\| ([STRIDE]\d+) \|.*\|.*\|(.*)\|")


@pytest.fixture(scope="module")
def rows(repository: Path) -> dict[str, str]:
    """Return what is said of the test of each threat, by its id."""
    found = _ROW.findall((repository / "docs" / "threat-model.md").read_text("utf-8"))
    assert len({name for name, _ in found}) == len(found), "an id is given twice"
    return dict(found)


def test_every_kind_of_threat_is_thought_of(rows: dict[str, str]) -> None:
    assert {name[0] for name in rows} == set("STRIDE")
    for kind in "STRIDE":
        numbers = sorted(int(name[1:]) for name in rows if name[0] == kind)
        assert numbers == list(range(1, len(numbers) + 1))


def test_every_test_that_is_named_exists(repository: Path) -> None:
    text = (repository / "docs" / "threat-model.md").read_text("utf-8")
    named = _TEST.findall(text)
    assert len(named) > 40
    for file, test in named:
        path = repository / file
        assert path.is_file(), file
        assert re.search(rf"^def {test}\(", path.read_text("utf-8"), re.MULTILINE), f"{file}::{test}"


def test_every_threat_has_a_test_or_says_whose_it_waits_for(rows: dict[str, str]) -> None:
    for name, told in rows.items():
        waits = re.fullmatch(r" test: pending \((\w+)\) ", told)
        assert _TEST.search(told) or (waits and waits[1] in PENDING), name
