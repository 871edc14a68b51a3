"""The facts of one account: which of several statements stands, and from which day each counts (docs/rules.md, 1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from schemas import events as ev
from tests.recomputation.days import business_date

# Within a day, facts act in this order.
KINDS: tuple[type[ev.Event], ...] = (
    ev.PartyChanged, ev.HoldPlaced, ev.HoldReleased, ev.AccountReopened, ev.ScheduleRevised, ev.InstalmentBilled,
    ev.InstalmentAdjusted,
    ev.PlanActivated, ev.PlanReviewRequested, ev.PaymentReceived, ev.PaymentFailed, ev.ContactAttempted,
    ev.PromiseMade, ev.BadDebtReviewed, ev.AccountClosed,
)  # fmt: skip


class Facts:
    """What stands of an account's events. `on(day)` yields the facts of a day, in the order in which they act."""

    def __init__(self, events: Iterable[ev.Event], zone: str) -> None:
        self.zone = zone
        first: dict[tuple[object, ...], ev.Event] = {}
        for event in events:
            key = self._identity(event)
            if key not in first or _when(event) < _when(first[key]):
                first[key] = event
        self.stands: dict[type[ev.Event], list[Any]] = defaultdict(list)
        for event in first.values():
            self.stands[type(event)].append(event)
        self.opened: ev.AccountOpened | None = next(iter(self.stands[ev.AccountOpened]), None)
        self.position: ev.OpeningPosition | None = max(
            self.stands[ev.OpeningPosition], key=lambda p: p.revision, default=None
        )
        opening = self.position or self.opened
        assert opening is not None, "an account without an opening"
        self.opening: Any = opening
        self.start: int = opening.opened_on.toordinal()
        self._revisions()
        self._cancel()
        self.by_day: dict[int, dict[type[ev.Event], list[Any]]] = defaultdict(lambda: defaultdict(list))
        for kind in KINDS:
            for fact in self.stands[kind]:
                self.by_day[self.day(fact)][kind].append(fact)
        for kinds in self.by_day.values():
            for found in kinds.values():
                found.sort(key=lambda f: self._order(f))

    def day(self, fact: Any) -> int:
        """Return the day from which a fact counts."""
        return max(self._day(fact), int(self.start))

    def _day(self, fact: Any) -> int:
        match fact:
            case ev.InstalmentBilled():
                if fact.billed_on is not None:
                    return fact.billed_on.toordinal()
                return self.billed_from[fact.number]
            case ev.ScheduleRevised() | ev.InstalmentAdjusted():
                return fact.effective_on.toordinal()
            case ev.PaymentReceived():
                return fact.value_on.toordinal()
            case ev.PaymentFailed(failed_on=on) if on is not None:
                return on.toordinal()
            case ev.HoldPlaced() | ev.PartyChanged():
                return fact.from_on.toordinal()
            case ev.HoldReleased():
                return fact.released_on.toordinal()
            case ev.PlanActivated():
                return fact.activated_on.toordinal()
            case ev.PlanReviewRequested():
                return fact.requested_on.toordinal()
            case ev.AccountClosed(closed_on=on) if on is not None:
                return on.toordinal()
            case ev.AccountReopened():
                return fact.reopened_on.toordinal()
        return business_date(fact.occurred_at, self.zone)

    def _identity(self, e: Any) -> tuple[object, ...]:
        kind = type(e)
        match e:
            case ev.AccountOpened():
                return (kind,)
            case ev.OpeningPosition() | ev.ScheduleRevised():
                return kind, e.revision
            case ev.InstalmentBilled():
                return kind, e.number, e.revision
            case ev.PaymentReversed():
                return kind, e.payment_id, e.reversal_id
            case ev.PlanReviewRequested():
                return kind, e.plan_id, e.requested_on
            case ev.AccountClosed():
                return kind, e.closed_on.toordinal() if e.closed_on else business_date(e.occurred_at, "UTC")
            case ev.AccountReopened():
                return kind, e.reopened_on
            case ev.PartyChanged():
                return kind, e.borrower_id, e.from_on
        return kind, next(getattr(e, name) for name in _IDS if hasattr(e, name))

    def _order(self, f: Any) -> tuple[object, ...]:
        if isinstance(f, ev.BadDebtReviewed):
            return f.occurred_at, ("recognise", "reject", "charge_off", "terminate").index(f.decision), f.review_id
        if isinstance(f, ev.PromiseMade):
            return f.occurred_at, f.promise_id
        return tuple(str(k) if not isinstance(k, int) else k for k in self._identity(f)[1:])

    def _revisions(self) -> None:
        revisions: dict[int, list[ev.InstalmentBilled]] = defaultdict(list)
        for bill in self.stands[ev.InstalmentBilled]:
            revisions[bill.number].append(bill)
        highest = {number: max(bills, key=lambda b: b.revision) for number, bills in revisions.items()}
        self.billed_from: dict[int, int] = {}
        for number, bills in revisions.items():
            first = min(
                b.billed_on.toordinal() if b.billed_on else business_date(b.occurred_at, self.zone) for b in bills
            )
            if min(b.revision for b in bills) > 0:
                first = min(first, highest[number].due_on.toordinal())
            self.billed_from[number] = first
        self.stands[ev.InstalmentBilled] = list(highest.values())

    def _cancel(self) -> None:
        undone = {r.adjustment_id for r in self.stands[ev.AdjustmentReversed]}
        adjustments = self.stands[ev.InstalmentAdjusted]
        self.unknown_adjustments = [
            r
            for r in self.stands[ev.AdjustmentReversed]
            if r.adjustment_id not in {a.adjustment_id for a in adjustments}
        ]
        self.stands[ev.InstalmentAdjusted] = [a for a in adjustments if a.adjustment_id not in undone]

    def payments(self) -> Iterator[tuple[ev.PaymentReversed, str | None]]:
        """Lower each payment by its reversals; yield each reversal that does not apply, with its code."""
        amounts = {p.payment_id: p.amount for p in self.stands[ev.PaymentReceived]}
        self.paid_on = {p.payment_id: self.day(p) for p in self.stands[ev.PaymentReceived]}
        for r in sorted(self.stands[ev.PaymentReversed], key=lambda r: (r.amount is None, r.reversal_id or "")):
            if r.payment_id not in amounts:
                yield r, "unknown_payment"
            elif r.amount is None:
                amounts[r.payment_id] = 0
            elif r.amount > amounts[r.payment_id]:
                yield r, "exceeds_payment"
            else:
                amounts[r.payment_id] -= r.amount
        self.amounts = amounts


_IDS = ("hold_id", "attempt_id", "promise_id", "review_id", "plan_id", "adjustment_id", "payment_id")


def _when(event: ev.Event) -> tuple[object, str]:
    return event.occurred_at, event.event_id
