"""A file system of a few MiB that is really full, or read-only, where tests may mount one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A tmpfs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, left: int = 0) -> None:
        """Take all room but about `left` bytes, by a file of another's."""
        handle = os.open(self._ballast, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            os.posix_fallocate(handle, 0, max(1, shutil.disk_usage(self.path).free - left))
            while not left:
                os.write(handle, bytes(4096))
        except OSError:
            assert shutil.disk_usage(self.path).free < 8192
        finally:
            os.close(handle)

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Let nothing be written meanwhile."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.path)], check=True)  # nosec B607
        try:
            yield
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(self.path)], check=True)  # nosec B607


@contextmanager
def mounted(path: Path, mebibytes: int = 32) -> Iterator[SmallDisk]:
    """Yield a disk at a path. Skips the test where this user may not mount one."""
    path.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(  # nosec B607
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted: {made.stderr.decode().strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)  # nosec B607
