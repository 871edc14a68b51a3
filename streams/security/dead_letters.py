"""Dead letters whose bytes may be personal: sealed when they are written, opened when they are sent in again.

What was refused on `profiles` or `feedback`, and what nobody could read on whatever topic, is sealed under a data key
of its own. The reason and the place stay readable; the key, the value and the headers do not.
"""

from __future__ import annotations

from msgspec import msgpack
from msgspec.structs import replace

from schemas import events as ev
from schemas.topics import PERSONAL_TOPICS
from streams.security.sealed_rows import require_vault
from streams.security.vault import Vault

_Body = tuple[bytes | None, bytes | None, dict[str, bytes]]


def seal_dead_letter(letter: ev.DeadLetter, vault: Vault | None, *, read: bool) -> ev.DeadLetter:
    """Return a letter sealed where it may hold what is personal. read: its event was understood."""
    if vault is None or (read and letter.topic not in PERSONAL_TOPICS):
        return letter
    body = msgpack.encode((letter.key, letter.value, letter.headers))
    return replace(letter, key=None, value=None, headers={}, sealed=vault.seal(body, _scope(letter)))


def rewrap_dead_letter(letter: ev.DeadLetter, vault: Vault) -> ev.DeadLetter:
    """Return a letter with its data key wrapped by the current master key."""
    return letter if letter.sealed is None else replace(letter, sealed=vault.rewrapped(letter.sealed, _scope(letter)))


def open_dead_letter(letter: ev.DeadLetter, vault: Vault | None) -> ev.DeadLetter:
    """Return a letter with its bytes as they came. Raises FatalError where it cannot be opened."""
    if letter.sealed is None:
        return letter
    found = require_vault(vault, "dead letter", letter.event_id).open(letter.sealed, _scope(letter))
    key, value, headers = msgpack.decode(found, type=_Body)
    return replace(letter, key=key, value=value, headers=headers, sealed=None)


def _scope(letter: ev.DeadLetter) -> bytes:
    return b"letter\x1f" + letter.event_id.encode()
