"""A process that is really killed, again and again, ends where one that was never killed ends."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from schemas.jsonlines import to_line
from simulator import simulate
from streams.security.sealed_rows import open_state, scope_of
from streams.security.vault import Vault, is_sealed, open_part
from streams.security.vault_factory import local_vault
from streams.state_rows import SEPARATOR

KILLS = 12
SEED = 20261124


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with half a year of a small population, answers to offers and late events included."""
    path = tmp_path_factory.mktemp("history") / "events.jsonl"
    path.write_bytes(b"".join(to_line(event) for event in simulate(accounts=150, days=170, seed=5)))
    return path


def publishing(history: Path, data: Path) -> subprocess.Popen[bytes]:
    """Start the real program on a data directory, in batches small enough that a kill falls between or into them."""
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "publish", str(history), "--data", str(data)],
        env={**os.environ, "REPRIEVE_CHUNK": "40"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def committed(data: Path) -> int:
    """Return how much has been said and committed; repetitions of what was taken before add nothing to it."""
    if not (data / "reprieve.db").exists():
        return 0
    try:
        return int(next(rows(data, "SELECT COUNT(*) FROM log WHERE inbound = 0"))[0])
    except sqlite3.OperationalError:
        # The first transaction, which makes the tables, is not committed yet.
        return 0


def rows(data: Path, query: str) -> Iterator[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{data / 'reprieve.db'}?mode=ro", uri=True)) as db:
        yield from db.execute(query).fetchall()


def ended(process: subprocess.Popen[bytes]) -> str:
    """Return what a process that has ended said on standard error."""
    return process.communicate(timeout=120)[1].decode()


def opened_fact(vault: Vault, agent: str, name: str, value: bytes, state: bytes) -> bytes:
    """Return a stored fact's bytes. state: of its key, which has the data key."""
    if not is_sealed(value):
        return value
    return open_part(value, scope_of(agent, name), vault.key_of(state, scope_of(agent, name.split(SEPARATOR)[0])))


def outcome(data: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return all that must not depend on crashes: what was said, in order, and every state and fact."""
    vault = local_vault(data, new=False)
    states = {(agent, key): (value, due) for agent, key, value, due in rows(data, "SELECT * FROM state")}
    return {
        "said": list(
            rows(data, "SELECT topic, key, value, headers, timestamp FROM log WHERE inbound = 0 ORDER BY position")
        ),
        # Two runs seal the same row under other keys.
        "states": sorted(
            (agent, key, open_state(vault, agent, key, value), due) for (agent, key), (value, due) in states.items()
        ),
        "facts": sorted(
            (agent, name, opened_fact(vault, agent, name, value, states[agent, name.split(SEPARATOR)[0]][0]))
            for agent, name, value in rows(data, "SELECT * FROM fact")
        ),
        "closed": list(rows(data, "SELECT value FROM meta WHERE name = 'closed_through'")),
    }


def test_a_runtime_killed_anywhere_loses_and_doubles_nothing(history: Path, tmp_path: Path) -> None:
    unharmed = tmp_path / "unharmed"
    process = publishing(history, unharmed)
    complaint = ended(process)
    assert process.returncode == 0, complaint
    whole = committed(unharmed)

    dice = random.Random(SEED)
    harmed = tmp_path / "harmed"
    kills = 0
    while True:
        process = publishing(history, harmed)
        # Where to strike is drawn as an amount of committed work, not as a time: no sleeping for luck.
        target = committed(harmed) + dice.randrange(1, whole // KILLS) if kills < KILLS else sys.maxsize
        while process.poll() is None and committed(harmed) < target:
            pass
        if process.poll() is None:
            process.kill()
        complaint = ended(process)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, complaint
        kills += 1

    assert kills >= KILLS // 2
    expected, found = outcome(unharmed), outcome(harmed)
    assert expected["said"], "a history that says nothing proves nothing"
    assert found == expected
