"""Signatures of the Standard Webhooks specification: symmetric (`v1`), over id, time and the body's very bytes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct
from standardwebhooks import Webhook

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
PREFIX = "whsec_"
# What the specification asks of a secret, in bytes.
LEAST, MOST = 24, 64

_ID = re.compile(r"[!-~]{1,128}")
_SECONDS = re.compile(r"[0-9]{1,12}")
# More signatures than a sender has secrets are an attempt to make us work.
_SIGNATURES = 16


class SignatureError(Exception):
    """A message is not signed as it must be. It says why in words for logs, never for the sender."""


class Signed(Struct, frozen=True):
    """What a signature vouches for: the message's id, and when it was sent, in seconds since the epoch."""

    message_id: str
    at: int


def secret_of(text: str) -> bytes:
    """Return the key of a secret `whsec_…`. Raises ValueError with a remedy that does not repeat it."""
    if not text.startswith(PREFIX):
        raise ValueError(f"it does not begin with {PREFIX}")
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("what follows whsec_ is not base64") from error
    if not LEAST <= len(key) <= MOST:
        raise ValueError(f"it has {len(key)} bytes, where the specification asks for {LEAST} to {MOST}")
    return key


def signed(keys: Sequence[bytes], message_id: str, at: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message, signed with every key, so that a receiver may have any of them."""
    instant = datetime.fromtimestamp(at, UTC)
    signatures = [Webhook(key).sign(message_id, instant, body.decode()) for key in keys]
    return {ID: message_id, TIMESTAMP: str(at), SIGNATURE: " ".join(signatures)}


def verified(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, *, now: float, tolerance: float) -> Signed:
    """Return what the signature of a message vouches for. headers: by name, whatever its case.

    The body need be no text. Raises SignatureError, after as much work whatever is wrong with the signature.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, at, signatures = given.get(ID, ""), given.get(TIMESTAMP, ""), given.get(SIGNATURE, "")
    if not _ID.fullmatch(message_id) or not _SECONDS.fullmatch(at):
        raise SignatureError("the headers webhook-id and webhook-timestamp are missing or malformed")
    offered = [part for part in signatures.split(" ")[:_SIGNATURES] if part.startswith("v1,")]
    matches = False
    for key in keys:
        digest = hmac.new(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256).digest()
        wanted = b"v1," + base64.b64encode(digest)
        for part in offered:
            matches |= hmac.compare_digest(wanted, part.encode("utf-8", "replace"))
    if not matches:
        raise SignatureError("no signature matches")
    if abs(now - int(at)) > tolerance:
        raise SignatureError(f"it was signed {now - int(at):.0f} s ago")
    return Signed(message_id, int(at))
