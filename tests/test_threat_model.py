"""Every threat of the model has a test, and every test that a page names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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


def test_every_threat_has_a_test(rows: dict[str, str]) -> None:
    for name, told in rows.items():
        assert _TEST.search(told), name


def test_every_test_that_a_page_names_is_there(repository: Path) -> None:
    tests = "\n".join(path.read_text("utf-8") for path in (repository / "tests").rglob("test_*.py"))
    known = set(re.findall(r"^(?:async )?def (test_\w+)", tests, re.MULTILINE))
    files = {path.stem for path in (repository / "tests").rglob("test_*.py")}
    for page in [repository / "README.md", *sorted((repository / "docs").glob("*.md"))]:
        named = set(re.findall(r"\b(test_\w+)", page.read_text("utf-8")))
        assert named - known - files == set(), page.name
