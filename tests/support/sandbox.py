"""A root file system that has only what an image would have, made of mounts: no container engine is needed, but root.

The system's folders and Python are there read-only, as the base image would bring them. Whatever runs in it is process
1, has no privileges, no home, and no name in /etc/passwd.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import pytest

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc")
USER = 10001


class Box:
    """Folders of this machine by the path that they have inside. folder: an empty one, for the root.

    writable and readable: what is mounted there. user: None for root, as a build is.
    """

    def __init__(
        self, folder: Path, *, writable: Mapping[str, Path], readable: Mapping[str, Path], user: int | None = USER
    ) -> None:
        if os.geteuid() or shutil.which("unshare") is None or shutil.which("setpriv") is None:
            pytest.skip("a root file system is made by root, with unshare and setpriv of util-linux")
        folder.mkdir()
        self._root = folder
        self._writable = writable
        # Of a virtual environment, what it was made with.
        self._readable = {sys.base_prefix: Path(sys.base_prefix), **readable}
        self._user = user

    def start(self, *command: str, environment: Mapping[str, str], log: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Start a command inside, in the first writable folder."""
        lines = ["set -e", f"root={shlex.quote(str(self._root))}", "mount -t tmpfs -o mode=755 root $root"]
        lines.append("mkdir $root/tmp $root/proc $root/dev && mount -t tmpfs -o mode=1777 tmp $root/tmp")
        lines.append("mount -t proc proc $root/proc && mount --rbind /dev $root/dev")
        for name in map(Path, SYSTEM):
            if name.is_symlink():
                lines.append(f"ln -s {name.readlink()} $root{name}")
            elif name.is_dir():
                lines += self._mount(name, str(name), "ro")
        for inside, outside in self._readable.items():
            lines += self._mount(outside, inside, "ro")
        for inside, outside in self._writable.items():
            lines += self._mount(outside, inside, "rw")
        lines.append("mount -o remount,ro $root")
        lines.append('exec /usr/sbin/chroot $root /bin/sh -c \'cd "$0" && exec "$@"\' "$@"')
        privileges: list[str] = []
        if self._user is not None:
            number = str(self._user)
            privileges = ["setpriv", "--reuid", number, "--regid", number, "--clear-groups"]
            privileges += ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
        namespaces = ["/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return subprocess.Popen(
            [*namespaces, "sh", "-c", "\n".join(lines), "box", next(iter(self._writable)), *privileges, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
        )

    def run(self, *command: str, environment: Mapping[str, str], patience: float = 240) -> tuple[int, str]:
        """Run a command inside to its end; returns its exit code and what it wrote."""
        process = self.start(*command, environment=environment, log=subprocess.PIPE)
        out, _ = process.communicate(timeout=patience)
        return process.returncode, out.decode()

    def _mount(self, outside: Path, inside: str, how: str) -> list[str]:
        place = f"$root{shlex.quote(inside)}"
        return [f"mkdir -p {place} && mount --bind {shlex.quote(str(outside))} {place}"] + (
            [f"mount -o remount,bind,ro {place}"] if how == "ro" else []
        )


def signalled(process: subprocess.Popen[bytes], number: int, patience: float = 120) -> int:
    """Send a signal to process 1 of a box, and return the exit code with which it ended."""
    (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("utf-8").split()
    os.kill(int(first), number)
    return process.wait(patience)
