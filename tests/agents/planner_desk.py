"""A planner's desk for the tests: it hands the planner its facts and closes days, as a runtime would."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec

from agents.base import Environment
from agents.planner import PlannerAgent
from schemas import events as ev
from schemas.errors import BadInput
from state.borrower import BorrowerState
from state.learning import Learned
from state.pack import default_book
from state.policy import PolicyBook

START = date(2026, 3, 2)
CONSENT = "consent-1"


def day_of(offset: int) -> date:
    """Return the date so many days after the start."""
    return START + timedelta(days=offset)


class PlannerDesk:
    """One borrower with his facts, fed in any order. learned: what the learner told last, if it did."""

    def __init__(self, book: PolicyBook | None = None, learned: Learned | None = None) -> None:
        self.agent = PlannerAgent()
        self.book = book or default_book()
        self.learned = learned
        self.state: BorrowerState | None = None
        self.facts: dict[str, ev.Event] = {}
        self.outputs: list[ev.Event] = []
        self.evidence: list[ev.EvidenceGathered] = []
        self.refused: list[str] = []
        self.closed: date | None = None
        self.visits = 0

    def feed(self, *events: ev.Event) -> list[ev.Event]:
        """Feed events in this order; return what is said of them."""
        before = len(self.outputs)
        for event in events:
            if isinstance(event, ev.DayClosed):
                self._close(event)
            else:
                known = self.facts.get(self.agent.fact_key(event))
                try:
                    self._take(self.agent.handle(self.state, event, self._environment(known)))
                except BadInput as bad:
                    self.refused.append(bad.code)
        return self.outputs[before:]

    def _environment(self, known: ev.Event | None = None) -> Environment:
        return Environment(
            self.book, self.closed, known, lambda: sorted(self.facts.items()), self.learned, self.facts.get
        )

    def _close(self, event: ev.DayClosed) -> None:
        if self.state is not None:
            due = self.agent.due(self.state)
            if due is not None and due <= event.business_date.toordinal():
                self.visits += 1
                self._take(self.agent.close(self.state, event, self._environment()))
        self.closed = event.business_date

    def _take(self, step) -> None:  # type: ignore[no-untyped-def]
        # What is stored is what is read back: the round trip is part of the desk.
        self.state = msgspec.msgpack.decode(msgspec.msgpack.encode(step.state), type=BorrowerState)
        self.facts.update(dict(step.facts))
        # What goes to the learner has tests of its own.
        self.evidence += only(step.outputs, ev.EvidenceGathered)
        self.outputs += [e for e in step.outputs if not isinstance(e, ev.EvidenceGathered)]

    def close(self, *offsets: int) -> list[ev.Event]:
        """Close days."""
        return self.feed(*closes(offsets))

    def run(self, first: int, last: int) -> list[ev.Event]:
        """Close every day from first to last."""
        return self.close(*range(first, last + 1))

    def offer(self) -> ev.OfferPublished:
        """Return the last offer."""
        return next(e for e in reversed(self.outputs) if isinstance(e, ev.OfferPublished))


def only(outputs: Iterable[ev.Event], kind: type[ev.Event]) -> list:  # type: ignore[type-arg]
    """Return the outputs of a kind."""
    return [e for e in outputs if isinstance(e, kind)]


def names(outputs: Sequence[ev.Event]) -> list[str]:
    """Return the kinds of outputs, in order."""
    return [type(e).__name__ for e in outputs]


def closes(offsets: Iterable[int]) -> list[ev.DayClosed]:
    """Return the closes of days."""
    return [
        ev.DayClosed(
            event_id=f"close-{day_of(o)}",
            occurred_at=at(o, 23),
            source="test",
            business_date=day_of(o),
            calendar="none",
        )
        for o in offsets
    ]


def at(offset: int, hour: int = 9) -> datetime:
    """Return an instant of a day."""
    day = day_of(offset)
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


class Teller:
    """Makes the events of one borrower with ids that count up."""

    def __init__(self, borrower_id: str = "B1") -> None:
        self.borrower_id = borrower_id
        self._ids = 0

    def _base(self, on: int, hour: int = 9) -> dict[str, object]:
        self._ids += 1
        return {
            "event_id": f"{self.borrower_id}-e{self._ids}",
            "occurred_at": at(on, hour),
            "source": "test",
            "borrower_id": self.borrower_id,
        }

    def request(self, on: int, account_id: str = "A1", **more: object) -> ev.WorkoutRequested:
        """Return a request at the close of a day. principal and penalty are of the debt, other fields too."""
        owed = {name: more.pop(name) for name in ("interest", "fees", "penalty") if name in more}
        principal = more.pop("principal", 1_000_000)
        trigger = str(more.pop("trigger_", "fell_behind"))
        fields: dict[str, object] = {
            "product": "personal_loan",
            "jurisdiction": "CN",
            "currency": "CNY",
            "annual_rate_bps": 1825,
            "overdue_amount": 100_000,
            "days_past_due": 35,
            "missed": 2,
            "bucket": "dpd_31_60",
            "bad_debt": "none",
            "stage": 2,
            "remaining_months": 20,
            "contract_instalment": 60_000,
        } | more
        return ev.WorkoutRequested(
            **self._base(on, 23),
            account_id=account_id,
            business_date=day_of(on),
            caused_by=f"close-{on}",
            trigger=trigger,
            debt=ev.Debt(account_id=account_id, outstanding=ev.Amounts(principal=principal, **owed), **fields),
        )

    def ended(self, on: int, account_id: str = "A1", reason: str = "cured") -> ev.WorkoutEnded:
        """Return the end of an account's wish for a plan."""
        return ev.WorkoutEnded(
            **self._base(on, 23),
            account_id=account_id,
            business_date=day_of(on),
            caused_by=f"close-{on}",
            reason=reason,
        )

    def granted(
        self, on: int, consent_id: str = CONSENT, purpose: str = "repayment_planning", hour: int = 9
    ) -> ev.ConsentGranted:
        """Return a grant."""
        return ev.ConsentGranted(**self._base(on, hour), consent_id=consent_id, purpose=purpose)

    def withdrawn(
        self, on: int, consent_id: str = CONSENT, purpose: str = "repayment_planning", hour: int = 9
    ) -> ev.ConsentWithdrawn:
        """Return a withdrawal."""
        return ev.ConsentWithdrawn(**self._base(on, hour), consent_id=consent_id, purpose=purpose)

    def report(self, on: int, income: int | None = 900_000, **more: object) -> ev.ProfileReported:
        """Return a report as of its own day."""
        fields: dict[str, object] = {
            "kind": "interview",
            "as_of": day_of(on),
            "consent_id": CONSENT,
            "monthly_income": income,
            "monthly_expenses": 420_000,
            "household_size": 2,
        } | more
        return ev.ProfileReported(**self._base(on), **fields)

    def erasure(self, on: int) -> ev.ErasureRequested:
        """Return a request for erasure."""
        return ev.ErasureRequested(**self._base(on))

    def answer(
        self, on: int, offer_id: str, said: ev.Answer, *reasons: ev.AnswerReason, **more: object
    ) -> ev.OfferAnswered:
        """Return an answer."""
        base = self._base(on)
        fields: dict[str, object] = {"channel": "online", "feedback_id": f"f-{base['event_id']}"} | more
        return ev.OfferAnswered(**base, offer_id=offer_id, answer=said, reasons=reasons, **fields)

    def learned(self, on: int, item_id: str) -> ev.EducationCompleted:
        """Return a completed education item."""
        return ev.EducationCompleted(**self._base(on), item_id=item_id)
