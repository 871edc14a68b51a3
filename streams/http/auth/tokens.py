"""Static tokens for people and programs without an issuer: each is shown once, and only its hash is kept.

A token has 256 bits of chance, so nobody finds it by trying and a plain SHA-256 hides it; a slow hash is for words that
people choose. The file is read again when it changes: a token that is revoked is refused from the next request on.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import DecodeError, Struct, json

from schemas.errors import UsageError
from streams.http.auth.permissions import ROLES, Identity

_FORM = re.compile(r"reprieve_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DAY = 86_400


class Token(Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a token. made, until: seconds since 1970; until 0 means for good."""

    id: str
    name: str
    roles: tuple[str, ...]
    sha256: str
    made: int
    until: int = 0

    def identity(self) -> Identity:
        """Return who shows it."""
        return Identity(f"token:{self.id}", self.name, frozenset(self.roles), "token")


class Tokens:
    """The tokens of a file; a file that is not there holds none."""

    def __init__(self, file: Path, now: Callable[[], float] = time.time) -> None:
        self._file, self._now = file, now
        self._seen: tuple[int, int, int] | None = None
        self._tokens: dict[str, Token] = {}

    def all(self) -> list[Token]:
        """Return what is kept. Raises UsageError where the file cannot be read, or others may write it."""
        self._read()
        return list(self._tokens.values())

    def holder(self, shown: str) -> Token | None:
        """Return the token that somebody shows, None where it is no valid one."""
        form = _FORM.fullmatch(shown)
        if form is None:
            return None
        found = self.valid(form[1])
        return found if found is not None and hmac.compare_digest(found.sha256, _hashed(shown)) else None

    def valid(self, token_id: str) -> Token | None:
        """Return a token by its id, unless it was revoked or has ended."""
        self._read()
        found = self._tokens.get(token_id)
        return found if found is not None and (not found.until or self._now() < found.until) else None

    def make(self, name: str, roles: Iterable[str], days: int | None = None) -> str:
        """Keep a new token's hash and return the token, which nobody can show again. days: until it ends."""
        roles = tuple(sorted(set(roles)))
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot name a token: 1 to 64 letters, digits, dots, dashes and underscores.")
        if not roles or not set(roles) <= set(ROLES):
            raise UsageError(f"A token needs one or more roles of {', '.join(ROLES)}.")
        token_id = secrets.token_hex(6)
        shown = f"reprieve_{token_id}_{secrets.token_urlsafe(32)}"
        made = int(self._now())
        self._write(
            [*self.all(), Token(token_id, name, roles, _hashed(shown), made, made + days * _DAY if days else 0)]
        )
        return shown

    def revoke(self, token_id: str) -> Token:
        """Keep a token no more, and return it. Raises UsageError where there is none."""
        kept = self.all()
        gone = next((t for t in kept if t.id == token_id), None)
        if gone is None:
            raise UsageError(f"There is no token {token_id}; `reprieve access tokens` lists those that there are.")
        self._write([t for t in kept if t is not gone])
        return gone

    def _read(self) -> None:
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            self._seen, self._tokens = None, {}
            return
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen == self._seen:
            return
        # Who may write it gives himself any role.
        if stat.st_mode & 0o022:
            raise UsageError(f"Others may write {self._file}. Take that right from them: chmod 600 {self._file}.")
        try:
            tokens = json.decode(self._file.read_bytes(), type=list[Token])
        except DecodeError as error:
            raise UsageError(
                f"{self._file} does not hold tokens: {error}. Make it with `reprieve access token`."
            ) from error
        self._seen, self._tokens = seen, {t.id: t for t in tokens}

    def _write(self, tokens: list[Token]) -> None:
        write_secret(self._file, json.format(json.encode(tokens), indent=1) + b"\n")


def write_secret(file: Path, content: bytes) -> None:
    """Put a file in place as a whole, for its owner alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{os.getpid()}.new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(file)


def _hashed(shown: str) -> str:
    return hashlib.sha256(shown.encode()).hexdigest()
