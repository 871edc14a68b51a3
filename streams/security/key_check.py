"""Whether the master keys are those under which rows were sealed: asked before a single row is written.

A new borrower's row could be sealed under a wrong key without any other row being looked at; so a known word is kept
sealed beside the rows. Beside it stands under which master key all of them have been wrapped since it was rotated.
"""

from __future__ import annotations

from schemas.errors import FatalError
from streams.security.vault import Vault, wrapper_of_sealed
from streams.state_rows import NamedValues

KEY_CHECK, REWRAPPED = "sealed", "rewrapped"
_SCOPE, _KEY_CHECK_VALUE = b"check", b"reprieve"


def check_keys(rows: NamedValues, vault: Vault | None) -> None:
    """See that a vault is that of the rows, where some are sealed. Raises FatalError where it is not."""
    kept = rows.meta(KEY_CHECK)
    if vault is None:
        if kept is not None:
            raise FatalError(
                "Rows of borrowers are sealed here, and privacy.mode is off. Set it to on, with the master keys that "
                "sealed them."
            )
        return
    if kept is not None:
        sealed = bytes.fromhex(kept)
        vault.open(sealed, _SCOPE)
        if wrapper_of_sealed(sealed, _SCOPE) == vault.masters.current:
            return
    else:
        mark_rewrapped(rows, vault)
    rows.set_meta(KEY_CHECK, vault.seal(_KEY_CHECK_VALUE, _SCOPE).hex())


def needs_rewrap(rows: NamedValues, vault: Vault | None) -> bool:
    """Say whether some of the rows may be wrapped by a master key that is not the current one any more."""
    return vault is not None and rows.meta(REWRAPPED) != vault.masters.current


def mark_rewrapped(rows: NamedValues, vault: Vault) -> None:
    """Note that all rows are wrapped by the current master key."""
    rows.set_meta(REWRAPPED, vault.masters.current)


def wrapper_of_check_value(kept: str) -> str:
    """Return the id of the master key that wraps the word, as it is kept."""
    return wrapper_of_sealed(bytes.fromhex(kept), _SCOPE)
