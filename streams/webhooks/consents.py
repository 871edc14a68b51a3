"""What is known of borrowers: whose account is whose, and who may be told of them. Kept in the outbox's file."""

from __future__ import annotations

import time
from collections.abc import Iterable

from schemas import events as ev
from state.profile import millis
from streams.webhooks.outbox import Outbox

# What this module learns from, by topic.
CONTEXT: dict[str, frozenset[type[ev.Event]]] = {
    "profiles": frozenset({ev.ConsentGranted, ev.ConsentWithdrawn, ev.ErasureRequested}),
    "accounts": frozenset({ev.AccountOpened, ev.OpeningPosition}),
}


class Consents:
    """Consents and accounts, as far as they were read.

    processors: partners that need no consent; of all others, even those that are declared no more, payloads of a
    borrower are dropped when he is erased. read_at: when all that Kafka had of them was read last, by the monotonic
    clock.
    """

    def __init__(self, outbox: Outbox, processors: Iterable[str]) -> None:
        self._outbox = outbox
        self._db = outbox.db
        self._processors = tuple(processors)
        self.read_at = float("-inf")

    def age(self) -> float:
        """Return since how many seconds a withdrawal could have gone unseen."""
        return time.monotonic() - self.read_at

    def take(self, event: ev.Event) -> None:
        """Note what an event tells, within the transaction that notes its place."""
        match event:
            case ev.AccountOpened() | ev.OpeningPosition() | ev.PlanActivated():
                # An account stays its borrower's: the first who is named is the one.
                self._db.execute("INSERT OR IGNORE INTO account VALUES (?, ?)", (event.account_id, event.borrower_id))
            case ev.ConsentGranted():
                self._note(event, millis(event.occurred_at), 0)
            case ev.ConsentWithdrawn():
                self._note(event, 0, millis(event.occurred_at))
            case ev.ErasureRequested():
                self._erase(event)
            case _:
                pass

    def _note(self, event: ev.ConsentGranted | ev.ConsentWithdrawn, granted: int, withdrawn: int) -> None:
        self._db.execute(
            "INSERT INTO consent VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "granted = max(granted, excluded.granted), withdrawn = max(withdrawn, excluded.withdrawn)",
            (event.borrower_id, event.purpose, event.consent_id, granted, withdrawn),
        )

    def _erase(self, event: ev.ErasureRequested) -> None:
        at = millis(event.occurred_at)
        self._db.execute(
            "INSERT INTO erased VALUES (?, ?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
            (event.borrower_id, at),
        )
        marks = ",".join("?" * len(self._processors))
        # Payloads are dropped; what tells a partner to forget the borrower still goes out.
        self._db.execute(
            "UPDATE delivery SET state = 'withheld', ended = ?, why = 'erased', payload = NULL WHERE borrower_id = ? "  # nosec B608
            f"AND state IN ('pending', 'parked') AND partner NOT IN ({marks}) "
            "AND type NOT IN ('ErasureRequested', 'ConsentWithdrawn')",
            (int(time.time() * 1000), event.borrower_id, *self._processors),
        )

    def borrower_of(self, event: ev.Event) -> str | None:
        """Return whom an event is about, None where nobody knows."""
        named = getattr(event, "borrower_id", None)
        if named is not None:
            return str(named)
        query = "SELECT borrower_id FROM account WHERE account_id = ?"
        row = self._db.execute(query, (getattr(event, "account_id", ""),)).fetchone()
        return None if row is None else str(row[0])

    def consents(self, borrower_id: str, purpose: str) -> bool:
        """Say whether a consent for a purpose is in force; a withdrawal of the same instant wins."""
        query = """
            SELECT 1 FROM consent c WHERE borrower_id = ? AND purpose = ? AND granted > withdrawn
            AND granted > coalesce((SELECT at FROM erased e WHERE e.borrower_id = c.borrower_id), 0) LIMIT 1"""
        return self._db.execute(query, (borrower_id, purpose)).fetchone() is not None

    def was_told(self, borrower_id: str, partner: str) -> bool:
        """Say whether a partner has been told of a borrower, or is about to be."""
        query = """
            SELECT 1 FROM told WHERE borrower_id = ? AND partner = ?
            UNION ALL SELECT 1 FROM delivery WHERE partner = ? AND borrower_id = ? AND state = 'pending' LIMIT 1"""
        return self._db.execute(query, (borrower_id, partner, partner, borrower_id)).fetchone() is not None
