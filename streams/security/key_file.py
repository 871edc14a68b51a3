"""Master keys in a file that only its owner may read, made and rotated here.

`{"keys": [{"id": "2026-11-25-a1b2", "key": "…"}]}`, the newest last, base64. With a KMS each entry has `wrapped` in
the place of `key`: the same file is then of no use without the KMS (`streams.security.kms`).
"""

from __future__ import annotations

import binascii
import os
import stat
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from schemas.errors import FatalError
from streams.security.master_keys import KEY_BYTES, MasterKeys
from streams.storage_faults import fault_of

Wrap = Callable[[str, bytes], bytes]


class Entry(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A master key: as it is, or as a KMS has wrapped it."""

    id: str
    key: str = ""
    wrapped: str = ""


class _File(Struct, forbid_unknown_fields=True):
    keys: list[Entry]


def read_master_keys(path: Path) -> MasterKeys:
    """Return a file's master keys. Raises FatalError where the file is missing, open to others, or damaged."""
    entries = read_entries(path)
    if any(entry.wrapped for entry in entries):
        raise FatalError(f"{path} holds keys that a KMS has wrapped. Set privacy.kms_url to that KMS.")
    keys = {entry.id: decoded(entry.key, path) for entry in entries}
    return MasterKeys(keys, entries[-1].id if entries else "", str(path))


def read_entries(path: Path) -> list[Entry]:
    """Return a file's entries. Raises FatalError where it is missing, open to others, or damaged."""
    try:
        mode = path.stat().st_mode
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise FatalError(
            f"The master keys {path} cannot be read: {error.strerror}. Personal data are sealed under them: put the "
            "file back, or make one for a new deployment with `reprieve keys make`."
        ) from error
    except OSError as error:
        # The file is there: no advice to make another.
        raise FatalError(
            f"The master keys cannot be read. {fault_of(error, path).message}. Personal data are sealed under them."
        ) from error
    # Its group may read it: a secret that Kubernetes mounts for a user belongs to his group.
    if stat.S_IMODE(mode) & 0o037:
        raise FatalError(
            f"The master keys {path} may be read by others (mode {stat.S_IMODE(mode):04o}). Do: chmod 600, or 440."
        )
    try:
        found = msgspec.json.decode(text, type=_File).keys
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # What a decoder says of a file of keys may quote one.
        raise FatalError(f"The master keys {path} are no file of keys. Restore it from its backup.") from error
    if len({entry.id for entry in found}) != len(found):
        raise FatalError(f"The master keys {path} have two keys of one id. Restore the file from its backup.")
    return found


def decoded(text: str, path: Path) -> bytes:
    """Return the bytes of a base64 text of a key file. Raises FatalError where it is none."""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FatalError(f"The master keys {path} hold a key that is not base64. Restore the file.") from error


def make(path: Path, wrap: Wrap | None = None) -> str:
    """Make a file with one new master key, for its owner alone; returns the key's id. One that is there stays."""
    entry = _new(wrap)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise FatalError(
            f"{path} is there already; a new key beside its keys is made with `reprieve keys rotate`."
        ) from error
    except OSError as error:
        raise FatalError(
            f"The master keys cannot be written. {fault_of(error, path).message}, or name another file."
        ) from error
    _write(fd, [entry])
    _settle(path)
    return entry.id


def rotate(path: Path, wrap: Wrap | None = None) -> str:
    """Add a new master key, which wraps from the next start of a process on; returns its id."""
    entries, entry = read_entries(path), _new(wrap)
    _replace(path, [*entries, entry])
    return entry.id


def drop(path: Path, key_id: str) -> None:
    """Take a master key out of a file.

    Raises FatalError where the file does not have it, or where it is the one that wraps.
    What it alone can open is lost by that: see first that nothing asks for it (`streams.cli.key_usage`).
    """
    entries = read_entries(path)
    if key_id not in [entry.id for entry in entries]:
        raise FatalError(f"{path} has no master key {key_id}. `reprieve keys list` names those that it has.")
    if entries[-1].id == key_id:
        raise FatalError(f"{key_id} is the master key that wraps. Add a newer one first, with `reprieve keys rotate`.")
    _replace(path, [entry for entry in entries if entry.id != key_id])


def _replace(path: Path, entries: Sequence[Entry]) -> None:
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    _write(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), entries)
    os.replace(beside, path)
    _settle(path)


def _new(wrap: Wrap | None) -> Entry:
    name, key = f"{datetime.now(UTC).date()}-{os.urandom(3).hex()}", os.urandom(KEY_BYTES)
    if wrap is None:
        return Entry(name, key=b64encode(key).decode())
    return Entry(name, wrapped=b64encode(wrap(name, key)).decode())


def _write(fd: int, entries: Sequence[Entry]) -> None:
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(_File(list(entries)))) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _settle(path: Path) -> None:
    """Make a file's name durable: without the key what is sealed next could not be read."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
