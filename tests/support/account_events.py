"""The events of an account for tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from schemas import events as ev


def at(day: date, hour: int = 9) -> datetime:
    """Return an instant of a day."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


class AccountEvents:
    """Makes the events of one account with ids that count up."""

    def __init__(self, account_id: str = "A1", start: date = date(2026, 1, 1)) -> None:
        self.account_id = account_id
        self.start = start
        self._ids = 0

    def _base(self, day: date) -> dict[str, Any]:
        self._ids += 1
        return {"event_id": f"{self.account_id}-e{self._ids}", "occurred_at": at(day), "source": "test"}

    def day(self, offset: int) -> date:
        """Return the date so many days after the start."""
        return self.start + timedelta(days=offset)

    def opened(self, *due_offsets: int, amount: int = 10_000, interest: int = 0, **more: Any) -> ev.AccountOpened:
        """Return an account with instalments of `amount` principal due at offsets."""
        fields: dict[str, Any] = {
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

    def paid(self, on: int, amount: int, payment_id: str | None = None, **more: Any) -> ev.PaymentReceived:
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

    def arrangement(
        self, on: int, days: int, *asks: tuple[int, int], plan_id: str = "pause", loss: int = 0
    ) -> ev.PlanActivated:
        """Return an arrangement for a time: a holiday, or what is asked for at (due offset, amount)."""
        return replace(
            self.plan(on, *asks, plan_id=plan_id, loss=loss),
            arrangement="token" if asks else "payment_holiday",
            review_on=self.day(on + max(0, days - 21)),
            ends_on=self.day(on + days),
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
