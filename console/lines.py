"""Lines of the overview's lists, and the pieces in which what was counted is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from heapq import nsmallest
from itertools import islice
from typing import Any, Protocol

from msgspec import Raw

from agents.amounts import whole
from schemas import events as ev


class Waiting(Protocol):
    """An offer that is open, with its line, encoded, and its place in the list."""

    @property
    def order(self) -> tuple[bool, date, str]:
        """What comes first."""
        ...

    @property
    def shown(self) -> bytes:
        """Its line."""
        ...


# So many accounts or offers a part: decoding one stops nobody for long, and takes little memory beside it.
_PIECE = 20_000


def pieces(all_: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a mapping in pieces."""
    left = iter(all_.items())
    while some := dict(islice(left, _PIECE)):
        yield some


def first(offers: Sequence[Waiting], most: int) -> list[Raw]:
    """Return the lines of offers, those first that wait for somebody most."""
    return [Raw(o.shown) for o in nsmallest(most, offers, key=lambda o: o.order)]


def debt(event: ev.BadDebtChanged) -> dict[str, Any]:
    """Return the line of a bad debt."""
    return {
        "account": event.account_id,
        "day": event.business_date.isoformat(),
        "from": event.from_,
        "to": event.to,
        "days_past_due": event.days_past_due,
        "outstanding": whole(event.outstanding),
        "currency": event.currency,
    }


def offer_line(offer: ev.OfferPublished) -> dict[str, Any]:
    """Return the line of an offer."""
    lead = next((o for o in offer.options if o.option_id == offer.lead_option_id), None)
    return {
        "borrower": offer.borrower_id,
        "offer": offer.offer_id,
        "accounts": list(offer.account_ids),
        "day": offer.business_date.isoformat(),
        "expires": offer.expires_on.isoformat(),
        "kind": offer.kind,
        "tone": offer.tone,
        "options": len(offer.options),
        "lead": None
        if lead is None
        else {"months": lead.term_months, "amount": lead.instalment_amount, "currency": offer.currency},
        "reasons": list(offer.reasons),
    }
