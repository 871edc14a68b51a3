"""Which partner is told of an event, and what of it: decided when it is read, and again when it is sent."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from agents.base import derived_id
from schemas import events as ev
from schemas.openapi import NOTICES
from streams.partners.fields import project
from streams.partners.partner_registry import Partner, Receives
from streams.webhooks.consents import Consents
from streams.webhooks.metrics import QUEUED, SKIPPED
from streams.webhooks.outbox import Delivery, Outbox

_NOTICES = {kind.__name__ for kind in NOTICES}
_encode = msgspec.json.Encoder(order="deterministic").encode


def message_id(event: ev.Event, borrower: str) -> str:
    """Return the id under which an event is delivered once: the event's own where Reprieve made it.

    A notice came in, and its event_id identifies it within its borrower only.
    """
    kind = type(event)
    return derived_id(f"{borrower}/{event.event_id}", kind.__name__) if kind in NOTICES else event.event_id


class Router:
    """Queues events for partners by the partners' file, whoever brings them."""

    def __init__(self, partners: Mapping[str, Partner], outbox: Outbox, consents: Consents) -> None:
        self._receiving = {p.id: p.receives for p in partners.values() if p.receives is not None}
        self._trees = {(name, kind): part.tree(kind) for name, part in self._receiving.items() for kind in part.events}
        self.outbox = outbox
        self.consents = consents

    def take(self, event: ev.Event) -> None:
        """Queue an event for whom it is meant, and note what it tells, within the transaction that notes its place."""
        QUEUED.inc(self._queue(event))
        self.consents.take(event)

    def _queue(self, event: ev.Event) -> int:
        """Queue an event; returns for how many partners.

        Whoever may not be told of the borrower now is not queued for: what nobody consents to is not kept either.
        """
        kind = type(event).__name__
        wanting = [name for name, part in self._receiving.items() if kind in part.events]
        if not wanting:
            return 0
        borrower = self.consents.borrower_of(event)
        if borrower is None:
            # Its AccountOpened is no longer in Kafka, so nobody knows whose consent to ask for.
            SKIPPED.labels(reason="unknown_account").inc(len(wanting))
            return 0
        queued = 0
        plain, now = msgspec.to_builtins(event), int(time.time() * 1000)
        for name in wanting:
            if not self.may(name, kind, borrower, event):
                SKIPPED.labels(reason="no_consent").inc()
                continue
            body = _encode(project(plain, self._trees[name, kind]))
            queued += self.outbox.queue(
                name, message_id(event, borrower), kind, borrower, plain["occurred_at"], body, now
            )
        return queued

    def may(self, partner: str, kind: str, borrower: str, event: ev.Event | None = None) -> bool:
        """Say whether a partner may be told of a borrower now."""
        part = self._receiving[partner]
        if kind not in part.events:
            # It was asked for when it was queued, and is no more.
            return False
        if kind in _NOTICES:
            # Who was told must hear that he has to forget: of an erasure, and of a consent that was his own.
            own = not isinstance(event, ev.ConsentWithdrawn) or event.purpose == part.purpose
            return own and (event is None or self.consents.was_told(borrower, partner))
        return part.consent == "processor" or self.consents.consents(borrower, part.purpose)

    def needs_consent(self, partner: str, kind: str) -> bool:
        """Say whether a delivery depends on what is known of consents."""
        return kind not in _NOTICES and self._receiving[partner].consent == "needed"

    def part(self, partner: str) -> Receives:
        """Return what a partner receives."""
        return self._receiving[partner]

    def body(self, one: Delivery) -> bytes:
        """Return the body of a delivery, with no more fields than the partner gets by now."""
        tree = self._trees.get((one.partner, one.type), {"event_id": None})
        data = project(msgspec.json.decode(one.payload or b"{}"), tree)
        return _encode({"type": one.type, "timestamp": one.timestamp, "data": data})
