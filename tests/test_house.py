"""The walls of the house: who may import whom, and what the core may not know."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

MAY_IMPORT = {
    "schemas": {"schemas"},
    "state": {"schemas", "state"},
    "agents": {"schemas", "state", "agents"},
    "streams": {"schemas", "state", "agents", "streams", "simulator"},
    "simulator": {"schemas", "state", "agents", "streams", "simulator"},
}
OURS = set(MAY_IMPORT)
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
    return sorted((root / folder).rglob("*.py"))


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
        wrong = (imports(path) & OURS) - MAY_IMPORT[folder]
        assert not wrong, f"{path.relative_to(repository)} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("folder", ["state", "agents"])
def test_the_core_knows_no_broker_no_store_no_clock_and_no_chance(repository: Path, folder: str) -> None:
    for path in modules(repository, folder):
        name = path.relative_to(repository)
        assert not imports(path) & SHELL, f"{name} imports {imports(path) & SHELL}"
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in CLOCK_OR_CHANCE, f"{name}:{node.lineno} calls {node.func.attr}()"


def test_a_module_stays_within_a_few_screens(repository: Path) -> None:
    generated = {"schemas/events.py"}
    for folder in MAY_IMPORT:
        for path in modules(repository, folder):
            name = str(path.relative_to(repository))
            if name not in generated:
                lines = len(path.read_text("utf-8").splitlines())
                assert lines <= 350, f"{name} has {lines} lines; split it"
