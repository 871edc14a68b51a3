"""What a demonstration counts while events flow."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from datetime import date

from agents.account.parties import BUCKETS
from schemas import events as ev

# What a reader of the last lines wants to see; the rest is counted only.
NEWSWORTHY = (
    ev.BadDebtChanged,
    ev.OfferPublished,
    ev.OfferAnswered,
    ev.PlanActivated,
    ev.PlanBroken,
    ev.PlanCompleted,
)


class Tally:
    """Counts of accounts, bad debts, offers and plans, from the events in and out."""

    def __init__(self) -> None:
        self.day: date | None = None
        self.events_in = 0
        self.events_out = 0
        self.buckets: dict[str, ev.Bucket] = {}
        self.bad_debts: dict[str, ev.BadDebtStatus] = {}
        self.kinds: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.offer_kinds: Counter[str] = Counter()
        self.currencies: dict[str, str] = {}
        self.allowances: dict[str, int] = {}
        self.latest: deque[ev.Event] = deque(maxlen=12)
        self.last_offer: ev.OfferPublished | None = None

    def take(self, arrived: Iterable[ev.Event], said: Iterable[ev.Event]) -> None:
        """Count what came in and what was said of it."""
        for event in arrived:
            self.events_in += 1
            self._one(event)
        for event in said:
            self.events_out += 1
            self._one(event)

    def _one(self, event: ev.Event) -> None:
        self.kinds[type(event).__name__] += 1
        if isinstance(event, NEWSWORTHY):
            self.latest.append(event)
        if isinstance(event, ev.AccountOpened | ev.OpeningPosition):
            self.buckets[event.account_id] = "current"
            self.currencies[event.account_id] = event.currency
        elif isinstance(event, ev.DelinquencyChanged):
            self.buckets[event.account_id] = event.to
        elif isinstance(event, ev.BadDebtChanged):
            self.bad_debts[event.account_id] = event.to
        elif isinstance(event, ev.ImpairmentChanged):
            self.allowances[event.account_id] = event.allowance
        elif isinstance(event, ev.OfferPublished):
            self.offer_kinds[event.kind] += 1
            if event.options:
                self.last_offer = event
        elif isinstance(event, ev.OfferAnswered):
            self.answers[event.answer] += 1
        elif isinstance(event, ev.DayClosed):
            self.day = event.business_date

    def bucket_counts(self) -> dict[str, int]:
        """Return the number of accounts in each delinquency bucket."""
        counts = Counter(self.buckets.values())
        return {bucket: counts[bucket] for bucket in BUCKETS}

    def bad_debt_counts(self) -> dict[str, int]:
        """Return the number of accounts in each bad-debt status that any account has reached."""
        counts = Counter(self.bad_debts.values())
        return {status: n for status, n in sorted(counts.items()) if status != "none"}

    def allowance(self) -> dict[str, int]:
        """Return the impairment allowance by currency, in minor units."""
        totals: Counter[str] = Counter()
        for account, amount in self.allowances.items():
            totals[self.currencies.get(account, "?")] += amount
        return dict(totals)
