"""What operators see first: counted from the events in their order, so that every count can be made again."""

from __future__ import annotations

from collections import Counter, deque
from datetime import date, timedelta
from typing import Any

from agents.amounts import whole
from console.words import worded
from schemas import events as ev
from schemas.topics import TOPIC_OF
from streams.demo.tally import BUCKETS

SHOWN, WORKLIST = 20, 100
# The way from a missed payment to cure; each account counts once a step.
FUNNEL = ("missed", "candidate", "recognised", "offered", "planned", "completed", "healed")


class Pulse:
    """Counts of accounts, bad debts, offers and plans, and the newest of each."""

    def __init__(self) -> None:
        self.day: date | None = None
        self.came = self.said = 0
        # What is counted is kept counted: a snapshot of a million accounts must not visit them.
        self.buckets: dict[str, ev.Bucket] = {}
        self.in_bucket: Counter[str] = Counter()
        self.bad: dict[str, ev.BadDebtStatus] = {}
        self.in_status: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.letters: Counter[str] = Counter()
        self.groups: Counter[str] = Counter()
        self.passed: dict[str, set[str]] = {step: set() for step in FUNNEL}
        self.allowances: dict[str, int] = {}
        self.allowance: Counter[str] = Counter()
        self.currencies: dict[str, str] = {}
        self.people: dict[str, ev.OfferPublished] = {}
        self.open: dict[str, ev.OfferPublished] = {}
        self.expiring: dict[date, dict[str, ev.OfferPublished]] = {}
        self.news: deque[ev.Event] = deque(maxlen=SHOWN)
        self.debts: deque[ev.BadDebtChanged] = deque(maxlen=SHOWN)
        self.offers: deque[ev.OfferPublished] = deque(maxlen=SHOWN)
        self.tripped: ev.GuardrailTripped | None = None
        self.model: ev.ModelUpdated | None = None

    def take(self, event: ev.Event) -> None:
        """Count one event."""
        if TOPIC_OF[type(event)].inbound:
            self.came += 1
        else:
            self.said += 1
        self.kinds[type(event).__name__] += 1
        match event:
            case ev.AccountOpened():
                self._move(event.account_id, "current")
                self.currencies[event.account_id] = event.currency
            case ev.DelinquencyChanged():
                self._move(event.account_id, event.to)
            case ev.InstalmentMissed():
                self._pass("missed", event.account_id)
            case ev.BadDebtChanged():
                self._bad_debt(event)
            case ev.ImpairmentChanged():
                self.allowance[event.currency] += event.allowance - self.allowances.get(event.account_id, 0)
                self.allowances[event.account_id] = event.allowance
            case ev.OfferPublished():
                self._offered(event)
            case ev.OfferWithdrawn() | ev.OfferExpired():
                self._ended(event.borrower_id, event.offer_id)
            case ev.OfferAnswered():
                self.answers[event.answer] += 1
                self.news.append(event)
            case ev.DecisionLogged():
                self.groups[event.group] += 1
            case ev.PlanActivated():
                self._ended(event.borrower_id, event.offer_id)
                self._pass("planned", event.account_id)
                self.news.append(event)
            case ev.PlanCompleted():
                self._pass("completed", event.account_id)
                self.news.append(event)
            case ev.PlanBroken():
                self.news.append(event)
            case ev.CreditStandingChanged():
                if event.to == "good":
                    self._pass("healed", event.account_id)
            case ev.DeadLetter():
                self.letters[event.code] += 1
            case ev.GuardrailTripped():
                self.tripped = event
            case ev.ModelUpdated():
                self.model = event
            case ev.DayClosed():
                self.day = event.business_date

    def _pass(self, step: str, account: str) -> None:
        self.passed[step].add(account)

    def _move(self, account: str, bucket: ev.Bucket) -> None:
        before = self.buckets.get(account)
        if before is not None:
            self.in_bucket[before] -= 1
        self.buckets[account] = bucket
        self.in_bucket[bucket] += 1

    def _bad_debt(self, event: ev.BadDebtChanged) -> None:
        before = self.bad.get(event.account_id)
        if before is not None:
            self.in_status[before] -= 1
        self.bad[event.account_id] = event.to
        self.in_status[event.to] += 1
        if event.to in ("candidate", "recognised"):
            self._pass(event.to, event.account_id)
        self.debts.append(event)
        self.news.append(event)

    def _offered(self, event: ev.OfferPublished) -> None:
        for account in event.account_ids:
            self._pass("offered", account)
        self.offers.append(event)
        self.news.append(event)
        before = self.open.get(event.borrower_id)
        if before is not None:
            self._ended(event.borrower_id, before.offer_id)
        self.open[event.borrower_id] = event
        if event.options:
            self.expiring.setdefault(event.expires_on, {})[event.borrower_id] = event
        else:
            self.people[event.borrower_id] = event

    def _ended(self, borrower: str, offer: str) -> None:
        found = self.open.get(borrower)
        if found is None or found.offer_id != offer:
            return
        del self.open[borrower]
        self.people.pop(borrower, None)
        same_day = self.expiring.get(found.expires_on, {})
        same_day.pop(borrower, None)
        if not same_day:
            self.expiring.pop(found.expires_on, None)

    def snapshot(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        # Whoever is in distress comes first, then who has waited longest.
        people = sorted(self.people.values(), key=lambda o: (o.tone != "supportive", o.business_date, o.borrower_id))
        # What ended on a closed day has been said to be over; today is the day that is open.
        today = None if self.day is None else self.day + timedelta(days=1)
        expiring = [] if today is None else list(self.expiring.get(today, {}).values())
        return {
            "day": None if self.day is None else self.day.isoformat(),
            "accounts": len(self.buckets),
            "events": {"in": self.came, "out": self.said},
            "buckets": {b: self.in_bucket[b] for b in BUCKETS},
            "bad_debt": {s: n for s, n in sorted(self.in_status.items()) if n and s != "none"},
            "funnel": {step: len(found) for step, found in self.passed.items()},
            "answers": dict(self.answers),
            "offers": {"open": len(self.open), "expiring_today": [_offer(o) for o in expiring[:SHOWN]]},
            "plans": {
                name: self.kinds[kind]
                for name, kind in (
                    ("activated", "PlanActivated"),
                    ("kept", "PlanInstalmentKept"),
                    ("missed", "PlanInstalmentMissed"),
                    ("broken", "PlanBroken"),
                    ("completed", "PlanCompleted"),
                )
            },
            "allowance": {currency: amount for currency, amount in self.allowance.items() if amount},
            "letters": dict(self.letters),
            "people": {"count": len(people), "first": [_offer(o) for o in people[:WORKLIST]]},
            "newest_bad_debts": [self._debt(e) for e in reversed(self.debts)],
            "newest_offers": [_offer(o) for o in reversed(self.offers)],
            "news": [self._news(e) for e in reversed(self.news)],
            "guardrail": None if self.tripped is None else self.tripped.guardrail,
        }

    def _debt(self, event: ev.BadDebtChanged) -> dict[str, Any]:
        return {
            "account": event.account_id,
            "day": event.business_date.isoformat(),
            "from": event.from_,
            "to": event.to,
            "days_past_due": event.days_past_due,
            "outstanding": whole(event.outstanding),
            "currency": event.currency,
        }

    def _news(self, event: ev.Event) -> dict[str, Any]:
        currency = self.currencies.get(getattr(event, "account_id", ""), getattr(event, "currency", ""))
        return {
            "account": getattr(event, "account_id", None),
            "borrower": getattr(event, "borrower_id", None),
            "words": worded(event, currency),
        }


def _offer(offer: ev.OfferPublished) -> dict[str, Any]:
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
