"""A borrower's state under change: what one event, or one close, changes and publishes."""

from __future__ import annotations

from datetime import date

from msgspec.structs import replace

from agents.base import EventHeader, derived_id
from agents.planner import SOURCE
from agents.planner.offer_outcomes import record_end
from schemas import events as ev
from state.borrower import BorrowerState, LastOffer, OfferEnd

# The prefix of the fact key under which an offer is stored.
OFFER_FACT = "offer:"


class BorrowerHeader(EventHeader):
    """The fields that the planner's events of a borrower have in common."""

    borrower_id: str


class BorrowerUpdate:
    """A borrower's state under change: `s` is changed in place, outputs and facts are collected.

    today: ordinal of the business date. cause: the event that is handled; identity: its natural identity, from which
    ids derive. caused_by: the event that the outputs name as their cause.
    """

    __slots__ = ("cause", "caused_by", "facts", "identity", "outputs", "s", "today")

    def __init__(self, s: BorrowerState, cause: ev.Event, identity: str, today: int) -> None:
        self.s = s
        self.cause = cause
        self.caused_by = cause.event_id
        self.identity = identity
        self.today = today
        self.outputs: list[ev.Event] = []
        self.facts: list[tuple[str, ev.Event]] = []

    def header(self, event_id: str) -> BorrowerHeader:
        """Return what every event of this update has, with an id of its own."""
        return {
            "event_id": event_id,
            "occurred_at": self.cause.occurred_at,
            "source": SOURCE,
            "borrower_id": self.s.borrower_id,
            "business_date": date.fromordinal(self.today),
            "caused_by": self.caused_by,
        }

    def emit(self, event: ev.Event, fact_key: str = "") -> None:
        """Publish an event. fact_key: under which it is stored as a fact too."""
        self.outputs.append(event)
        if fact_key:
            self.facts.append((fact_key, event))

    def withdraw_offer(self, reason: str, end: OfferEnd = "withdrawn") -> None:
        """Withdraw the open offer, if there is one."""
        offer = self.s.open_offer()
        if offer is None:
            return
        self.s.offer = replace(offer, end=end, affordability_limit=0)
        record_end(self.s, offer.offer_id, end)
        # One id per offer, whichever of several accounts is reported first.
        header = self.header(derived_id(offer.offer_id, "OfferWithdrawn"))
        self.emit(ev.OfferWithdrawn(**header, offer_id=offer.offer_id, reason=reason))

    def expire_offer(self, offer: LastOffer) -> None:
        """Let an open offer expire. It can still turn out to have been accepted in time."""
        self.s.offer = replace(offer, end="expired", affordability_limit=0)
        if offer.choices:
            self.s.lapsed = (*self.s.lapsed, self.s.offer)
        record_end(self.s, offer.offer_id, "expired")
        header = self.header(derived_id(self.identity, "OfferExpired", offer.offer_id))
        self.emit(ev.OfferExpired(**header, offer_id=offer.offer_id))
