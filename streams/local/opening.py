"""Whose a data directory is: the policy book that it was made under, and the master keys that open it."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import Fatal
from state.policy import PolicyBook
from streams.local.store import Store
from streams.privacy.check import NAME, check
from streams.privacy.opening import local_vault
from streams.privacy.vault import Vault


def owned(store: Store, book: PolicyBook) -> None:
    """See that a directory is of a policy book. Raises Fatal where it is of another."""
    owner = store.meta("book")
    if owner is None:
        store.set_meta("book", book.name)
    elif owner != book.name:
        raise Fatal(
            f"The data directory was made under the policy {owner}, not {book.name}. Use --policy {owner}, "
            "publish the change as an event (`reprieve policy change`), or replay its events into another directory."
        )


def vault_in(folder: Path, store: Store) -> Vault:
    """Return the vault of a data directory; one where nothing is sealed yet gets its master keys."""
    vault = local_vault(folder, new=store.meta(NAME) is None)
    check(store, vault)
    return vault
