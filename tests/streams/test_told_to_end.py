"""Every process that goes on for ever ends on SIGTERM, also where what it needs refuses it, or never answers."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from deploy.local.processes import free_port
from streams.security.key_file import make

# What a process may take that was told to end: its own last resort comes after 15 s.
PATIENCE = 30.0
COMMANDS = {
    "worker": ["worker"],
    "views": ["views", "run"],
    "console": ["console", "--kafka", "--port", "0"],
    "intake": ["intake", "--port", "0"],
    "webhooks": ["webhooks", "run"],
    "consume": ["consume", "offers", "--kafka", "--follow"],
}
PARTNERS = """
partners:
  - id: shop
    receives: {url: "https://shop.example/hook", secrets: [{env: SHOP_SECRET}], events: [OfferPublished]}
    sends: {secrets: [{env: SHOP_SECRET}], records: {EducationCompleted: {}}}
"""


@contextmanager
def hanging() -> Iterator[int]:
    """Yield a port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        yield server.getsockname()[1]


def started(folder: Path, command: str, **ports: int) -> subprocess.Popen[bytes]:
    """Start a process with what it needs at ports."""
    folder.mkdir(parents=True)
    make(folder / "keys.json")
    (folder / "partners.yaml").write_text(PARTNERS)
    registry = f'[registry]\nurl = "http://127.0.0.1:{ports["registry"]}"\n' if "registry" in ports else ""
    (folder / "settings.toml").write_text(
        f'[kafka]\nbootstrap_servers = "127.0.0.1:{ports["kafka"]}"\n[worker]\ndata_dir = "{folder / "data"}"\n'
        f'log_format = "json"\n[redis]\nurl = "redis://127.0.0.1:{ports["redis"]}/0"\n[privacy]\n'
        f'master_keys_file = "{folder / "keys.json"}"\n[webhooks]\npartners_file = "{folder / "partners.yaml"}"\n'
        f'data_dir = "{folder / "outbox"}"\n[console]\ndata_dir = "{folder / "console"}"\n{registry}'
    )
    arguments = [*COMMANDS[command], "--config", str(folder / "settings.toml")]
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "streams.cli", *arguments],
            stdout=log,
            stderr=log,
            env={"PATH": "", "SHOP_SECRET": "whsec_" + "c2VjcmV0" * 6, "PYTHONPATH": str(Path.cwd())},
        )


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_whatever_waits_for_kafka_ends_when_it_is_told_to(how: str, tmp_path: Path) -> None:
    dice = random.Random(how)
    # Where Kafka refuses it, `consume` ends by itself with a sentence.
    commands = [command for command in COMMANDS if command != "consume" or how == "hangs"]
    with ExitStack() as stack:
        port = stack.enter_context(hanging()) if how == "hangs" else free_port()
        for moment in (0.0, 4.0):
            running = {}
            for command in commands:
                running[command] = started(tmp_path / f"{command}-{moment}", command, kafka=port, redis=port)
                stack.callback(running[command].kill)
            for command, process in running.items():
                _begun(tmp_path / f"{command}-{moment}" / "log", process)
            time.sleep(moment + dice.uniform(0, 0.5))
            for process in running.values():
                process.send_signal(signal.SIGTERM)
            codes = {command: process.wait(PATIENCE) for command, process in running.items()}
            # Python itself ends by SIGINT where it was interrupted in code that was made from text, as it is imported.
            assert {command: code for command, code in codes.items() if code not in (0, 143, -signal.SIGINT)} == {}


def _begun(log: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has its program, and its handlers of signals."""
    deadline = time.monotonic() + 60
    status = Path(f"/proc/{process.pid}/status")
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.02)
    raise AssertionError(log.read_text())
