"""Avro container files of our events: of one record, or of a union of them.

A block is taken out of its compression no further than a block may be large.
"""

from __future__ import annotations

import bz2
import json
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

from schemas import contracts
from schemas.binary_encoding import long
from schemas.errors import InvalidEventError, Rejected, rejected
from schemas.events import Event
from schemas.resolution import Plain, SchemaReader, reading_of, unreadable

MAGIC = b"Obj\x01"
_PIECE = 2**20
_Branch = tuple[Plain, SchemaReader | InvalidEventError]
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
    """Return what takes a block out of a codec. Raises InvalidEventError (`unreadable`) for a codec that is not read.

    It raises InvalidEventError (`too_long`) where more than `MOST` bytes would come out, having made no more than
    these.
    """
    if codec == b"null":
        return bytes
    make = _MAKERS.get(codec)
    if make is None:
        name = codec[:40].decode("utf-8", "replace")
        raise InvalidEventError(
            "unreadable", f"Container files in the codec {name!r} are not read. Write it with null or deflate."
        )

    def decompress(data: bytes) -> bytes:
        made = make()
        out = made.decompress(data, MOST + 1)
        if len(out) > MOST:
            raise InvalidEventError("too_long", f"A block comes to more than {MOST} bytes. Write smaller blocks.")
        # zlib says only of a whole stream that it is one.
        if not getattr(made, "eof", True):
            raise unreadable("", f"a block of {len(data)} bytes breaks off in the middle of its {codec.decode()}")
        return out

    return decompress


class Ahead:
    """A binary stream whose first bytes can be looked at before they are read, from a pipe as well."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held = b""
        self._read = 0

    def peek(self, size: int) -> bytes:
        """Return the next bytes, fewer where the stream ends, and leave them."""
        while len(self._held) < size and (more := self._stream.read(size - len(self._held))):
            self._held += more
        return self._held[:size]

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self._read

    def read(self, size: int = -1) -> bytes:
        """Return that many bytes, fewer where the stream ends; memory follows what is there, not what is asked."""
        pieces = [self._held if size < 0 else self._held[:size]]
        self._held = self._held[len(pieces[0]) :]
        left = sys.maxsize if size < 0 else size - len(pieces[0])
        while left and (piece := self._stream.read(min(left, _PIECE))):
            pieces.append(piece)
            left -= len(piece)
        out = b"".join(pieces)
        self._read += len(out)
        return out

    def readline(self, limit: int) -> bytes:
        """Return the bytes up to and with the next newline, at most `limit`."""
        if not self._held:
            return self._stream.readline(limit)
        end = self._held.find(b"\n") + 1
        out, self._held = (self._held[:end], self._held[end:]) if end else (self._held, b"")
        return out if end else out + self._stream.readline(limit - len(out))


def read(stream: Ahead, name: str) -> Iterator[Event | Rejected]:
    """Return the records of a container file, one after another, with the reason for each that is refused.

    A record that breaks a range leaves the rest of the file readable; bytes that do not follow the
    schema end their block, a broken block ends the file, and either is said.
    """
    number = 1
    try:
        about, sync = _file_header(stream)
        decompress = decompressor(about.get("avro.codec", b"null"))
        branches, is_union = _readers_of(_schema(about.get("avro.schema", b"")))
        while stream.peek(1):
            count, size = _long(stream), _long(stream)
            if count < 0:
                raise unreadable("", f"a block announces {count} records")
            data = decompress(_exactly(stream, size))
            if _exactly(stream, len(sync)) != sync:
                raise unreadable("", "a block does not end where it says")
            yield from _records(data, count, branches, is_union, name, number)
            number += count
    except InvalidEventError as error:
        yield rejected(name, number, error, b"")
    except Exception as error:
        # Whatever a foreign file makes the decompressors and the disk raise, the file ends here.
        why = f"The container file cannot be read from here on: {error!r}. Fetch or write it again."
        yield rejected(name, number, InvalidEventError("unreadable", why), b"")


def _file_header(stream: Ahead) -> tuple[dict[str, bytes], bytes]:
    """Return what a file says of itself, and the marker behind its blocks."""
    stream.read(len(MAGIC))
    about: dict[str, bytes] = {}
    while count := _long(stream):
        if count < 0:
            count, _ = -count, _long(stream)
        for _ in range(count):
            key = _exactly(stream, _long(stream)).decode("utf-8", "replace")
            about[key] = _exactly(stream, _long(stream))
    return about, _exactly(stream, 16)


def _schema(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError("unknown_schema", f"The file's schema is not JSON: {error}. Write it again.") from error


def _long(stream: Ahead) -> int:
    try:
        value, size = long(stream.peek(10), 0)
    except (ValueError, IndexError) as error:
        raise unreadable("", "the file ends, or a number in it does not") from error
    stream.read(size)
    return value


def _exactly(stream: Ahead, size: int) -> bytes:
    if not 0 <= size <= MOST:
        raise unreadable("", f"{size} bytes are announced, which are at most {MOST}")
    data = stream.read(size)
    if len(data) < size:
        raise unreadable("", f"{size} bytes are announced and {len(data)} are left")
    return data


def _records(
    data: bytes, count: int, branches: list[_Branch], is_union: bool, name: str, number: int
) -> Iterator[Event | Rejected]:
    if count > len(data):
        raise unreadable("", f"a block announces {count} records in {len(data)} bytes")
    at = 0
    for line in range(number, number + count):
        start = at
        result: Event | Rejected
        try:
            branch, at = _branch(data, at, len(branches)) if is_union else (0, at)
            plain, reading = branches[branch]
            try:
                if isinstance(reading, InvalidEventError):
                    raise reading
                result, at = reading.read(data, at)
            except InvalidEventError as error:
                at = plain.after(data, at)
                result = rejected(name, line, error, data[start:at])
        except InvalidEventError as error:
            yield rejected(name, line, error, data[start:])
            return
        yield result


def _branch(data: bytes, at: int, count: int) -> tuple[int, int]:
    try:
        branch, at = long(data, at)
    except (ValueError, IndexError) as error:
        raise unreadable("", "the record's place in the union cannot be read") from error
    if not 0 <= branch < count:
        raise unreadable("", f"branch {branch} of a union of {count}")
    return branch, at


def _readers_of(schema: Any) -> tuple[list[_Branch], bool]:
    """Return how to read, or why not to read, each record that a file may hold; and whether it is a union."""
    try:
        whole, names = contracts.parsed(schema)
    except ValueError as error:
        raise InvalidEventError(
            "unknown_schema", f"The file's schema cannot be used: {error}. Write it again."
        ) from error
    if not isinstance(whole, list):
        return [(Plain(whole, names), reading_of(whole, names))], False
    branches: list[_Branch] = []
    for branch in whole:
        try:
            branches.append(
                (
                    Plain(branch, names),
                    reading_of(names.get(branch, branch) if isinstance(branch, str) else branch, names),
                )
            )
        except InvalidEventError as error:
            branches.append((Plain(branch, names), error))
    return branches, True
