"""Rows of a local runtime's log that may hold what is personal: key, value and headers sealed together.

What came in on `profiles` and `feedback` is sealed, and so is what came in as bare bytes on any topic: nobody knows
what is in it. The data key is the log's own; a borrower's rows are overwritten when he is erased.
"""

from __future__ import annotations

from msgspec import msgpack

from streams.security.sealed_rows import asked
from streams.security.vault import DataKey, Vault

# No value from outside begins so: Confluent's framing would need a schema with the id 0xFF726570.
MARK = b"\x00\xffreprieve sealed\xff"
_SCOPE = b"log"
_NOTHING = msgpack.encode([])

# position, topic, offset, key, value, headers, timestamp, inbound
Row = tuple[int, str, int, bytes | None, bytes | None, bytes, int, int]


class LogSeal:
    """Seals rows of a log, and opens them. Without a vault new rows stay in the clear."""

    def __init__(self, vault: Vault | None) -> None:
        self._vault = vault
        self._new: DataKey | None = None
        self._keys: dict[bytes, DataKey] = {}

    def sealed(self, row: Row) -> Row:
        """Return a row sealed."""
        if self._vault is None:
            return row
        if self._new is None:
            self._new = self._vault.new_key(_SCOPE)
        position, topic, offset, key, value, headers, timestamp, inbound = row
        whole = msgpack.encode((key, value, headers))
        value = MARK + self._vault.seal(whole, _SCOPE, self._new)
        return (position, topic, offset, None, value, _NOTHING, timestamp, inbound)

    def rewrapped(self, row: Row, vault: Vault) -> Row:
        """Return a sealed row with its data key wrapped by the current master key."""
        position, topic, offset, key, value, headers, timestamp, inbound = row
        value = MARK + vault.rewrapped((value or b"")[len(MARK) :], _SCOPE)
        return (position, topic, offset, key, value, headers, timestamp, inbound)

    def opened(self, row: Row) -> Row:
        """Return a row as it came. Raises FatalError where it is sealed and cannot be opened."""
        position, topic, offset, _, value, _, timestamp, inbound = row
        if value is None or not value.startswith(MARK):
            return row
        vault, data = asked(self._vault, "log", topic), value[len(MARK) :]
        wrapped = data[: 4 + int.from_bytes(data[2:4], "big")]
        found = self._keys.get(wrapped)
        if found is None:
            found = self._keys[wrapped] = vault.key_of(data, _SCOPE)
        key, value, headers = msgpack.decode(
            vault.open(data, _SCOPE, found), type=tuple[bytes | None, bytes | None, bytes]
        )
        return (position, topic, offset, key, value, headers, timestamp, inbound)
