"""A data directory, read beside the process that writes it, which SQLite's write-ahead log allows."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from schemas.errors import FatalError
from streams.local.store import FILE, Tables, connected_to_read, faults_of_data
from streams.security.key_check import KEY_CHECK
from streams.security.key_file import read_master_keys
from streams.security.sealed_log import LogSeal
from streams.security.vault import Vault
from streams.security.vault_factory import local_keys


class ReadTables(Tables):
    """What is committed, for the thread that opened it. `vault` opens what is sealed; `seal`, rows of the log.

    vault: without one the directory's own. Raises FatalError where there is no data, or none of ours.
    """

    def __init__(self, folder: Path, file: str = FILE, vault: Vault | None = None) -> None:
        self.path = path = folder / file
        if not path.exists():
            raise FatalError(
                f"There is no data in {folder}. Publish events into it first, or name another with --data."
            )
        with faults_of_data(path):
            super().__init__(connected_to_read(path))
        try:
            with faults_of_data(path):
                self.meta("book")
        except sqlite3.DatabaseError as error:
            self.db.close()
            raise FatalError(f"{path} is no data of Reprieve: {error}. Name another directory with --data.") from error
        except FatalError:
            self.db.close()
            raise
        # A data directory of an earlier release has no master keys, and nothing in it is sealed.
        own = vault is None and self.meta(KEY_CHECK)
        self.vault = Vault(read_master_keys(local_keys(folder))) if own else vault
        self.seal = LogSeal(self.vault)

    def close(self) -> None:
        """Close the file."""
        self.db.close()
