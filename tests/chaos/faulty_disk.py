"""A worker's disk that becomes slow or full when it is told to: a library that is loaded before C's."""

from __future__ import annotations

import mmap
import struct
import subprocess
from pathlib import Path

_STATE = struct.Struct("ii")


def compile_library(folder: Path) -> Path:
    """Return the library, compile_library into a folder with the system's C compiler (`cc`)."""
    library = folder / "faulty_disk.so"
    if not library.exists():
        source = Path(__file__).with_name("faulty_disk.c")
        # The compiler that whoever runs this has chosen.
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)  # nosec B607
    return library


class FaultyDisk:
    """What a worker's folder is on. `environment` goes to the worker's process."""

    def __init__(self, library: Path, folder: Path) -> None:
        path = folder.with_name(f"{folder.name}.disk")
        path.write_bytes(_STATE.pack(0, 0))
        with open(path, "r+b") as file:
            self._state = mmap.mmap(file.fileno(), _STATE.size)
        self.environment = {
            "LD_PRELOAD": str(library),
            "REPRIEVE_DISK": str(folder.resolve()),
            "REPRIEVE_DISK_STATE": str(path),
        }

    def slow(self, microseconds: int) -> None:
        """Let each write wait."""
        self._state[:] = _STATE.pack(microseconds, 0)

    def full(self) -> None:
        """Let each write fail for want of space."""
        self._state[:] = _STATE.pack(0, 1)

    def heal(self) -> None:
        """Let it be as it is."""
        self._state[:] = _STATE.pack(0, 0)
