"""Personal fields sealed by upstream before they are published, so that the input topics hold nothing readable.

Hybrid public key encryption (RFC 9180: X25519, HKDF-SHA-256, AES-256-GCM) of `cryptography`: upstream has public keys
only, and cannot open what others or it itself have sealed. What an event is about is authenticated with it, so sealed
fields cannot be moved to another borrower or event.

`sealed` holds the length of the key's id, the id, and what was encrypted: a MessagePack map of the fields.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from msgspec import Struct, msgpack
from msgspec.structs import replace

from schemas import events as ev
from schemas.errors import FatalError, InvalidEventError
from schemas.validation import check
from streams.security.key_file import decoded, read_entries

FIELDS: dict[type[ev.Event], tuple[str, ...]] = {
    ev.ProfileReported: (
        "monthly_income",
        "monthly_expenses",
        "other_debt_payments",
        "household_size",
        "region",
        "credit_score",
        "employment",
        "spending",
        "time_zone",
        "locale",
    ),
    ev.OfferAnswered: ("reasons", "counter_amount", "rating", "recording_ref", "comment"),
}
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
Seal = Callable[[ev.Event], ev.Event]


class Public(Struct, forbid_unknown_fields=True):
    """A public key for upstream."""

    id: str
    public: str


def sealer(path: Path) -> Seal:
    """Return what seals events with a file's public key. Raises FatalError where the file is none."""
    try:
        key = msgspec.json.decode(path.read_bytes(), type=Public)
        public = X25519PublicKey.from_public_bytes(b64decode(key.public, validate=True))
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise FatalError(
            f"{path} is no public key to seal with: {type(error).__name__}. Ask for the one that `reprieve keys wire` "
            "wrote."
        ) from error
    return lambda event: encrypt_fields(event, key.id, public)


def encrypt_fields(event: ev.Event, name: str, public: X25519PublicKey) -> ev.Event:
    """Return an event with its personal fields sealed; one that has none is returned as it is."""
    names = FIELDS.get(type(event))
    if names is None or getattr(event, "sealed", None) is not None:
        return event
    defaults = {f.encode_name: _default(f) for f in msgspec.structs.fields(type(event)) if f.encode_name in names}
    said = {n: getattr(event, n) for n in names if getattr(event, n) != defaults[n]}
    raw = name.encode()
    sealed = bytes([len(raw)]) + raw + _SUITE.encrypt(msgpack.encode(said), public, _about(event))
    emptied: dict[str, Any] = {n: defaults[n] for n in said}
    return replace(event, **emptied, sealed=sealed)


class FieldKeys:
    """The private keys that open what upstream has sealed."""

    def __init__(self, keys: Mapping[str, X25519PrivateKey]) -> None:
        self._keys = dict(keys)

    @classmethod
    def of(cls, path: Path) -> FieldKeys:
        """Return those of a file. Raises FatalError where it is missing, open to others, or damaged."""
        return cls({e.id: X25519PrivateKey.from_private_bytes(decoded(e.key, path)) for e in read_entries(path)})

    def opened(self, event: ev.Event) -> ev.Event:
        """Return an event with its personal fields.

        Raises InvalidEventError where they were sealed for others, or damaged.
        """
        data = getattr(event, "sealed", None)
        if data is None:
            return event
        name = data[1 : 1 + data[0]].decode(errors="replace") if data else ""
        key = self._keys.get(name)
        if key is None:
            raise InvalidEventError(
                "unknown_wire_key",
                f"{type(event).__name__} {event.event_id} is sealed with a key that is not in privacy.wire_keys_file. "
                "Put the key there, or seal with the present public key, then replay.",
                "sealed",
            )
        try:
            said = msgpack.decode(_SUITE.decrypt(data[1 + data[0] :], key, _about(event)), type=dict[str, Any])
        except (InvalidTag, ValueError, msgspec.DecodeError) as error:
            raise InvalidEventError(
                "unsealable",
                f"The sealed fields of {type(event).__name__} {event.event_id} cannot be opened: they were damaged, or "
                "sealed for another event. Seal them again.",
                "sealed",
            ) from error
        return _filled(event, said)


def decrypt_fields(event: ev.Event, keys: FieldKeys | None) -> ev.Event:
    """Return an event as it was before upstream sealed it. Raises FatalError where no keys are set for it."""
    if type(event) not in FIELDS or event.sealed is None:  # type: ignore[attr-defined]
        return event
    if keys is None:
        raise FatalError(
            f"{type(event).__name__} {event.event_id} was sealed by upstream, and privacy.wire_keys_file is not set. "
            "Set it; the record stays where it is."
        )
    return keys.opened(event)


def public_of(path: Path) -> bytes:
    """Return the newest public key of a file of private ones, as a file for upstream."""
    entries = read_entries(path)
    if not entries:
        raise FatalError(f"{path} holds no key. Make one with `reprieve keys wire`.")
    last = entries[-1]
    public = X25519PrivateKey.from_private_bytes(decoded(last.key, path)).public_key().public_bytes_raw()
    return msgspec.json.encode(Public(last.id, b64encode(public).decode())) + b"\n"


def _filled(event: ev.Event, said: dict[str, Any]) -> ev.Event:
    names = FIELDS[type(event)]
    plain = {n: tuple(v) if isinstance(v, list) else v for n, v in said.items() if n in names}
    made = replace(event, **plain, sealed=None)
    check(made)
    return made


def _about(event: ev.Event) -> bytes:
    borrower: str = event.borrower_id  # type: ignore[attr-defined]
    return msgpack.encode((type(event).__name__, borrower, event.event_id))


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default_factory() if field.default is msgspec.NODEFAULT else field.default
