"""Secrets by reference: a file or an environment variable is named, and read when it is needed.

A file is read again once it has changed, so a key is rotated without a restart. No secret is in a message, a log
line or a representation of an object.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from schemas.errors import RetryableError
from streams.partners.signing import secret_of

_LARGEST = 4_096


class SecretRef(Struct, frozen=True):
    """Where a secret is: one of an environment variable's name and a file's."""

    env: Annotated[str, Meta(max_length=200)] = ""
    file: Annotated[str, Meta(max_length=1_000)] = ""

    def place(self) -> str:
        """Return what to call it."""
        return f"the variable {self.env}" if self.env else f"the file {self.file}"


class Keyring:
    """The keys of one partner and direction."""

    def __init__(self, refs: Sequence[SecretRef]) -> None:
        self._refs = refs
        self._read: dict[str, tuple[tuple[int, int], bytes]] = {}

    def keys(self) -> list[bytes]:
        """Return the keys, in the order of their references. Raises RetryableError where one cannot be had."""
        return [self._key(ref) for ref in self._refs]

    def _key(self, ref: SecretRef) -> bytes:
        try:
            if ref.env:
                return secret_of(os.environ[ref.env].strip())
            path = Path(ref.file)
            found = path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            kept = self._read.get(ref.file)
            if kept is None or kept[0] != stamp:
                if found.st_size > _LARGEST:
                    raise ValueError(f"it has {found.st_size} bytes")
                kept = self._read[ref.file] = (stamp, secret_of(path.read_text("utf-8").strip()))
            return kept[1]
        except KeyError:
            raise RetryableError(f"The secret in {ref.place()} is not set.") from None
        except OSError as error:
            raise RetryableError(f"The secret in {ref.place()} cannot be read: {error.strerror}.") from None
        except ValueError as error:
            why = "it is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise RetryableError(
                f"The secret in {ref.place()} cannot be used: {why}. Write {'whsec_'} and the base64 of 24 to 64 "
                "random bytes."
            ) from None
