"""A desk that keeps accounts for the tests: it hands an agent its facts and closes days, as a runtime would."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import msgspec

from agents.account import AccountAgent
from agents.base import Environment
from schemas import events as ev
from schemas.errors import BadInput, UnknownAccount
from state.account import AccountState
from state.policy import (
    Affordability,
    Allocation,
    BadDebt,
    Charges,
    Classification,
    ClassThreshold,
    Contacts,
    Delinquency,
    Impairment,
    Learning,
    Offers,
    Options,
    Plans,
    Policy,
    PolicyBook,
)

STEPS = tuple(
    f"{timing}.{component}"
    for timing in ("past_due", "due", "advance")
    for component in ("penalty", "fees", "interest", "principal")
)
FIVE_CLASSES = (
    ClassThreshold("pass", 0),
    ClassThreshold("special_mention", 1),
    ClassThreshold("substandard", 91),
    ClassThreshold("doubtful", 121),
    ClassThreshold("loss", 181),
)


def policy(**sections: object) -> Policy:
    """Return a plain policy for tests, with some sections replaced."""
    base = Policy(
        name="test",
        version="1",
        allocation=Allocation(STEPS, STEPS),
        delinquency=Delinquency(pausing_holds=("dispute", "breathing_space")),
        charges=Charges(),
        classifications=(Classification("five", FIVE_CLASSES, probation_days=60, after_plan_days=90),),
        bad_debt=BadDebt("test", blocking_holds=("dispute", "bankruptcy")),
        impairment=Impairment(),
        plans=Plans(),
        affordability=Affordability(),
        options=Options(),
        offers=Offers(),
        contacts=Contacts(),
        learning=Learning(),
    )
    return msgspec.structs.replace(base, **sections)


def book(p: Policy | None = None) -> PolicyBook:
    """Return a book in which one policy is for every account."""
    chosen = p or policy()
    return PolicyBook("test", lambda jurisdiction, product: chosen)


def changing(first: Policy, *later: tuple[date, Policy]) -> PolicyBook:
    """Return a book in which one policy is for every account until others take its place."""
    return book(first).with_later((day.toordinal(), book(p)) for day, p in later)


def at(day: date, hour: int = 9) -> datetime:
    """Return an instant of a day."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


class Desk:
    """Accounts with their facts, fed in any order."""

    def __init__(self, p: Policy | PolicyBook | None = None) -> None:
        self.agent = AccountAgent()
        self.book = p if isinstance(p, PolicyBook) else book(p)
        self.states: dict[str, AccountState] = {}
        self.facts: dict[str, dict[str, ev.Event]] = {}
        self.outputs: list[ev.Event] = []
        self.refused: list[ev.Event] = []
        self.parked: dict[str, list[ev.Event]] = {}
        self.closed: date | None = None
        self.visits = 0
        self.refolds = 0

    def feed(self, *events: ev.Event) -> list[ev.Event]:
        """Feed events in this order; return what is said of them."""
        before = len(self.outputs)
        for event in events:
            if isinstance(event, ev.DayClosed):
                self._close(event)
            else:
                self._handle(event)
        return self.outputs[before:]

    def _environment(self, key: str, event: ev.Event | None) -> Environment:
        facts = self.facts.setdefault(key, {})
        known = facts.get(self.agent.fact_key(event)) if event is not None else None

        def history() -> list[tuple[str, ev.Event]]:
            self.refolds += 1
            return sorted(facts.items())

        return Environment(self.book, self.closed, known, history)

    def _handle(self, event: ev.Event) -> None:
        key: str = event.account_id  # type: ignore[attr-defined]
        try:
            step = self.agent.handle(self.states.get(key), event, self._environment(key, event))
        except UnknownAccount:
            self.parked.setdefault(key, []).append(event)
            return
        except BadInput:
            self.refused.append(event)
            return
        self._take(key, step)
        if isinstance(event, ev.AccountOpened):
            for waiting in self.parked.pop(key, []):
                self._handle(waiting)

    def _close(self, event: ev.DayClosed) -> None:
        if self.closed is not None and event.business_date <= self.closed:
            return
        for key in sorted(self.states):
            due, through = self.agent.due(self.states[key]), event.business_date.toordinal()
            outdated = self.agent.outdated(self.states[key], self.book, through)
            if outdated or (due is not None and due <= through):
                self.visits += 1
                self._take(key, self.agent.close(self.states[key], event, self._environment(key, None)))
        self.closed = event.business_date

    def _take(self, key: str, step) -> None:  # type: ignore[no-untyped-def]
        # What is stored is what is read back: the round trip is part of the desk.
        self.states[key] = msgspec.msgpack.decode(msgspec.msgpack.encode(step.state), type=AccountState)
        self.facts.setdefault(key, {}).update(dict(step.facts))
        self.outputs += step.outputs
        self.refused += [r.event for r in step.refused]

    def standing(self) -> list[ev.Event]:
        """Return what stands of the output: what no correction supersedes, without envelopes, sorted."""
        gone = {e.supersedes for e in self.outputs if isinstance(e, ev.Corrected)}
        stands = [
            bare(e)
            for e in self.outputs
            if e.event_id not in gone
            and not isinstance(e, ev.Corrected | ev.WorkoutRequested | ev.WorkoutEnded | ev.PlanProgressed)
        ]
        return sorted(stands, key=repr)

    def said(self, kind: type[ev.Event]) -> list[ev.Event]:
        """Return the standing outputs of a kind, in order of their business dates."""
        return sorted((e for e in self.standing() if isinstance(e, kind)), key=lambda e: e.business_date)  # type: ignore[attr-defined]


def bare(event: ev.Event) -> ev.Event:
    """Return an output without when and why it was said."""
    return msgspec.structs.replace(event, event_id="", occurred_at=at(date(1970, 1, 1)), caused_by="")


class Story:
    """Makes the events of one account with ids that count up."""

    def __init__(self, account_id: str = "A1", start: date = date(2026, 1, 1)) -> None:
        self.account_id = account_id
        self.start = start
        self._ids = 0

    def _base(self, day: date) -> dict[str, object]:
        self._ids += 1
        return {"event_id": f"{self.account_id}-e{self._ids}", "occurred_at": at(day), "source": "test"}

    def day(self, offset: int) -> date:
        """Return the date so many days after the start."""
        return self.start + timedelta(days=offset)

    def opened(self, *due_offsets: int, amount: int = 10_000, interest: int = 0, **more: object) -> ev.AccountOpened:
        """Return an account with instalments of `amount` principal due at offsets."""
        fields: dict[str, object] = {
            "borrower_id": "B1",
            "product": "personal_loan",
            "jurisdiction": "CN",
            "currency": "CNY",
            "annual_rate_bps": 1800,
        } | more
        return ev.AccountOpened(
            **self._base(self.start),
            account_id=self.account_id,
            opened_on=self.start,
            principal=amount * len(due_offsets),
            instalments=tuple(
                ev.Instalment(number=n, due_on=self.day(o), principal=amount, interest=interest, fees=0)
                for n, o in enumerate(due_offsets, 1)
            ),
            **fields,
        )

    def billed(self, number: int, on: int, due: int, amount: int, interest: int = 0) -> ev.InstalmentBilled:
        """Return a statement of day `on`."""
        return ev.InstalmentBilled(
            **self._base(self.day(on)),
            account_id=self.account_id,
            number=number,
            due_on=self.day(due),
            principal=amount,
            interest=interest,
            fees=0,
        )

    def paid(self, on: int, amount: int, payment_id: str | None = None, **more: object) -> ev.PaymentReceived:
        """Return a payment."""
        base = self._base(self.day(on))
        fields = {"currency": "CNY"} | more
        return ev.PaymentReceived(
            **base,
            payment_id=payment_id or f"p{self._ids}",
            account_id=self.account_id,
            amount=amount,
            value_on=self.day(on),
            channel="transfer",
            **fields,
        )

    def reversed(self, on: int, payment_id: str) -> ev.PaymentReversed:
        """Return a reversal."""
        return ev.PaymentReversed(
            **self._base(self.day(on)),
            payment_id=payment_id,
            account_id=self.account_id,
            reversed_on=self.day(on),
            reason="bounced",
        )

    def contact(self, on: int, outcome: ev.ContactOutcome = "no_answer") -> ev.ContactAttempted:
        """Return an outbound call."""
        base = self._base(self.day(on))
        return ev.ContactAttempted(
            **base,
            attempt_id=f"c{self._ids}",
            account_id=self.account_id,
            channel="call",
            direction="outbound",
            outcome=outcome,
            agent="desk-1",
        )

    def hold(self, start: int, end: int | None, kind: ev.HoldKind = "dispute", hold_id: str = "h1") -> ev.HoldPlaced:
        """Return a hold."""
        return ev.HoldPlaced(
            **self._base(self.day(start)),
            hold_id=hold_id,
            account_id=self.account_id,
            kind=kind,
            from_on=self.day(start),
            until_on=None if end is None else self.day(end),
        )

    def released(self, on: int, hold_id: str = "h1") -> ev.HoldReleased:
        """Return the release of a hold."""
        return ev.HoldReleased(
            **self._base(self.day(on)), hold_id=hold_id, account_id=self.account_id, released_on=self.day(on)
        )

    def promised(self, on: int, due: int, amount: int) -> ev.PromiseMade:
        """Return a promise to pay."""
        base = self._base(self.day(on))
        return ev.PromiseMade(
            **base, promise_id=f"pr{self._ids}", account_id=self.account_id, amount=amount, due_on=self.day(due)
        )

    def reviewed(self, on: int, decision: ev.ReviewDecision, ground: str = "g1") -> ev.BadDebtReviewed:
        """Return a review."""
        base = self._base(self.day(on))
        return ev.BadDebtReviewed(
            **base,
            review_id=f"r{self._ids}",
            account_id=self.account_id,
            decision=decision,
            reviewer="staff-7",
            ground=ground,
        )

    def plan(
        self,
        on: int,
        *instalments: tuple[int, int],
        waived: ev.Amounts | None = None,
        plan_id: str = "plan1",
        interest: int = 0,
        loss: int = 0,
        currency: str = "CNY",
    ) -> ev.PlanActivated:
        """Return an accepted plan with (due offset, principal) instalments, each with the same interest.

        loss: of present value, basis points.
        """
        return ev.PlanActivated(
            **self._base(self.day(on)),
            account_id=self.account_id,
            borrower_id="B1",
            plan_id=plan_id,
            offer_id="o1",
            option_id="op1",
            currency=currency,
            activated_on=self.day(on),
            annual_rate_bps=0,
            waived=waived or ev.Amounts(),
            instalments=tuple(
                ev.PlanInstalment(number=n, due_on=self.day(o), amount=a + interest, principal=a, interest=interest)
                for n, (o, a) in enumerate(instalments, 1)
            ),
            caused_by="answer",
            distressed_obligation_bps=loss,
        )

    def plan_review(self, on: int, plan_id: str = "plan1") -> ev.PlanReviewRequested:
        """Return what the planner asks where the borrower's means no longer carry a plan."""
        return ev.PlanReviewRequested(
            **self._base(self.day(on)),
            account_id=self.account_id,
            borrower_id="B1",
            plan_id=plan_id,
            requested_on=self.day(on),
            caused_by="close",
        )

    def closes(self, first: int, last: int) -> Iterable[ev.DayClosed]:
        """Return the closes of a run of days."""
        return [
            ev.DayClosed(
                event_id=f"close-{self.day(o)}",
                occurred_at=at(self.day(o), 23),
                source="test",
                business_date=self.day(o),
                calendar="none",
            )
            for o in range(first, last + 1)
        ]
