"""Which kind of option is recommended to whom, with which probability, and how often it is accepted.

Three events describe an offer, and over Kafka they arrive in any order: its decision (`DecisionLogged`), its
publication, and its end. The projection stores a record per offer until it has all three; then only counters remain,
and eight bytes of each expired offer, since an acceptance that was made in time may be read late. No count depends on
the order in which topics are read.
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import sha256
from typing import Any

from msgspec import Struct

from agents.planner.offer_outcomes import REFUSED
from schemas import events as ev
from state.intervals import wilson
from state.learning import FEATURES, MILLI

# Upper edges of the bands: months; basis points of present value that are given up, as the learner's curve has them.
_TERMS, _RELIEFS = (6, 12, 24, 36, 60), (200, 1_000)
TERMS = ("to_6", "to_12", "to_24", "to_36", "to_60", "over_60")
RELIEFS = ("to_2", "to_10", "over_10")
# Upper edges of days past due, and what accounts with these are called.
_DAYS = (0, 30, 60, 90)
BUCKETS = ("current", "dpd_1_30", "dpd_31_60", "dpd_61_90", "dpd_over_90")
# The feature of a decision that gives days past due, as a share of so many days.
ARREARS, _YEAR = FEATURES.index("arrears"), 360
# A million of this are certainty, so that sums of probabilities are the same in any order.
MILLION = 1_000_000
# Cells, beyond which all products share one; expired offers that are remembered, the latest; and rows on the page.
CELLS, EXPIRED, ROWS = 5_000, 100_000, 60
OTHER = "other"

# jurisdiction (of a country), product, bucket, arm, and of an option: term, shape, relief
Cell = tuple[str, str, str, str, str, str, str]


class Counts(Struct, array_like=True):
    """Offers that contain one kind of option, for one kind of account.

    shown: all of them. propensity: the sum of the probabilities to recommend it, millionths. recommended: offers that
    recommended it; of these, accepted: offers that became a plan by any option, and refused: offers that expired, were
    declined or countered. An offer that is open, or was withdrawn for other reasons, is in neither.
    """

    shown: int = 0
    propensity: int = 0
    recommended: int = 0
    accepted: int = 0
    refused: int = 0


class _PendingOffer(Struct, array_like=True):
    """An offer of which an event is missing. kinds, propensities: by option, None before the event that has them.

    cell: that of the recommended option, once only the end is missing. end: accepted, a reason of `REFUSED`, or other.
    """

    account: str = ""
    place: tuple[str, str] | None = None
    recommended: str = ""
    kinds: dict[str, tuple[str, str, str]] | None = None
    propensities: dict[str, int] | None = None
    bucket: str = ""
    arm: str = ""
    cell: int | None = None
    end: str = ""


class StatsSnapshot(Struct, array_like=True):
    """The whole projection. expired: cell numbers by the first eight bytes of an offer's digest."""

    cells: list[tuple[Cell, Counts]] = []
    pending: dict[str, _PendingOffer] = {}
    expired: dict[bytes, int] = {}


class RecommendationStats:
    """Counts recommended options by cell."""

    def __init__(self) -> None:
        self._numbers: dict[Cell, int] = {}
        self._counts: list[Counts] = []
        self._pending: dict[str, _PendingOffer] = {}
        # Offers by account whose opening was not read yet.
        self._unplaced: dict[str, list[str]] = {}
        self._expired: dict[bytes, int] = {}

    # -- events

    def opened(self, account: str, place: tuple[str, str]) -> None:
        """Record the country and product of an account."""
        for offer in self._unplaced.pop(account, ()):
            if offer in self._pending:
                self._pending[offer].place = place
                self._settle(offer)

    def published(self, offer: ev.OfferPublished, place: tuple[str, str] | None, *, accepted: bool) -> None:
        """Record an offer. place: that of its first account, None before its opening. accepted: it is a plan."""
        # Arrangements for a time are not ranked.
        if offer.recommended_option_id is None or not offer.account_ids or offer.kind != "plan":
            return
        pending = self._pending_offer(offer.offer_id)
        pending.account, pending.place, pending.recommended = offer.account_ids[0], place, offer.recommended_option_id
        pending.kinds = {o.option_id: kind_of(o) for o in offer.options}
        if accepted:
            pending.end = "accepted"
        if place is None:
            self._unplaced.setdefault(pending.account, []).append(offer.offer_id)
        self._settle(offer.offer_id)

    def decided(self, decision: ev.DecisionLogged) -> None:
        """Record the probability of each option to be recommended."""
        if decision.chosen is None or not decision.shown:
            return
        pending = self._pending_offer(decision.offer_id)
        pending.propensities = {row.option_id: round(row.propensity * MILLION) for row in decision.shown}
        pending.bucket, pending.arm = bucket_of(decision.shown[0].x[ARREARS]), decision.arm
        self._settle(decision.offer_id)

    def ended(self, event: ev.OfferWithdrawn | ev.OfferExpired) -> None:
        """Record that an offer expired or was withdrawn."""
        pending = self._pending.get(event.offer_id)
        if pending is None or pending.end:
            return
        reason = "expired" if isinstance(event, ev.OfferExpired) else event.reason
        pending.end = reason if reason in REFUSED else "other"
        self._settle(event.offer_id)

    def accepted(self, offer_id: str) -> None:
        """Record a plan of an offer, of one of its accounts; the offer may have expired before."""
        pending = self._pending.get(offer_id)
        if pending is not None:
            pending.end = "accepted"
            self._settle(offer_id)
            return
        cell = self._expired.pop(_digest(offer_id), None)
        if cell is not None:
            self._counts[cell].refused -= 1
            self._counts[cell].accepted += 1

    def _pending_offer(self, offer_id: str) -> _PendingOffer:
        pending = self._pending.get(offer_id)
        if pending is None:
            pending = self._pending[offer_id] = _PendingOffer()
        return pending

    def _settle(self, offer_id: str) -> None:
        """Count an offer as far as its events are there, and remove what is counted."""
        pending = self._pending[offer_id]
        if pending.cell is None:
            if pending.kinds is None or pending.propensities is None or pending.place is None:
                return
            for option, kind in pending.kinds.items():
                number = self._number((*pending.place, pending.bucket, pending.arm, *kind))
                counts = self._counts[number]
                counts.shown += 1
                counts.propensity += pending.propensities.get(option, 0)
                if option == pending.recommended:
                    counts.recommended += 1
                    pending.cell = number
            pending.kinds, pending.propensities = None, None
            if pending.cell is None:
                del self._pending[offer_id]
                return
        if not pending.end:
            return
        del self._pending[offer_id]
        counts = self._counts[pending.cell]
        if pending.end == "accepted":
            counts.accepted += 1
        elif pending.end in REFUSED:
            counts.refused += 1
        if pending.end == "expired":
            self._expired[_digest(offer_id)] = pending.cell
            if len(self._expired) > EXPIRED:
                del self._expired[next(iter(self._expired))]

    def _number(self, cell: Cell) -> int:
        if cell not in self._numbers and len(self._numbers) >= CELLS:
            cell = (OTHER, OTHER, *cell[2:])
        number = self._numbers.get(cell)
        if number is None:
            number = self._numbers[cell] = len(self._counts)
            self._counts.append(Counts())
        return number

    # -- snapshots and the page

    def snapshot(self) -> StatsSnapshot:
        """Return the whole projection."""
        return StatsSnapshot(list(zip(self._numbers, self._counts, strict=True)), self._pending, self._expired)

    def restore(self, snapshot: StatsSnapshot) -> None:
        """Continue from a snapshot."""
        self._numbers = {cell: number for number, (cell, _) in enumerate(snapshot.cells)}
        self._counts = [counts for _, counts in snapshot.cells]
        self._pending, self._expired, self._unplaced = snapshot.pending, snapshot.expired, {}
        for offer, pending in self._pending.items():
            if pending.cell is None and pending.account and pending.place is None:
                self._unplaced.setdefault(pending.account, []).append(offer)

    def table(self) -> dict[str, Any]:
        """Return a row per kind of option that is or may be recommended, the most frequent accounts and kinds first.

        propensity: the mean probability of a shown option to be recommended. rate: accepted offers as a share of those
        accepted or refused, with its 95 % interval (Wilson 1927) from low to high; None where there are none.
        """
        per_account_kind: dict[tuple[str, ...], int] = {}
        for cell, number in self._numbers.items():
            per_account_kind[cell[:4]] = per_account_kind.get(cell[:4], 0) + self._counts[number].recommended
        rows = [(cell, self._counts[number]) for cell, number in self._numbers.items()]
        # An option that could not be recommended gives no evidence of preferences.
        rows = [(cell, counts) for cell, counts in rows if counts.recommended or counts.propensity]
        rows.sort(key=lambda r: (-per_account_kind[r[0][:4]], r[0][:4], -r[1].recommended, -r[1].shown, r[0]))
        return {"count": len(rows), "rows": [_cell_row(cell, counts) for cell, counts in rows[:ROWS]]}


def kind_of(option: ev.Option) -> tuple[str, str, str]:
    """Return the band of an option's term, its shape, and the band of what the lender gives up by it."""
    relief = max(0, option.distressed_obligation_bps)
    return TERMS[bisect_left(_TERMS, option.term_months)], option.shape, RELIEFS[bisect_left(_RELIEFS, relief)]


def bucket_of(arrears: int) -> str:
    """Return the bucket of a decision's figure of arrears: thousandths of 360 days past due, rounded down."""
    days = -(-arrears * _YEAR // MILLI)
    return BUCKETS[bisect_left(_DAYS, days)]


def _cell_row(cell: Cell, counts: Counts) -> dict[str, Any]:
    trials = counts.accepted + counts.refused
    interval = wilson(counts.accepted, trials)
    names = ("jurisdiction", "product", "bucket", "arm", "term", "shape", "relief")
    return {
        **dict(zip(names, cell, strict=True)),
        "shown": counts.shown,
        "propensity": counts.propensity / MILLION / counts.shown,
        "recommended": counts.recommended,
        "accepted": counts.accepted,
        "answered": trials,
        "rate": counts.accepted / trials if trials else None,
        "low": None if interval is None else interval[0],
        "high": None if interval is None else interval[1],
    }


def _digest(offer_id: str) -> bytes:
    return sha256(offer_id.encode()).digest()[:8]
