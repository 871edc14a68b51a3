"""The documents name only what exists: tests, files, links, settings, rules, metrics, make targets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_type_hints

import pytest

from state.policy import Policy
from streams.settings import Settings

ROOT = Path(__file__).parents[1]
GENERATED = {"events.md"}
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("deploy/**/*.md")])
WRITTEN = [page for page in PAGES if page.name not in GENERATED]
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_ROW = re.compile(r"\| ([STRIDE]\d+) \|.*\|.*\|(.*)\|")
_FOLDERS = "agents|bench|console|deploy|docs|evaluation|examples|schemas|simulator|state|streams|tests"

page = pytest.mark.parametrize("page", WRITTEN, ids=lambda p: str(p.relative_to(ROOT)))


@pytest.fixture(scope="module")
def threats() -> dict[str, str]:
    """Return what is said of the test of each threat, by its id."""
    found = _ROW.findall((ROOT / "docs" / "security.md").read_text("utf-8"))
    assert len({name for name, _ in found}) == len(found), "an id is given twice"
    return dict(found)


def test_every_kind_of_threat_is_considered(threats: dict[str, str]) -> None:
    assert {name[0] for name in threats} == set("STRIDE")
    for kind in "STRIDE":
        numbers = sorted(int(name[1:]) for name in threats if name[0] == kind)
        assert numbers == list(range(1, len(numbers) + 1))


def test_every_threat_has_a_test_that_exists(threats: dict[str, str]) -> None:
    for name, told in threats.items():
        assert _TEST.search(told), name
        for file, test in _TEST.findall(told):
            assert re.search(rf"^def {test}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE), f"{file}::{test}"


def test_every_test_that_a_page_names_exists() -> None:
    tests = {path: path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    known = {name for text in tests.values() for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)}
    files = {path.stem for path in tests}
    for path in WRITTEN:
        named = set(re.findall(r"\b(test_\w+)", path.read_text("utf-8")))
        assert named - known - files == set(), path.name


@page
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    named = re.findall(rf"`((?:{_FOLDERS})/[\w./-]*)(?:::\w+)?`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


@page
def test_every_link_leads_somewhere(page: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            wrong.append(target)
    assert wrong == []


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@page
def test_every_setting_and_rule_that_a_page_names_exists(page: Path) -> None:
    settings = {name: tuple(type(value).model_fields) for name, value in Settings()}
    kinds = {name: getattr(kind, "__struct_fields__", ()) for name, kind in get_type_hints(Policy).items()}
    known = (
        settings | {name: fields for name, fields in kinds.items() if fields} | {"business": Policy.__struct_fields__}
    )
    named = re.findall(r"`(\w+)\.([a-z_0-9]+)(?: = [^`]*)?`", page.read_text("utf-8"))
    wrong = [f"{group}.{name}" for group, name in named if group in known and name not in (*known[group], "py")]
    assert wrong == []


@pytest.fixture(scope="module")
def metrics() -> set[str]:
    """Return the names of metrics that the code has."""
    files = (file for folder in ("streams", "console") for file in (ROOT / folder).rglob("*.py"))
    return {name for file in files for name in re.findall(r"\breprieve_[a-z_]+", file.read_text("utf-8"))}


@page
def test_every_metric_that_a_page_names_exists(page: Path, metrics: set[str]) -> None:
    named = set(re.findall(r"\breprieve_[a-z_]+", page.read_text("utf-8")))
    assert {name for name in named if not {name, name.removesuffix("_total")} & metrics} == set()


@page
def test_every_target_of_make_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ {4})make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE))
    assert named - targets == set()


def test_both_readmes_show_the_same_commands_and_pictures() -> None:
    texts = [(ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh.md")]
    commands = [[line.partition("#")[0].strip() for line in re.findall(r"^ {4}(.+)$", t, re.MULTILINE)] for t in texts]
    assert commands[0] == commands[1]
    for number in ("27,230", "958 MiB", "162"):
        assert all(number in text for text in texts)


def test_folders_that_commands_fill_are_not_committed() -> None:
    """Master keys and borrowers' data lie in them."""
    sources = (ROOT / "streams").joinpath
    code = "".join(sources(name).read_text("utf-8") for name in ("settings.py", "cli/servers.py", "cli/common.py"))
    folders = set(re.findall(r'Path\("([\w-]+)"\)', code))
    assert {"data", "servers", "reprieve-data"} <= folders
    assert {f"/{name}/" for name in folders} <= set((ROOT / ".gitignore").read_text("utf-8").splitlines())
