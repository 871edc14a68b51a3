"""The keys that close what we hand to browsers. The newest closes, all open: so they are changed without a break.

What is closed (Fernet: AES and HMAC-SHA256) can be neither read nor changed by whoever carries it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from msgspec import DecodeError, Struct, json

from schemas.errors import UsageError
from streams.http.auth.tokens import write_secret


class Key(Struct, frozen=True, forbid_unknown_fields=True):
    """A key, and when it was made (seconds since 1970)."""

    key: str
    made: int


class CookieKeys:
    """The keys of a file, shared by all who serve the same pages; without a file, one that ends with the process."""

    def __init__(self, file: Path | None, now: Callable[[], float] = time.time) -> None:
        self._file, self._now = file, now
        self._seen: tuple[int, int, int] | None = None
        self._ring = MultiFernet([Fernet(Fernet.generate_key())])

    def close(self, purpose: str, content: dict[str, Any]) -> str:
        """Return content that only `open` for the same purpose opens."""
        self._read()
        token = self._ring.encrypt_at_time(json.encode([purpose, content]), int(self._now()))
        return token.decode()

    def open(self, purpose: str, closed: str, seconds: float) -> dict[str, Any] | None:
        """Return what was closed within so many seconds, None where that is not so."""
        self._read()
        try:
            found = json.decode(self._ring.decrypt_at_time(closed, int(seconds), int(self._now())))
        except (InvalidToken, UnicodeEncodeError):
            return None
        return found[1] if found[0] == purpose else None

    def rotate(self, keep_seconds: float) -> int:
        """Put a new key first and forget those that are older than what they closed; returns how many are kept."""
        if self._file is None:
            raise UsageError("There is no file of keys. Set access.keys_file (REPRIEVE_ACCESS__KEYS_FILE).")
        now = int(self._now())
        kept = _keys_of(self._file) if self._file.exists() else []
        # A key closes until the next one is made, so the one before this is in use until now.
        old = [k for n, k in enumerate(kept) if n == 0 or now - kept[n - 1].made <= keep_seconds]
        keys = [Key(Fernet.generate_key().decode(), now), *old]
        write_secret(self._file, json.format(json.encode(keys), indent=1) + b"\n")
        return len(keys)

    def _read(self) -> None:
        if self._file is None:
            return
        try:
            stat = self._file.stat()
        except FileNotFoundError as error:
            raise UsageError(f"There is no file of keys {self._file}. Make it: reprieve access rotate-keys.") from error
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen != self._seen:
            # Who may write or read it makes himself any session. Readers of its group are let be: so files are mounted.
            if stat.st_mode & 0o027:
                raise UsageError(f"Others may read or write {self._file}. Take that from them: chmod 600 {self._file}.")
            self._ring = MultiFernet([Fernet(k.key) for k in _keys_of(self._file)])
            self._seen = seen


def _keys_of(file: Path) -> list[Key]:
    try:
        keys = json.decode(file.read_bytes(), type=list[Key])
        for key in keys:
            Fernet(key.key)
    except (DecodeError, ValueError) as error:
        raise UsageError(f"{file} does not hold keys: {error}. Make it anew: reprieve access rotate-keys.") from error
    if not keys:
        raise UsageError(f"{file} holds no key. Make one: reprieve access rotate-keys.")
    return keys
