"""Which kind of option leads for whom, how likely it was to, and how often it is accepted: counted from what is logged.

An offer is said in three places, which over Kafka come in any order: what was decided (`DecisionLogged`), what was
published, and how it ended. Until all three are there a line is kept of it, as long as it is open; then counters are
all that is left, but for eight bytes of an offer that expired, since it may still be accepted: what was said in time
may come in late. No count depends on the order in which topics are read.
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import sha256
from typing import Any

from msgspec import Struct

from agents.watching import REFUSED
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
# Which figure of a decision tells how late somebody was, and of how many days it is a share.
ARREARS, _YEAR = FEATURES.index("arrears"), 360
# A million of this are certainty, so that sums of probabilities are the same in any order.
MILLION = 1_000_000
# Cells that are counted apart, behind which products are one; offers that expired and may still be accepted, the newest
# of them; and rows on the page.
CELLS, LATE, ROWS = 5_000, 100_000, 60
OTHER = "other"

# jurisdiction (of a country), product, bucket, group, and of an option: term, shape, relief
Cell = tuple[str, str, str, str, str, str, str]


class Counts(Struct, array_like=True):
    """Of a kind of option for whom it is offered.

    shown: offers that have one. chance: the sum of their probabilities to lead, millionths. led: offers that it led.
    accepted, refused: of these, those that became a plan (by whichever option), and those that were let pass, declined
    or countered. An offer that is open or ended for reasons outside of it is in neither.
    """

    shown: int = 0
    chance: int = 0
    led: int = 0
    accepted: int = 0
    refused: int = 0


class _Line(Struct, array_like=True):
    """What is known so far of an offer. kinds, chances: by option; None until it was published, or decided.

    cell: what leads, once all but the end is known. end: accepted, refused or outside.
    """

    account: str = ""
    place: tuple[str, str] | None = None
    lead: str = ""
    kinds: dict[str, tuple[str, str, str]] | None = None
    chances: dict[str, int] | None = None
    bucket: str = ""
    group: str = ""
    cell: int | None = None
    end: str = ""


class KeptLeads(Struct, array_like=True):
    """All of it, as it is kept across a restart. late: by eight bytes of an offer's digest, the number of its cell."""

    cells: list[tuple[Cell, Counts]] = []
    lines: dict[str, _Line] = {}
    late: dict[bytes, int] = {}


class Leads:
    """Counts leads by cell."""

    def __init__(self) -> None:
        self._numbers: dict[Cell, int] = {}
        self._counts: list[Counts] = []
        self._lines: dict[str, _Line] = {}
        # By account that nobody has opened yet, the offers that wait for its place.
        self._homeless: dict[str, list[str]] = {}
        self._late: dict[bytes, int] = {}

    # -- what is said

    def opened(self, account: str, place: tuple[str, str]) -> None:
        """Hear where an account is: its jurisdiction and product."""
        for offer in self._homeless.pop(account, ()):
            if offer in self._lines:
                self._lines[offer].place = place
                self._settle(offer)

    def published(self, offer: ev.OfferPublished, place: tuple[str, str] | None, *, accepted: bool) -> None:
        """Hear of an offer. place: that of its first account, None before it is opened. accepted: it is a plan."""
        if offer.lead_option_id is None or not offer.account_ids:
            return
        line = self._line(offer.offer_id)
        line.account, line.place, line.lead = offer.account_ids[0], place, offer.lead_option_id
        line.kinds = {o.option_id: kind_of(o) for o in offer.options}
        if accepted:
            line.end = "accepted"
        if place is None:
            self._homeless.setdefault(line.account, []).append(offer.offer_id)
        self._settle(offer.offer_id)

    def decided(self, decision: ev.DecisionLogged) -> None:
        """Hear with which probability each option was to lead."""
        if decision.chosen is None or not decision.shown:
            return
        line = self._line(decision.offer_id)
        line.chances = {row.option_id: round(row.propensity * MILLION) for row in decision.shown}
        line.bucket, line.group = bucket_of(decision.shown[0].x[ARREARS]), decision.group
        self._settle(decision.offer_id)

    def ended(self, event: ev.OfferWithdrawn | ev.OfferExpired) -> None:
        """Hear that an offer was let pass, refused, or taken back."""
        line = self._lines.get(event.offer_id)
        if line is None or line.end:
            return
        reason = "expired" if isinstance(event, ev.OfferExpired) else event.reason
        line.end = reason if reason in REFUSED else "outside"
        self._settle(event.offer_id)

    def accepted(self, offer_id: str) -> None:
        """Hear that an offer became a plan, of one of its accounts; it may have expired before."""
        line = self._lines.get(offer_id)
        if line is not None:
            line.end = "accepted"
            self._settle(offer_id)
            return
        cell = self._late.pop(_short(offer_id), None)
        if cell is not None:
            self._counts[cell].refused -= 1
            self._counts[cell].accepted += 1

    def _line(self, offer_id: str) -> _Line:
        line = self._lines.get(offer_id)
        if line is None:
            line = self._lines[offer_id] = _Line()
        return line

    def _settle(self, offer_id: str) -> None:
        """Count what is known by now, and forget what is not needed any more."""
        line = self._lines[offer_id]
        if line.cell is None:
            if line.kinds is None or line.chances is None or line.place is None:
                return
            for option, kind in line.kinds.items():
                number = self._number((*line.place, line.bucket, line.group, *kind))
                counts = self._counts[number]
                counts.shown += 1
                counts.chance += line.chances.get(option, 0)
                if option == line.lead:
                    counts.led += 1
                    line.cell = number
            line.kinds, line.chances = None, None
            if line.cell is None:
                del self._lines[offer_id]
                return
        if not line.end:
            return
        del self._lines[offer_id]
        counts = self._counts[line.cell]
        if line.end == "accepted":
            counts.accepted += 1
        elif line.end in REFUSED:
            counts.refused += 1
        if line.end == "expired":
            self._late[_short(offer_id)] = line.cell
            if len(self._late) > LATE:
                del self._late[next(iter(self._late))]

    def _number(self, cell: Cell) -> int:
        if cell not in self._numbers and len(self._numbers) >= CELLS:
            cell = (OTHER, OTHER, *cell[2:])
        number = self._numbers.get(cell)
        if number is None:
            number = self._numbers[cell] = len(self._counts)
            self._counts.append(Counts())
        return number

    # -- kept, and shown

    def kept(self) -> KeptLeads:
        """Return all of it."""
        return KeptLeads(list(zip(self._numbers, self._counts, strict=True)), self._lines, self._late)

    def recall(self, kept: KeptLeads) -> None:
        """Take back what was kept."""
        self._numbers = {cell: number for number, (cell, _) in enumerate(kept.cells)}
        self._counts = [counts for _, counts in kept.cells]
        self._lines, self._late, self._homeless = kept.lines, kept.late, {}
        for offer, line in self._lines.items():
            if line.cell is None and line.account and line.place is None:
                self._homeless.setdefault(line.account, []).append(offer)

    def table(self) -> dict[str, Any]:
        """Return a row a kind that leads or may: whom most was offered to first, and what leads most often first.

        chance: the mean probability to lead of the options that were shown. rate: the share of offers led by it that
        were accepted, of those that were accepted or refused, with its 95 % interval (Wilson 1927) from low to high;
        None where there are none.
        """
        whom: dict[tuple[str, ...], int] = {}
        for cell, number in self._numbers.items():
            whom[cell[:4]] = whom.get(cell[:4], 0) + self._counts[number].led
        every = [(cell, self._counts[number]) for cell, number in self._numbers.items()]
        # What was shown and never had a chance to lead says nothing of preferences.
        every = [(cell, counts) for cell, counts in every if counts.led or counts.chance]
        every.sort(key=lambda one: (-whom[one[0][:4]], one[0][:4], -one[1].led, -one[1].shown, one[0]))
        return {"count": len(every), "rows": [_row(cell, counts) for cell, counts in every[:ROWS]]}


def kind_of(option: ev.Option) -> tuple[str, str, str]:
    """Return the band of an option's term, its shape, and the band of what the lender gives up by it."""
    relief = max(0, option.distressed_obligation_bps)
    return TERMS[bisect_left(_TERMS, option.term_months)], option.shape, RELIEFS[bisect_left(_RELIEFS, relief)]


def bucket_of(arrears: int) -> str:
    """Return the bucket of a decision's figure of arrears: thousandths of 360 days past due, rounded down."""
    days = -(-arrears * _YEAR // MILLI)
    return BUCKETS[bisect_left(_DAYS, days)]


def _row(cell: Cell, counts: Counts) -> dict[str, Any]:
    trials = counts.accepted + counts.refused
    interval = wilson(counts.accepted, trials)
    names = ("jurisdiction", "product", "bucket", "group", "term", "shape", "relief")
    return {
        **dict(zip(names, cell, strict=True)),
        "shown": counts.shown,
        "chance": counts.chance / MILLION / counts.shown,
        "led": counts.led,
        "accepted": counts.accepted,
        "answered": trials,
        "rate": counts.accepted / trials if trials else None,
        "low": None if interval is None else interval[0],
        "high": None if interval is None else interval[1],
    }


def _short(offer_id: str) -> bytes:
    return sha256(offer_id.encode()).digest()[:8]
