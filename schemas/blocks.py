"""The blocks of container files out of their compression, and no further than a block may be large."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from schemas.errors import BadInput
from schemas.plain import unreadable

# Bytes of one block, compressed or not: a file of any size is read, a block is held in memory.
MOST = 64 * 2**20


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


_MAKERS: dict[bytes, Callable[[], _Decompressor]] = {
    b"deflate": lambda: zlib.decompressobj(-15),
    b"bzip2": bz2.BZ2Decompressor,
    # A dictionary may ask for gigabytes.
    b"xz": lambda: lzma.LZMADecompressor(memlimit=2 * MOST),
}


def decompressor(codec: bytes) -> Callable[[bytes], bytes]:
    """Return what takes a block out of a codec. Raises BadInput (`unreadable`) for a codec that is not read.

    It raises BadInput (`too_long`) where more than `MOST` bytes would come out, having made no more than these.
    """
    if codec == b"null":
        return bytes
    make = _MAKERS.get(codec)
    if make is None:
        name = codec[:40].decode("utf-8", "replace")
        raise BadInput(
            "unreadable", f"Container files in the codec {name!r} are not read. Write it with null or deflate."
        )

    def decompress(data: bytes) -> bytes:
        made = make()
        out = made.decompress(data, MOST + 1)
        if len(out) > MOST:
            raise BadInput("too_long", f"A block comes to more than {MOST} bytes. Write smaller blocks.")
        # zlib says only of a whole stream that it is one.
        if not getattr(made, "eof", True):
            raise unreadable("", f"a block of {len(data)} bytes breaks off in the middle of its {codec.decode()}")
        return out

    return decompress
