"""The events of a borrower for tests, and closes of days by their offset."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from schemas import events as ev

START = date(2026, 3, 2)
CONSENT = "consent-1"


def day_of(offset: int) -> date:
    """Return the date so many days after the start."""
    return START + timedelta(days=offset)


def closes(offsets: Iterable[int]) -> list[ev.DayClosed]:
    """Return the closes of days."""
    return [
        ev.DayClosed(
            event_id=f"close-{day_of(o)}",
            occurred_at=instant_of(o, 23),
            source="test",
            business_date=day_of(o),
            calendar="none",
        )
        for o in offsets
    ]


def instant_of(offset: int, hour: int = 9) -> datetime:
    """Return an instant of a day."""
    day = day_of(offset)
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


class BorrowerEvents:
    """Makes the events of one borrower with ids that count up."""

    def __init__(self, borrower_id: str = "B1") -> None:
        self.borrower_id = borrower_id
        self._ids = 0

    def _base(self, on: int, hour: int = 9) -> dict[str, Any]:
        self._ids += 1
        return {
            "event_id": f"{self.borrower_id}-e{self._ids}",
            "occurred_at": instant_of(on, hour),
            "source": "test",
            "borrower_id": self.borrower_id,
        }

    def request(self, on: int, account_id: str = "A1", **more: Any) -> ev.WorkoutRequested:
        """Return a request at the close of a day. principal and penalty are of the debt, other fields too."""
        owed = {name: more.pop(name) for name in ("interest", "fees", "penalty") if name in more}
        principal = more.pop("principal", 1_000_000)
        trigger = str(more.pop("trigger_", "fell_behind"))
        fields: dict[str, Any] = {
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

    def report(self, on: int, income: int | None = 900_000, **more: Any) -> ev.ProfileReported:
        """Return a report as of its own day."""
        fields: dict[str, Any] = {
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
        self, on: int, offer_id: str, said: ev.Answer, *reasons: ev.AnswerReason, **more: Any
    ) -> ev.OfferAnswered:
        """Return an answer."""
        base = self._base(on)
        fields: dict[str, Any] = {"channel": "online", "feedback_id": f"f-{base['event_id']}"} | more
        return ev.OfferAnswered(**base, offer_id=offer_id, answer=said, reasons=reasons, **fields)

    def learned(self, on: int, item_id: str) -> ev.EducationCompleted:
        """Return a completed education item."""
        return ev.EducationCompleted(**self._base(on), item_id=item_id)
