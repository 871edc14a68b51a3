"""A server process that we started: found again by its process id and start time, ended only if it is ours."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.errors import FatalError

# Seconds for a server to end by itself before it is killed.
FAREWELL = 20.0


class Server:
    """One server process in a folder; it outlives us, and its process id is kept in a file."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.log = folder / f"{name}.log"
        self._file = folder / f"{name}.pid"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs, None otherwise."""
        try:
            pid, started = self._file.read_text("utf-8").split()
        except (OSError, ValueError):
            return None
        if self._child is not None and self._child.poll() is not None:
            return None
        # A process id is given anew after a while; the start time tells ours from another's.
        return int(pid) if _started_at(int(pid)) == started else None

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start it, unless it runs."""
        if self.pid is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log, _signals_held():
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
            self._file.write_text(f"{self._child.pid} {_started_at(self._child.pid)}", "utf-8")

    def send(self, number: int) -> None:
        """Send a signal to it, where it runs."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, number: int = signal.SIGTERM, patience: float = FAREWELL) -> None:
        """End it and wait until it has ended; after `patience` seconds, kill it."""
        self.send(signal.SIGCONT)
        self.send(number)
        deadline = time.monotonic() + patience
        while self.pid is not None:
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
            time.sleep(0.02)
        if self._child is not None:
            self._child.wait()
            self._child = None
        self._file.unlink(missing_ok=True)

    def last_lines(self) -> str:
        """Return the end of its log."""
        try:
            lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            return "it wrote no log"
        return " / ".join(lines[-5:]) or "it wrote no log"

    def died(self) -> FatalError:
        """Return the error for a server that ended or never answered."""
        return FatalError(f"{self.name} did not come up: {self.last_lines()}. The whole log is {self.log}.")


class Served(ABC):
    """What is started on entering a `with` block, and stopped on leaving it."""

    @abstractmethod
    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""

    @abstractmethod
    def stop(self) -> None:
        """End it in order."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def addresses(ports: Iterable[int]) -> str:
    """Return ports of loopback as Kafka's clients take them, with commas between."""
    return ",".join(f"127.0.0.1:{port}" for port in ports)


def free_port() -> int:
    """Return a port on loopback that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    """Say whether something listens on a port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Deliver signals that end this process behind the block: one between would leave a child that no file names."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda held_one, frame: held.append(held_one)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in held:
            signal.raise_signal(one)


def _started_at(pid: int) -> str:
    """Return when a process was started, as the system counts it; empty where there is none or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
