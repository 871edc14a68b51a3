"""Master keys: they wrap the data keys of borrowers, and nothing else.

A ring holds several, each with an id; the newest wraps, all of them unwrap. So a key is rotated by adding one: what is
written from then on is under the new key, and what an older one wrapped stays readable while that one is in the ring.

The data keys are wrapped by AES-256-GCM of `cryptography`; what they are for is authenticated with them, so a data key
cannot be passed off as another borrower's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import FatalError

KEY_BYTES, NONCE_BYTES = 32, 12
MOST_ID_BYTES = 64


class MasterKeys:
    """A ring of master keys by id.

    current: the id of the one that wraps. place: where they come from, for errors.
    """

    def __init__(self, keys: Mapping[str, bytes], current: str, place: str) -> None:
        if current not in keys:
            raise FatalError(f"{place} holds no master key. Make one with `reprieve keys make`.")
        for name, key in keys.items():
            if len(key) != KEY_BYTES:
                raise FatalError(f"The master key {name} of {place} has {len(key)} bytes; it must have {KEY_BYTES}.")
            if not 0 < len(name.encode()) <= MOST_ID_BYTES:
                raise FatalError(
                    f"A master key of {place} has an id of {len(name.encode())} bytes; 1 to 64 are allowed."
                )
        self.current = current
        self.place = place
        self._raw = dict(keys)
        self._keys = {name: AESGCM(key) for name, key in keys.items()}

    @property
    def ids(self) -> list[str]:
        """The ids, the one that wraps last."""
        return [name for name in self._keys if name != self.current] + [self.current]

    def wrap(self, data_key: bytes, scope: bytes) -> bytes:
        """Return a data key wrapped for a scope by the current master key."""
        name, nonce = self.current.encode(), os.urandom(NONCE_BYTES)
        return bytes([len(name)]) + name + nonce + self._keys[self.current].encrypt(nonce, data_key, scope)

    def unwrap(self, wrapped: bytes, scope: bytes) -> bytes:
        """Return a data key.

        Raises FatalError where its master key is missing or another: nothing may go on without it.
        """
        name = wrapper_of(wrapped)
        key = self._keys.get(name)
        if key is None:
            raise FatalError(
                f"Personal data are sealed under the master key {name!r}, and {self.place} has only "
                f"{', '.join(map(repr, self.ids))}. Put {name!r} back; nothing was lost, and nothing is processed "
                "until it is there."
            )
        body = wrapped[1 + len(name.encode()) :]
        try:
            return key.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], scope)
        except InvalidTag as error:
            raise FatalError(
                f"A data key cannot be opened with the master key {name!r} of {self.place}: the key under this id is "
                "another than the one that sealed it, or the row is damaged. Put the right key back, or restore the "
                "row from its changelog or a backup."
            ) from error


def wrapper_of(wrapped: bytes) -> str:
    """Return the id of the master key that wrapped a data key."""
    return wrapped[1 : 1 + wrapped[0]].decode(errors="replace") if wrapped else ""
