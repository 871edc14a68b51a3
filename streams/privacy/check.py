"""Whether the master keys are those under which rows were sealed: asked before a single row is written.

A new borrower's row could be sealed under a wrong key without any other row being looked at; so a known word is kept
sealed beside the rows.
"""

from __future__ import annotations

from typing import Protocol

from schemas.errors import Fatal
from streams.privacy.master import wrapper_of
from streams.privacy.vault import Vault, wrapped_of

NAME = "sealed"
_SCOPE, _WORD = b"check", b"reprieve"


class Meta(Protocol):
    """Where named values are kept."""

    def meta(self, name: str) -> str | None:
        """Return a named value, None where there is none."""
        ...

    def set_meta(self, name: str, value: str) -> None:
        """Keep a named value."""
        ...


def check(rows: Meta, vault: Vault | None) -> None:
    """See that a vault is that of the rows, where some are sealed. Raises Fatal where it is not."""
    kept = rows.meta(NAME)
    if vault is None:
        if kept is not None:
            raise Fatal(
                "Rows of borrowers are sealed here, and privacy.mode is off. Set it to on, with the master keys that "
                "sealed them."
            )
        return
    if kept is not None:
        sealed = bytes.fromhex(kept)
        vault.open(sealed, _SCOPE)
        if wrapper_of(wrapped_of(sealed, _SCOPE)) == vault.masters.current:
            return
    rows.set_meta(NAME, vault.seal(_WORD, _SCOPE).hex())
