"""The read model of the overview: counts of accounts, bad debts, offers and plans, and the newest events.

The projection is a fold of the log, so a new one gives the same counts. No count depends on the order in which topics
or keys are read: over Kafka, an event of an account may be read before its opening. The projection stores a few bytes
per account, and the encoded list row of each open offer.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from heapq import nsmallest
from itertools import islice
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct, field, msgpack

from agents.account.parties import BUCKETS
from agents.amounts import whole
from console.recommendation_stats import RecommendationStats, StatsSnapshot
from console.timelines import timeline_order
from console.words import describe
from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import TOPIC_OF

SHOWN, WORKLIST = 20, 100
# Offers that are remembered as accepted before they were published.
ACCEPTED_UNPUBLISHED = 10_000
# Accounts or offers a part of a snapshot: decoding one blocks the loop for a moment only.
_CHUNK = 20_000
_PLANS = {"activated": "PlanActivated", "kept": "PlanInstalmentKept", "missed": "PlanInstalmentMissed"}
_PLANS |= {"broken": "PlanBroken", "completed": "PlanCompleted"}
# The way from a missed payment to cure; each account counts once a step.
FUNNEL = ("missed", "candidate", "recognised", "offered", "planned", "completed", "healed")
_BIT = {step: 1 << number for number, step in enumerate(FUNNEL)}
_STATUSES = {s: s for s in ("none", "candidate", "recognised", "charged_off", "recovering", "terminated", "cured")}
_BUCKET_NAMES: dict[str, str] = {name: name for name in BUCKETS}
_NEWS = (ev.OfferAnswered, ev.PlanActivated, ev.PlanCompleted, ev.PlanBroken, ev.BadDebtChanged, ev.OfferPublished)


class _Account(Struct, gc=False, array_like=True):
    """An account's contribution to the counts. passed: a bit per step of the funnel. place: country and product."""

    bucket: str | None = None
    bad: str | None = None
    passed: int = 0
    currency: str = ""
    place: tuple[str, str] | None = None


class _OpenOffer(Struct, gc=False, frozen=True, array_like=True):
    """An open offer. order: borrowers in distress first, then those who have waited longest. row: encoded list row."""

    offer_id: str
    expires_on: date
    has_plan: bool
    order: tuple[bool, date, str]
    row: bytes


class _Part(Struct, array_like=True):
    """One part of a snapshot: the counters are in the first part, accounts and open offers in parts of limited size.

    Events are in the framing that needs no registry.
    """

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    day: date | None = None
    sums: tuple[int, int, int] = (0, 0, 0)
    accepted_unpublished: list[str] = []
    recent: tuple[list[bytes], ...] = ()
    latest: tuple[bytes | None, ...] = ()
    accounts: dict[str, _Account] = field(default_factory=dict)
    allowances: dict[str, int] = field(default_factory=dict)
    open_offers: dict[str, _OpenOffer] = field(default_factory=dict)
    recommendations: StatsSnapshot = field(default_factory=StatsSnapshot)


_codec = Codec()
E = TypeVar("E", bound=ev.Event)


class RecentEvents(Generic[E]):
    """The `limit` events with the latest days, whatever the order in which partitions are read."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: list[tuple[tuple[date, bool, str], E]] = []

    def add(self, event: E) -> None:
        """Store an event if it is among the latest; a repeated event is stored once."""
        order = timeline_order(event)
        if len(self._events) == self._limit and order < self._events[0][0]:
            return
        if any(order == known for known, _ in self._events):
            return
        insort(self._events, (order, event), key=lambda entry: entry[0])
        del self._events[: -self._limit]

    def __iter__(self) -> Iterator[E]:
        """Yield the latest first."""
        return (event for _, event in reversed(self._events))


class OverviewProjection:
    """Counts of accounts, bad debts, offers and plans, and the latest of each."""

    def __init__(self) -> None:
        self.day: date | None = None
        self.events_in = self.events_out = 0
        self.account_count = 0
        # Counters are maintained per event: the overview of a million accounts must not visit them.
        self._accounts: dict[str, _Account] = {}
        self._currencies: dict[str, str] = {}
        self._places: dict[tuple[str, str], tuple[str, str]] = {}
        self.recommendations = RecommendationStats()
        self.in_bucket: Counter[str] = Counter()
        self.in_status: Counter[str] = Counter()
        self.in_step: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self.arms: Counter[str] = Counter()
        self._allowances: dict[str, int] = {}
        self.allowance: Counter[str] = Counter()
        self._open: dict[str, _OpenOffer] = {}
        self._for_specialist: dict[str, _OpenOffer] = {}
        self._expiring: dict[date, dict[str, _OpenOffer]] = {}
        # Offers of which a plan was read before the offer: the topic of plans may be ahead. In order of arrival.
        self._accepted_unpublished: dict[str, None] = {}
        self._news: RecentEvents[ev.Event] = RecentEvents(SHOWN)
        self._debts: RecentEvents[ev.BadDebtChanged] = RecentEvents(SHOWN)
        self._offers: RecentEvents[ev.OfferPublished] = RecentEvents(SHOWN)
        self.tripped: ev.GuardrailTripped | None = None
        self.model: ev.ModelUpdated | None = None

    def apply(self, event: ev.Event) -> None:
        """Count one event."""
        if TOPIC_OF[type(event)].inbound:
            self.events_in += 1
        else:
            self.events_out += 1
        self.kinds[type(event).__name__] += 1
        if isinstance(event, _NEWS):
            self._news.add(event)
        match event:
            case ev.AccountOpened() | ev.OpeningPosition():
                self._opened(event)
            case ev.DelinquencyChanged():
                self._move(self._account(event.account_id), event.to)
            case ev.InstalmentMissed():
                self._pass("missed", event.account_id)
            case ev.BadDebtChanged():
                self._bad_debt(event)
            case ev.ImpairmentChanged():
                self.allowance[event.currency] += event.allowance - self._allowances.get(event.account_id, 0)
                self._allowances[event.account_id] = event.allowance
            case ev.OfferPublished():
                self._offered(event)
            case ev.OfferWithdrawn() | ev.OfferExpired():
                self._ended(event.borrower_id, event.offer_id)
                self.recommendations.ended(event)
            case ev.OfferAnswered():
                self.answers[event.answer] += 1
            case ev.DecisionLogged():
                self.arms[event.arm] += 1
                self.recommendations.decided(event)
            case ev.PlanActivated():
                self._planned(event)
            case ev.PlanCompleted():
                self._pass("completed", event.account_id)
            case ev.CreditStandingChanged():
                if event.to == "good":
                    self._pass("healed", event.account_id)
            case ev.DeadLetter():
                self.dead_letters[event.code] += 1
            case ev.GuardrailTripped():
                self.tripped = event
            case ev.ModelUpdated():
                self.model = event
            case ev.DayClosed():
                self.day = event.business_date if self.day is None else max(self.day, event.business_date)

    def _account(self, name: str) -> _Account:
        return self._accounts.get(name) or self._accounts.setdefault(name, _Account())

    def _opened(self, event: ev.AccountOpened | ev.OpeningPosition) -> None:
        account = self._account(event.account_id)
        if not account.currency:
            self.account_count += 1
            account.currency = self._currencies.setdefault(event.currency, event.currency)
            place = event.jurisdiction.partition("-")[0], event.product
            account.place = self._places.setdefault(place, place)
            self.recommendations.opened(event.account_id, account.place)
        if account.bucket is None:
            self._move(account, "current")
        if isinstance(event, ev.OpeningPosition):
            if account.bad is None:  # otherwise, what Reprieve reported of it is newer
                account.bad = _STATUSES[event.bad_debt]
                self.in_status[event.bad_debt] += 1
            if event.account_id not in self._allowances:
                self._allowances[event.account_id] = event.allowance
                self.allowance[event.currency] += event.allowance

    def _pass(self, step: str, name: str) -> None:
        account, bit = self._account(name), _BIT[step]
        if not account.passed & bit:
            account.passed |= bit
            self.in_step[step] += 1

    def _move(self, account: _Account, bucket: str) -> None:
        if account.bucket is not None:
            self.in_bucket[account.bucket] -= 1
        account.bucket = _BUCKET_NAMES[bucket]
        self.in_bucket[bucket] += 1

    def _bad_debt(self, event: ev.BadDebtChanged) -> None:
        account = self._account(event.account_id)
        if account.bad is not None:
            self.in_status[account.bad] -= 1
        account.bad = _STATUSES.get(event.to, event.to)
        self.in_status[event.to] += 1
        if event.to in ("candidate", "recognised"):
            self._pass(event.to, event.account_id)
        self._debts.add(event)

    def _offered(self, event: ev.OfferPublished) -> None:
        for account in event.account_ids:
            self._pass("offered", account)
        self._offers.add(event)
        borrower = event.borrower_id
        accepted = event.offer_id in self._accepted_unpublished
        self._accepted_unpublished.pop(event.offer_id, None)
        first = self._accounts.get(event.account_ids[0]) if event.account_ids else None
        self.recommendations.published(event, None if first is None else first.place, accepted=accepted)
        before = self._open.get(borrower)
        if before is not None:
            self._end(borrower, before)
        if accepted:
            return
        offer = _OpenOffer(
            event.offer_id,
            event.expires_on,
            bool(event.options) or event.kind == "pay_in_full",
            (event.tone != "supportive", event.business_date, borrower),
            msgspec.json.encode(offer_row(event)),
        )
        self._add_open(borrower, offer)

    def _add_open(self, borrower: str, offer: _OpenOffer) -> None:
        self._open[borrower] = offer
        if offer.has_plan:
            self._expiring.setdefault(offer.expires_on, {})[borrower] = offer
        else:
            self._for_specialist[borrower] = offer

    def _planned(self, event: ev.PlanActivated) -> None:
        self._pass("planned", event.account_id)
        self.recommendations.accepted(event.offer_id)
        if not self._ended(event.borrower_id, event.offer_id):
            # Either not published yet, or not open any more: the second account's plan, or one accepted late. The
            # latter stay, so the oldest are dropped: the topics are not so many offers apart.
            self._accepted_unpublished[event.offer_id] = None
            if len(self._accepted_unpublished) > ACCEPTED_UNPUBLISHED:
                del self._accepted_unpublished[next(iter(self._accepted_unpublished))]

    def _ended(self, borrower: str, offer: str) -> bool:
        found = self._open.get(borrower)
        if found is None or found.offer_id != offer:
            return False
        self._end(borrower, found)
        return True

    def _end(self, borrower: str, found: _OpenOffer) -> None:
        del self._open[borrower]
        self._for_specialist.pop(borrower, None)
        same_day = self._expiring.get(found.expires_on, {})
        same_day.pop(borrower, None)
        if not same_day:
            self._expiring.pop(found.expires_on, None)

    # -- snapshots

    def _counters(self) -> dict[str, Counter[str]]:
        return {
            "in_bucket": self.in_bucket,
            "in_status": self.in_status,
            "in_step": self.in_step,
            "kinds": self.kinds,
            "answers": self.answers,
            "dead_letters": self.dead_letters,
            "arms": self.arms,
            "allowance": self.allowance,
        }

    def _recent(self) -> tuple[RecentEvents[Any], ...]:
        return self._news, self._debts, self._offers

    def snapshot(self) -> list[bytes]:
        """Return the whole projection in parts, for `restore`."""
        first = _Part(
            counts={name: dict(counter) for name, counter in self._counters().items()},
            day=self.day,
            sums=(self.events_in, self.events_out, self.account_count),
            accepted_unpublished=list(self._accepted_unpublished),
            recent=tuple([_codec.encode(e) for e in events] for events in self._recent()),
            latest=tuple(None if e is None else _codec.encode(e) for e in (self.tripped, self.model)),
            recommendations=self.recommendations.snapshot(),
        )
        parts = [msgpack.encode(first)]
        parts += [msgpack.encode(_Part(accounts=some)) for some in chunks(self._accounts)]
        parts += [msgpack.encode(_Part(allowances=some)) for some in chunks(self._allowances)]
        parts += [msgpack.encode(_Part(open_offers=some)) for some in chunks(self._open)]
        return parts

    def restore(self, content: bytes) -> None:
        """Add one part of a snapshot to a new projection; all parts, in order, restore it.

        Raises msgspec.DecodeError, InvalidEventError, LookupError or ValueError where the content is not such a part.
        """
        part = msgpack.decode(content, type=_Part)
        if part.counts:
            for name, counter in self._counters().items():
                counter.update(part.counts[name])
            self.day, self._accepted_unpublished = part.day, dict.fromkeys(part.accepted_unpublished)
            self.events_in, self.events_out, self.account_count = part.sums
            for events, values in zip(self._recent(), part.recent, strict=True):
                for value in values:
                    events.add(_codec.decode(value))
            tripped, model = (None if value is None else _codec.decode(value) for value in part.latest)
            self.tripped = tripped if isinstance(tripped, ev.GuardrailTripped) else None
            self.model = model if isinstance(model, ev.ModelUpdated) else None
            self.recommendations.restore(part.recommendations)
        for account in part.accounts.values():
            # A million accounts share a few words.
            if account.bucket is not None:
                account.bucket = _BUCKET_NAMES[account.bucket]
            if account.bad is not None:
                account.bad = _STATUSES.get(account.bad, account.bad)
            account.currency = self._currencies.setdefault(account.currency, account.currency)
            if account.place is not None:
                account.place = self._places.setdefault(account.place, account.place)
        self._accounts.update(part.accounts)
        self._allowances.update(part.allowances)
        for borrower, offer in part.open_offers.items():
            self._add_open(borrower, offer)

    # -- shown

    def overview(self) -> dict[str, Any]:
        """Return what the overview shows, as plain values."""
        # What expires on a closed day has been published as expired; today is the day that is open.
        today = None if self.day is None else self.day + timedelta(days=1)
        expiring = [] if today is None else list(self._expiring.get(today, {}).values())
        return {
            "day": None if self.day is None else self.day.isoformat(),
            "accounts": self.account_count,
            "events": {"in": self.events_in, "out": self.events_out},
            "buckets": {b: self.in_bucket[b] for b in BUCKETS},
            "bad_debt": {s: n for s, n in sorted(self.in_status.items()) if n and s != "none"},
            "funnel": {step: self.in_step[step] for step in FUNNEL},
            "answers": dict(sorted(self.answers.items())),
            "offers": {
                "open": len(self._open),
                "expiring": len(expiring),
                "expiring_today": first_rows(expiring, SHOWN),
            },
            "plans": {name: self.kinds[kind] for name, kind in _PLANS.items()},
            "allowance": {currency: amount for currency, amount in sorted(self.allowance.items()) if amount},
            "dead_letters": dict(sorted(self.dead_letters.items())),
            "for_specialist": {
                "count": len(self._for_specialist),
                "first": first_rows(self._for_specialist.values(), WORKLIST),
            },
            "newest_bad_debts": [bad_debt_row(e) for e in self._debts],
            "newest_offers": [offer_row(o) for o in self._offers],
            "news": [self._news_item(e) for e in self._news],
            "guardrail": None if self.tripped is None else self.tripped.guardrail,
        }

    def _news_item(self, event: ev.Event) -> dict[str, Any]:
        account = self._accounts.get(getattr(event, "account_id", ""))
        currency = getattr(event, "currency", "") if account is None else account.currency
        return {
            "account": getattr(event, "account_id", None),
            "borrower": getattr(event, "borrower_id", None),
            "type": type(event).__name__,
            "words": describe(event, currency),
        }


def chunks(mapping: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a mapping in parts of limited size."""
    items = iter(mapping.items())
    while part := dict(islice(items, _CHUNK)):
        yield part


def first_rows(offers: Iterable[_OpenOffer], limit: int) -> list[Raw]:
    """Return the rows of offers, the most urgent first."""
    return [Raw(o.row) for o in nsmallest(limit, offers, key=lambda o: o.order)]


def bad_debt_row(event: ev.BadDebtChanged) -> dict[str, Any]:
    """Return the list row of a bad debt."""
    return {
        "account": event.account_id,
        "day": event.business_date.isoformat(),
        "from": event.from_,
        "to": event.to,
        "days_past_due": event.days_past_due,
        "outstanding": whole(event.outstanding),
        "currency": event.currency,
    }


def offer_row(offer: ev.OfferPublished) -> dict[str, Any]:
    """Return the list row of an offer."""
    recommended = next((o for o in offer.options if o.option_id == offer.recommended_option_id), None)
    return {
        "borrower": offer.borrower_id,
        "offer": offer.offer_id,
        "accounts": list(offer.account_ids),
        "day": offer.business_date.isoformat(),
        "expires": offer.expires_on.isoformat(),
        "kind": offer.kind,
        "tone": offer.tone,
        "options": len(offer.options),
        "recommended": None
        if recommended is None
        else {
            "months": recommended.term_months,
            "amount": recommended.instalment_amount,
            "currency": offer.currency,
            "arrangement": recommended.arrangement,
        },
        "reasons": list(offer.reasons),
    }
