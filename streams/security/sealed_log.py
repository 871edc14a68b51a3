"""Rows of a local runtime's log that may hold what is personal: key, value and headers sealed together.

What came in on `profiles` and `feedback` is sealed, and so is what came in as bare bytes on any topic: nobody knows
what is in it. The data key is the log's own; a borrower's rows are overwritten when they are erased.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from msgspec import msgpack

from streams.security.sealed_rows import require_vault
from streams.security.vault import DataKey, Vault

# No value from outside begins so: Confluent's framing would need a schema with the id 0xFF726570.
MARK = b"\x00\xffreprieve sealed\xff"
_SCOPE = b"log"
NO_HEADERS = msgpack.encode([])


def read_headers(data: bytes) -> list[tuple[str, bytes]]:
    """Return the headers of a stored record."""
    return [] if data == NO_HEADERS else msgpack.decode(data, type=list[tuple[str, bytes]])


class LogRecord(NamedTuple):
    """A row of the log: a record that came in or was published, as the engine takes it.

    position: where it stands in the whole log. timestamp: in ms since 1970. inbound: 1 where it came in.
    """

    position: int
    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    packed_headers: bytes
    timestamp: int
    inbound: int

    @property
    def partition(self) -> int:
        """The only one."""
        return 0

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Its headers; most records have none."""
        return read_headers(self.packed_headers)


class LogSeal:
    """Seals rows of a log, and opens them. Without a vault new rows stay in the clear."""

    def __init__(self, vault: Vault | None) -> None:
        self._vault = vault
        self._new: DataKey | None = None
        self._keys: dict[bytes, DataKey] = {}

    def sealed(self, row: LogRecord) -> LogRecord:
        """Return a row sealed."""
        if self._vault is None:
            return row
        if self._new is None:
            self._new = self._vault.new_key(_SCOPE)
        whole = msgpack.encode((row.key, row.value, row.packed_headers))
        value = MARK + self._vault.seal(whole, _SCOPE, self._new)
        return row._replace(key=None, value=value, packed_headers=NO_HEADERS)

    def rewrapped(self, row: LogRecord, vault: Vault) -> LogRecord:
        """Return a sealed row with its data key wrapped by the current master key."""
        return row._replace(value=MARK + vault.rewrapped((row.value or b"")[len(MARK) :], _SCOPE))

    def opened(self, row: Iterable[Any]) -> LogRecord:
        """Return a row of the table as it came. Raises FatalError where it is sealed and cannot be opened."""
        record = LogRecord(*row)
        if record.value is None or not record.value.startswith(MARK):
            return record
        vault, data = require_vault(self._vault, "log", record.topic), record.value[len(MARK) :]
        wrapped = data[: 4 + int.from_bytes(data[2:4], "big")]
        found = self._keys.get(wrapped)
        if found is None:
            found = self._keys[wrapped] = vault.key_of(data, _SCOPE)
        key, value, headers = msgpack.decode(
            vault.open(data, _SCOPE, found), type=tuple[bytes | None, bytes | None, bytes]
        )
        return record._replace(key=key, value=value, packed_headers=headers)
