"""The whole life of an account: every day from its opening on, each by the rules of that day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from schemas import events as ev
from state.policy import Policy, PolicyBook
from tests.recomputation import position
from tests.recomputation.account import Account, Class
from tests.recomputation.acts import ACTS, hold_placed, hold_released, party_changed
from tests.recomputation.charges import Charges
from tests.recomputation.close import close
from tests.recomputation.days import business_date
from tests.recomputation.facts import KINDS, Facts
from tests.recomputation.money import asked
from tests.recomputation.said import Record

# What is answered where it comes to be known after an opening position that it should have been part of.
AFTERWARDS: dict[type[ev.Event], Callable[[Facts, Any], str]] = {
    ev.PaymentReceived: lambda _, e: e.payment_id,
    ev.InstalmentBilled: lambda _, e: str(e.number),
    ev.InstalmentAdjusted: lambda _, e: e.adjustment_id,
    ev.ScheduleRevised: lambda _, e: str(e.revision),
    ev.PlanActivated: lambda _, e: e.plan_id,
    ev.AccountClosed: lambda facts, e: date.fromordinal(facts.day(e)).isoformat(),
}


def recompute(events: Iterable[ev.Event], book: PolicyBook, through: date) -> list[Record]:
    """Return what is to be said of an account through a closed day, oldest first."""
    events = list(events)
    facts = Facts(events, zone_of(events, book))
    return Life(facts, book).through(through.toordinal())


def zone_of(events: Iterable[ev.Event], book: PolicyBook) -> str:
    """Return the time zone of business dates, by the rules of the opening that stands."""
    openings = [e for e in events if isinstance(e, ev.AccountOpened | ev.OpeningPosition)]
    latest = max(e.revision if isinstance(e, ev.OpeningPosition) else -1 for e in openings)
    stand = [e for e in openings if (e.revision if isinstance(e, ev.OpeningPosition) else -1) == latest]
    opening = min(stand, key=lambda e: (e.occurred_at, e.event_id))
    return book.policy_for(opening.jurisdiction, opening.product).business_time_zone


# What acts before penalty interest accrues.
FIRST = ((ev.PartyChanged, party_changed), (ev.HoldPlaced, hold_placed), (ev.HoldReleased, hold_released))


class Life:
    """One account, day after day."""

    def __init__(self, facts: Facts, book: PolicyBook) -> None:
        self.facts = facts
        self.book = book
        self.first = facts.start if facts.position is None else facts.position.as_of.toordinal()
        self.account = Account(facts.opening, self.rules(self.first))
        released = {r.hold_id: r.released_on.toordinal() for r in facts.stands[ev.HoldReleased]}
        self.account.known_holds = {h.hold_id: released.get(h.hold_id) for h in facts.stands[ev.HoldPlaced]}
        self.answers: dict[int, list[tuple[Any, str, str]]] = defaultdict(list)
        self._reversals()

    def rules(self, day: int) -> Policy:
        """Return the rules of a day."""
        return self.book.in_force_on(day).policy_for(self.facts.opening.jurisdiction, self.facts.opening.product)

    def through(self, last: int) -> list[Record]:
        """Live through a day; return what is said."""
        a = self.account
        a.parties = {p.borrower_id: p.role for p in self.facts.opening.parties}
        reported_from = 0
        if self.facts.position is not None:
            a.today = self.first
            position.take_over(a, self.facts, self.rules)
            first = self.first + 1
        else:
            opened = self.facts.opened
            assert opened is not None
            if opened.reported_from is not None:
                reported_from = opened.reported_from.toordinal()
            a.charges = Charges(opened.principal)
            a.rate = opened.annual_rate_bps
            a.today = self.first
            for n in opened.instalments:
                a.money.ask(asked(n.number, n.due_on.toordinal(), n.principal, n.interest, n.fees))
            for c in a.policy.classifications:
                a.classes[c.policy] = Class(c.thresholds[0].name, c.thresholds[0].from_days, self.first)
            first = self.first
        for day in range(first, last + 1):
            self.day(day)
        return [r for r in a.said if r[0].toordinal() >= reported_from]

    def day(self, day: int) -> None:
        """Live through one day."""
        a = self.account
        a.today, a.policy = day, self.rules(day)
        today = self.facts.by_day.get(day, {})
        for kind, act in FIRST:
            for fact in today.get(kind, ()):
                act(a, fact, day)  # type: ignore[operator]
        if day == self.first and self.facts.position is None:
            self._pause_before()
        paused = a.pause()
        if not paused and day > self.first and not a.ended and a.bad_debt != "terminated" and not a.for_a_time:
            a.charges.accrue(a.money, day, a.policy, a.rate)
        for fact, fact_id, code in self.answers.get(day, ()):
            a.not_applied(fact, fact_id, code)
        for kind in KINDS[len(FIRST) :]:
            for fact in today.get(kind, ()):
                amount = self.facts.amounts[fact.payment_id] if kind is ev.PaymentReceived else day
                ACTS[kind](a, fact, amount)
        close(a)

    def _pause_before(self) -> None:
        """Note the days before the account began that holds of its first day paused: something may be due since."""
        for name, hold in self.account.holds.items():
            for day in range(hold.first, self.first):
                if hold.covers(day) and hold.kind in self.rules(day).delinquency.pausing_holds:
                    self.account.paused_by.setdefault(day, set()).add(name)

    def _reversals(self) -> None:
        """Lower payments by their reversals; note the answers to those that do not apply."""
        start = self.first if self.facts.position is not None else -1
        history = {
            p.payment_id for p in self.facts.stands[ev.PaymentReceived] if self.facts.day(p) <= start
        }  # fmt: skip
        for reversal in self.facts.stands[ev.PaymentReversed]:
            if reversal.payment_id in history and reversal.reversed_on.toordinal() > start:
                self._answer(reversal.reversed_on.toordinal(), reversal, "before_position")
        for reversal, code in self.facts.payments():
            on = reversal.reversed_on.toordinal()
            if reversal.payment_id in history or (code == "unknown_payment" and on <= start):
                continue
            if code == "unknown_payment":
                on += self.rules(on).unknown_account_wait_days
            else:
                on = self.facts.paid_on[reversal.payment_id]
            self._answer(on, reversal, str(code))

        for reversed_ in self.facts.unknown_adjustments:
            on = reversed_.reversed_on.toordinal()
            if on > start:
                on = max(on + self.rules(on).unknown_account_wait_days, self.facts.start)
                self.answers[on].append((reversed_, reversed_.adjustment_id, "unknown_adjustment"))

        for kind, fact_id in AFTERWARDS.items():
            for fact in self.facts.stands[kind]:
                if self.facts.day(fact) <= start < business_date(fact.occurred_at, self.facts.zone):
                    self.answers[start + 1].append((fact, fact_id(self.facts, fact), "before_position"))

    def _answer(self, day: int, reversal: ev.PaymentReversed, code: str) -> None:
        day = max(day, self.facts.start)
        self.answers[day].append((reversal, reversal.reversal_id or reversal.payment_id, code))
