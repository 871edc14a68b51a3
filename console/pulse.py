"""What operators see first: counted from events, so that every count can be made again.

No count depends on the order in which different topics or keys come: over Kafka what was said of an account may be read
before its opening. Of an account a few bytes are kept, of an open offer what a line of a list shows.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

import msgspec
from msgspec import Struct, field, msgpack

from console.leads import KeptLeads, Leads
from console.lines import debt, first, offer_line, pieces
from console.newest import Newest
from console.words import worded
from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import TOPIC_OF
from streams.demo.tally import BUCKETS

SHOWN, WORKLIST = 20, 100
_PLANS = {"activated": "PlanActivated", "kept": "PlanInstalmentKept", "missed": "PlanInstalmentMissed"}
_PLANS |= {"broken": "PlanBroken", "completed": "PlanCompleted"}
# The way from a missed payment to cure; each account counts once a step.
FUNNEL = ("missed", "candidate", "recognised", "offered", "planned", "completed", "healed")
_BIT = {step: 1 << number for number, step in enumerate(FUNNEL)}
_STATUSES = {s: s for s in ("none", "candidate", "recognised", "charged_off", "recovering", "terminated", "cured")}
_BUCKET_NAMES: dict[str, str] = {name: name for name in BUCKETS}
_NEWS = (ev.OfferAnswered, ev.PlanActivated, ev.PlanCompleted, ev.PlanBroken, ev.BadDebtChanged, ev.OfferPublished)


class _Account(Struct, gc=False, array_like=True):
    """What is counted of an account. passed: a bit for each step of the funnel. place: its country and product."""

    bucket: str | None = None
    bad: str | None = None
    passed: int = 0
    currency: str = ""
    place: tuple[str, str] | None = None


class _Open(Struct, gc=False, frozen=True, array_like=True):
    """An offer that is open. order: whoever is in distress comes first, then who has waited longest."""

    offer_id: str
    expires_on: date
    plan: bool
    order: tuple[bool, date, str]
    shown: bytes


class _Part(Struct, array_like=True):
    """A part of what is kept: of accounts and open offers so many that none is large; the rest is in the first one.

    Events are in the framing that needs no registry.
    """

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    day: date | None = None
    sums: tuple[int, int, int] = (0, 0, 0)
    early: dict[str, tuple[str, ...]] = field(default_factory=dict)
    newest: tuple[list[bytes], ...] = ()
    last: tuple[bytes | None, ...] = ()
    accounts: dict[str, _Account] = field(default_factory=dict)
    allowances: dict[str, int] = field(default_factory=dict)
    open: dict[str, _Open] = field(default_factory=dict)
    leads: KeptLeads = field(default_factory=KeptLeads)


_codec = Codec()


class Pulse:
    """Counts of accounts, bad debts, offers and plans, and the newest of each."""

    def __init__(self) -> None:
        self.day: date | None = None
        self.came = self.said = 0
        self.count = 0
        # What is counted is kept counted: a snapshot of a million accounts must not visit them.
        self._accounts: dict[str, _Account] = {}
        self._currencies: dict[str, str] = {}
        self._places: dict[tuple[str, str], tuple[str, str]] = {}
        self.leads = Leads()
        self.in_bucket: Counter[str] = Counter()
        self.in_status: Counter[str] = Counter()
        self.in_step: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.letters: Counter[str] = Counter()
        self.groups: Counter[str] = Counter()
        self._allowances: dict[str, int] = {}
        self.allowance: Counter[str] = Counter()
        self._open: dict[str, _Open] = {}
        self._people: dict[str, _Open] = {}
        self._expiring: dict[date, dict[str, _Open]] = {}
        # By borrower, the few offers that became plans without being open: they may be seen later.
        self._early: dict[str, tuple[str, ...]] = {}
        self._news: Newest[ev.Event] = Newest(SHOWN)
        self._debts: Newest[ev.BadDebtChanged] = Newest(SHOWN)
        self._offers: Newest[ev.OfferPublished] = Newest(SHOWN)
        self.tripped: ev.GuardrailTripped | None = None
        self.model: ev.ModelUpdated | None = None

    def take(self, event: ev.Event) -> None:
        """Count one event."""
        if TOPIC_OF[type(event)].inbound:
            self.came += 1
        else:
            self.said += 1
        self.kinds[type(event).__name__] += 1
        if isinstance(event, _NEWS):
            self._news.take(event)
        match event:
            case ev.AccountOpened():
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
                self.leads.ended(event)
            case ev.OfferAnswered():
                self.answers[event.answer] += 1
            case ev.DecisionLogged():
                self.groups[event.group] += 1
                self.leads.decided(event)
            case ev.PlanActivated():
                self._planned(event)
            case ev.PlanCompleted():
                self._pass("completed", event.account_id)
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
                self.day = event.business_date if self.day is None else max(self.day, event.business_date)

    def _account(self, name: str) -> _Account:
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = _Account()
        return account

    def _opened(self, event: ev.AccountOpened) -> None:
        account = self._account(event.account_id)
        if not account.currency:
            self.count += 1
            account.currency = self._currencies.setdefault(event.currency, event.currency)
            place = event.jurisdiction.partition("-")[0], event.product
            account.place = self._places.setdefault(place, place)
            self.leads.opened(event.account_id, account.place)
        if account.bucket is None:
            self._move(account, "current")

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
        self._debts.take(event)

    def _offered(self, event: ev.OfferPublished) -> None:
        for account in event.account_ids:
            self._pass("offered", account)
        self._offers.take(event)
        borrower = event.borrower_id
        early = event.offer_id in self._early.get(borrower, ())
        first = self._accounts.get(event.account_ids[0]) if event.account_ids else None
        self.leads.published(event, None if first is None else first.place, accepted=early)
        before = self._open.get(borrower)
        if before is not None:
            self._end(borrower, before)
        if early:
            return
        one = _Open(
            event.offer_id,
            event.expires_on,
            bool(event.options),
            (event.tone != "supportive", event.business_date, borrower),
            msgspec.json.encode(offer_line(event)),
        )
        self._opens(borrower, one)

    def _opens(self, borrower: str, one: _Open) -> None:
        self._open[borrower] = one
        if one.plan:
            self._expiring.setdefault(one.expires_on, {})[borrower] = one
        else:
            self._people[borrower] = one

    def _planned(self, event: ev.PlanActivated) -> None:
        self._pass("planned", event.account_id)
        self.leads.accepted(event.offer_id)
        if not self._ended(event.borrower_id, event.offer_id):
            early = self._early.get(event.borrower_id, ())
            if event.offer_id not in early:
                self._early[event.borrower_id] = (*early, event.offer_id)

    def _ended(self, borrower: str, offer: str) -> bool:
        found = self._open.get(borrower)
        if found is None or found.offer_id != offer:
            return False
        self._end(borrower, found)
        return True

    def _end(self, borrower: str, found: _Open) -> None:
        del self._open[borrower]
        self._people.pop(borrower, None)
        same_day = self._expiring.get(found.expires_on, {})
        same_day.pop(borrower, None)
        if not same_day:
            self._expiring.pop(found.expires_on, None)

    # -- kept across a restart

    def _counters(self) -> dict[str, Counter[str]]:
        return {
            "in_bucket": self.in_bucket,
            "in_status": self.in_status,
            "in_step": self.in_step,
            "kinds": self.kinds,
            "answers": self.answers,
            "letters": self.letters,
            "groups": self.groups,
            "allowance": self.allowance,
        }

    def _lists(self) -> tuple[Newest[Any], ...]:
        return self._news, self._debts, self._offers

    def kept(self) -> list[bytes]:
        """Return all of it in parts, from which `recall` makes it again."""
        first = _Part(
            counts={name: dict(counter) for name, counter in self._counters().items()},
            day=self.day,
            sums=(self.came, self.said, self.count),
            early=self._early,
            newest=tuple([_codec.encode(e) for e in events] for events in self._lists()),
            last=tuple(None if e is None else _codec.encode(e) for e in (self.tripped, self.model)),
            leads=self.leads.kept(),
        )
        parts = [msgpack.encode(first)]
        parts += [msgpack.encode(_Part(accounts=some)) for some in pieces(self._accounts)]
        parts += [msgpack.encode(_Part(allowances=some)) for some in pieces(self._allowances)]
        parts += [msgpack.encode(_Part(open=some)) for some in pieces(self._open)]
        return parts

    def recall(self, content: bytes) -> None:
        """Take back a part of what was kept; all of them, in their order, make it as it was.

        Raises msgspec.DecodeError, BadInput, LookupError or ValueError where it is none.
        """
        part = msgpack.decode(content, type=_Part)
        if part.counts:
            for name, counter in self._counters().items():
                counter.update(part.counts[name])
            self.day, self._early = part.day, part.early
            self.came, self.said, self.count = part.sums
            for events, values in zip(self._lists(), part.newest, strict=True):
                for value in values:
                    events.take(_codec.decode(value))
            tripped, model = (None if value is None else _codec.decode(value) for value in part.last)
            self.tripped = tripped if isinstance(tripped, ev.GuardrailTripped) else None
            self.model = model if isinstance(model, ev.ModelUpdated) else None
            self.leads.recall(part.leads)
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
        for borrower, one in part.open.items():
            self._opens(borrower, one)

    # -- shown

    def snapshot(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        # What ended on a closed day has been said to be over; today is the day that is open.
        today = None if self.day is None else self.day + timedelta(days=1)
        expiring = [] if today is None else list(self._expiring.get(today, {}).values())
        return {
            "day": None if self.day is None else self.day.isoformat(),
            "accounts": self.count,
            "events": {"in": self.came, "out": self.said},
            "buckets": {b: self.in_bucket[b] for b in BUCKETS},
            "bad_debt": {s: n for s, n in sorted(self.in_status.items()) if n and s != "none"},
            "funnel": {step: self.in_step[step] for step in FUNNEL},
            "answers": dict(sorted(self.answers.items())),
            "offers": {"open": len(self._open), "expiring": len(expiring), "expiring_today": first(expiring, SHOWN)},
            "plans": {name: self.kinds[kind] for name, kind in _PLANS.items()},
            "allowance": {currency: amount for currency, amount in sorted(self.allowance.items()) if amount},
            "letters": dict(sorted(self.letters.items())),
            "people": {"count": len(self._people), "first": first(list(self._people.values()), WORKLIST)},
            "newest_bad_debts": [debt(e) for e in self._debts],
            "newest_offers": [offer_line(o) for o in self._offers],
            "news": [self._told(e) for e in self._news],
            "guardrail": None if self.tripped is None else self.tripped.guardrail,
        }

    def _told(self, event: ev.Event) -> dict[str, Any]:
        account = self._accounts.get(getattr(event, "account_id", ""))
        currency = getattr(event, "currency", "") if account is None else account.currency
        return {
            "account": getattr(event, "account_id", None),
            "borrower": getattr(event, "borrower_id", None),
            "type": type(event).__name__,
            "words": worded(event, currency),
        }
