"""Seals bytes under data keys, and opens them.

Two shapes, told from what was stored in the clear by their first byte, 0, which no state and no fact begins with:

    0x00 0x01  length of the wrapped key (2 bytes), wrapped data key, nonce, AES-256-GCM     stands for itself
    0x00 0x02  nonce, AES-256-GCM                                                            under a key kept elsewhere

What each is for (its scope) is authenticated, so that no row can be put in the place of another.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import FatalError
from streams.security.field_encryption import FieldKeys
from streams.security.master_keys import KEY_BYTES, NONCE_BYTES, MasterKeys, wrapper_of

WHOLE, PART = b"\x00\x01", b"\x00\x02"
_HEAD = len(WHOLE) + 2


class DataKey:
    """A data key, ready for use, and as it is wrapped."""

    __slots__ = ("aead", "wrapped")

    def __init__(self, raw: bytes, wrapped: bytes) -> None:
        self.aead = AESGCM(raw)
        self.wrapped = wrapped


def is_sealed(data: bytes) -> bool:
    """Say whether stored bytes are sealed."""
    return data[:2] in (WHOLE, PART)


class Vault:
    """Makes and opens data keys by the master keys. wire: opens what upstream has sealed."""

    def __init__(self, masters: MasterKeys, wire: FieldKeys | None = None) -> None:
        self.masters = masters
        self.wire = wire

    def new_key(self, scope: bytes) -> DataKey:
        """Return a new data key for a scope."""
        raw = os.urandom(KEY_BYTES)
        return DataKey(raw, self.masters.wrap(raw, scope))

    def key_of(self, data: bytes, scope: bytes) -> DataKey:
        """Return the data key that sealed bytes carry, wrapped by the current master key from now on."""
        wrapped = wrapped_of(data, scope)
        raw = self.masters.unwrap(wrapped, scope)
        if wrapper_of(wrapped) != self.masters.current:
            wrapped = self.masters.wrap(raw, scope)
        return DataKey(raw, wrapped)

    def rewrapped(self, data: bytes, scope: bytes) -> bytes:
        """Return sealed bytes with their data key wrapped by the current master key; what it seals is left as it is."""
        wrapped = wrapped_of(data, scope)
        if wrapper_of(wrapped) == self.masters.current:
            return data
        again = self.key_of(data, scope).wrapped
        return WHOLE + len(again).to_bytes(2, "big") + again + data[_HEAD + len(wrapped) :]

    def seal(self, data: bytes, scope: bytes, key: DataKey | None = None) -> bytes:
        """Return bytes sealed so that they stand for themselves; without a key under a new one."""
        key = key or self.new_key(scope)
        return WHOLE + len(key.wrapped).to_bytes(2, "big") + key.wrapped + _encrypted(data, scope, key)

    def open(self, data: bytes, scope: bytes, key: DataKey | None = None) -> bytes:
        """Return what sealed bytes hold. Raises FatalError where they cannot be opened."""
        key = key or self.key_of(data, scope)
        return _decrypted(data[_HEAD + len(wrapped_of(data, scope)) :], scope, key)


def seal_part(data: bytes, scope: bytes, key: DataKey) -> bytes:
    """Return bytes sealed under a key that is kept elsewhere."""
    return PART + _encrypted(data, scope, key)


def open_part(data: bytes, scope: bytes, key: DataKey) -> bytes:
    """Return what such bytes hold. Raises FatalError where they cannot be opened."""
    if data[:2] != PART:
        raise _damaged(scope)
    return _decrypted(data[2:], scope, key)


def wrapped_of(data: bytes, scope: bytes) -> bytes:
    """Return the wrapped data key that sealed bytes carry."""
    size = int.from_bytes(data[2:_HEAD], "big")
    if data[:2] != WHOLE or not size or len(data) < _HEAD + size:
        raise _damaged(scope)
    return data[_HEAD : _HEAD + size]


def wrapper_of_sealed(data: bytes, scope: bytes) -> str:
    """Return the id of the master key that wraps the data key which sealed bytes carry."""
    return wrapper_of(wrapped_of(data, scope))


def _encrypted(data: bytes, scope: bytes, key: DataKey) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + key.aead.encrypt(nonce, data, scope)


def _decrypted(body: bytes, scope: bytes, key: DataKey) -> bytes:
    try:
        return key.aead.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], scope)
    except (InvalidTag, ValueError) as error:
        raise _damaged(scope) from error


def _damaged(scope: bytes) -> FatalError:
    what = scope.decode(errors="replace").replace("\x1f", " ")
    return FatalError(
        f"A sealed row ({what}) cannot be opened with the data key that belongs to it: it was damaged, or put in the "
        "place of another. Restore it from its changelog or a backup."
    )
