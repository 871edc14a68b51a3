"""Whose a data directory is: the policy book that it was made under, and the master keys that open it."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import FatalError
from state.policy import PolicyBook
from streams.local.store import Store
from streams.security.key_check import KEY_CHECK, check_keys
from streams.security.vault import Vault
from streams.security.vault_factory import local_vault


def owned(store: Store, book: PolicyBook) -> None:
    """See that a directory is of a policy book. Raises FatalError where it is of another."""
    owner = store.meta("book")
    if owner is None:
        store.set_meta("book", book.name)
    elif owner != book.name:
        raise FatalError(
            f"The data directory was made under the policy {owner}, not {book.name}. Use --policy {owner}, "
            "publish the change as an event (`reprieve policy change`), or replay its events into another directory."
        )


def vault_in(folder: Path, store: Store) -> Vault:
    """Return the vault of a data directory; one where nothing is sealed yet gets its master keys."""
    vault = local_vault(folder, new=store.meta(KEY_CHECK) is None)
    check_keys(store, vault)
    return vault
