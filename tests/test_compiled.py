"""A wheel with the compiled readers reads by them, and passes the same tests (`make compiled`: more of them)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
READERS = ("schemas/avro_reader", "streams/kafka/record_reader", "agents/account/payment_reader")
TESTS = ("tests/schemas/test_logical_types.py", "tests/schemas/test_evolution.py", "tests/streams/test_batches.py")
USED = (
    "from schemas import resolution; from streams.kafka import compat; "
    "print(resolution.reader_of.__module__, compat.LightRecord.__module__)"
)


def ran(command: list[str], folder: Path, **environment: str) -> str:
    """Run a command that must succeed; returns what it printed."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER")}
    done = subprocess.run(
        command, cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4_000:]
    return done.stdout


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc)")
def test_a_wheel_with_compiled_readers_passes_the_same_tests(tmp_path: Path) -> None:
    source, unpacked = tmp_path / "source", tmp_path / "unpacked"
    left_out = shutil.ignore_patterns(
        ".git", ".venv", ".cache", "build", "*.egg-info", "*.so", "__pycache__", ".*_cache"
    )
    shutil.copytree(HOUSE, source, ignore=left_out)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), "."]
    ran(build, source, REPRIEVE_COMPILED="1")
    (wheel,) = tmp_path.glob("reprieve-*.whl")
    assert "none-any" not in wheel.name
    zipfile.ZipFile(wheel).extractall(unpacked)
    for name in READERS:
        assert list(unpacked.glob(f"{name}.*.so"))
    assert ran([sys.executable, "-c", USED], unpacked) == "schemas.avro_reader streams.kafka.record_reader\n"
    for name in ("tests", "bench", "pyproject.toml", "setup.py"):
        place = source / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, unpacked / name)
    assert " passed" in ran([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS], unpacked)
