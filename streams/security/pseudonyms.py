"""Ids for the world outside: each partner sees other ones, and two of them cannot put theirs together."""

from __future__ import annotations

import hmac
from base64 import b32encode
from hashlib import sha256

from schemas.errors import UsageError

LEAST_KEY_BYTES = 32


def pseudonym(key: bytes, partner: str, name: str) -> str:
    """Return a partner's id for a borrower or an account: the same for the same key, partner and id, and no other.

    It is the first 160 bits of HMAC-SHA-256 in base32: 32 letters and digits, which fit wherever an id fits. Without
    the key nobody can go back from it, nor try ids out. Raises UsageError for a key of less than 32 bytes.
    """
    if len(key) < LEAST_KEY_BYTES:
        raise UsageError(f"A key of pseudonyms has {len(key)} bytes; it must have {LEAST_KEY_BYTES} at least.")
    # Lengths go before the parts, so that no two pairs of partner and id make the same text.
    text = b"".join(len(part).to_bytes(4, "big") + part for part in (partner.encode(), name.encode()))
    return b32encode(hmac.digest(key, text, sha256)[:20]).decode().lower()
