"""The walls of the house: who may import whom, and what the core may not know."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from pathlib import Path

import pytest

from schemas import errors

CORE = {"schemas", "state", "agents"}
# By folder; one within another has walls of its own.
MAY_IMPORT = {
    "schemas": set[str](),
    "state": {"schemas"},
    "agents": {"schemas", "state"},
    "streams": CORE,
    "streams/cli": CORE | {"streams", "console", "simulator", "evaluation", "deploy"},
    "streams/demo": CORE | {"streams", "console", "simulator", "evaluation", "deploy"},
    "console": CORE | {"streams"},
    "simulator": CORE | {"streams"},
    "evaluation": CORE | {"streams"},
    "deploy": {"schemas"},
    "tests/support": CORE | {"streams", "console", "simulator", "deploy"},
    "tests/chaos": CORE | {"streams", "simulator", "deploy"},
    "tests/fuzz": CORE | {"streams", "console"},
    "bench": CORE | {"streams", "console", "simulator", "evaluation", "deploy", "tests"},
    "examples": set[str](),
}
OURS = {folder for folder in MAY_IMPORT if "/" not in folder} | {"tests"}
SHELL = {
    "faust",
    "mode",
    "aiokafka",
    "confluent_kafka",
    "redis",
    "structlog",
    "logging",
    "prometheus_client",
    "sqlite3",
    "socket",
    "subprocess",
    "random",
    "secrets",
    "time",
}
CLOCK_OR_CHANCE = {"now", "utcnow", "today", "uuid1", "uuid4", "urandom"}


def modules(root: Path, folder: str) -> list[Path]:
    found = (root / folder).rglob("*.py")
    within = [root / other for other in MAY_IMPORT if other.startswith(f"{folder}/")]
    return sorted(path for path in found if not any(path.is_relative_to(other) for other in within))


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_a_folder_imports_only_downwards(repository: Path, folder: str) -> None:
    files = modules(repository, folder)
    assert files
    for path in files:
        wrong = (imports(path) & OURS) - MAY_IMPORT[folder] - {folder.partition("/")[0]}
        assert not wrong, f"{path.relative_to(repository)} imports {', '.join(sorted(wrong))}"


def test_no_two_folders_import_each_other(repository: Path) -> None:
    files = {path for folder in OURS - {"tests"} for path in (repository / folder).rglob("*.py")}
    folder_of = {".".join(path.relative_to(repository).with_suffix("").parts): path.parent for path in files}
    folder_of |= {name.removesuffix(".__init__"): folder for name, folder in folder_of.items()}
    uses: dict[tuple[Path, Path], list[str]] = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                # A name of a package is a module in it, or a name of its __init__.
                names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
            for folder in {folder_of[name] for name in names if name in folder_of} - {path.parent}:
                uses.setdefault((path.parent, folder), []).append(str(path.relative_to(repository)))
    both = {pair: uses[pair] + uses[pair[::-1]] for pair in uses if pair[::-1] in uses}
    assert not both, both


def test_the_table_for_contributors_is_true(repository: Path) -> None:
    text = (repository / "CONTRIBUTING.md").read_text("utf-8")
    said: dict[str, set[str]] = {}
    for folders, allowed in re.findall(r"^\| (`[^|]+/`) \|[^|]*\| ([^|]+) \|$", text, re.MULTILINE):
        for folder in re.findall(r"`([\w/]+)/`", folders):
            said[folder] = set(re.findall(r"`(\w+)`", allowed))
    assert said == MAY_IMPORT
    # Every folder of ours is in it.
    code = {path.name for path in repository.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert {name for name in code if not name.startswith(".")} - {"build"} <= OURS


@pytest.mark.parametrize("folder", ["state", "agents"])
def test_the_core_knows_no_broker_store_clock_or_chance(repository: Path, folder: str) -> None:
    for path in modules(repository, folder):
        name = path.relative_to(repository)
        assert not imports(path) & SHELL, f"{name} imports {imports(path) & SHELL}"
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in CLOCK_OR_CHANCE, f"{name}:{node.lineno} calls {node.func.attr}()"


def test_the_tree_of_errors_is_drawn_in_full(repository: Path) -> None:
    for folder in ("state", "streams"):
        for path in modules(repository, folder):
            if re.search(r"^class \w+\(\w*Error\):", path.read_text("utf-8"), re.MULTILINE):
                importlib.import_module(".".join(path.relative_to(repository).with_suffix("").parts))

    def below(kind: type[Exception]) -> set[str]:
        return {kind.__name__}.union(*(below(one) for one in kind.__subclasses__() if one.__module__[:5] != "tests"))

    drawn = re.findall(r"^[│├└─ ]*(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    assert set(drawn) == below(errors.ReprieveError)


def test_no_two_files_of_tests_have_one_name(repository: Path) -> None:
    # pytest imports them by their names alone.
    names = Counter(path.name for path in (repository / "tests").rglob("test_*.py"))
    assert not [name for name, times in names.items() if times > 1]


def test_names_of_tests_are_short_and_differ_in_a_file(repository: Path) -> None:
    for path in (repository / "tests").rglob("test_*.py"):
        names = re.findall(r"def (test_\w+)", path.read_text("utf-8"))
        assert [name for name in names if len(name) >= 60] == [], path
        assert len(set(names)) == len(names), path
