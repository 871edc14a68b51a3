"""A history: one account's facts, its rules and its days; and what all that is drawn of one has in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from schemas import events as ev
from state.policy import PolicyBook
from tests.recomputation.days import months_after
from tests.recomputation.rules import PLACES, PRODUCTS, drawn_book

# Month ends, leap days and turns of the year are near all of these.
STARTS = (date(2024, 1, 30), date(2023, 12, 31), date(2027, 11, 29), date(2028, 1, 31), date(2025, 6, 1))
SCALE = {"JPY": 100, "KWD": 1_000, "TWD": 1_000, "CNY": 1_000}


@dataclass
class History:
    """One account's facts, its rules, and the days through which it is lived.

    facts: each with the offset of the day on which it comes in.
    """

    seed: int
    book: PolicyBook
    start: date
    days: int
    facts: list[tuple[int, ev.Event]] = field(default_factory=list)

    @property
    def last(self) -> date:
        """The last day that is closed."""
        return self.start + timedelta(days=self.days)


class Author:
    """Writes a history, fact by fact."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.start = rng.choice(STARTS) + timedelta(days=rng.choice((0, 0, 1, 2, rng.randrange(400))))
        self.days = rng.choice((40, 100, 160, 250, 400))
        self.history = History(seed, drawn_book(rng, self.start, self.days), self.start, self.days)
        self.place = rng.choice(list(PLACES))
        self.currency = PLACES[self.place]
        self.product = rng.choice(PRODUCTS)
        self.unit = SCALE.get(self.currency, 100)
        self.late_arrivals = rng.choice((0.0, 0.0, 0.2, 0.6))
        self.ids = 0
        self.dues: list[tuple[int, int]] = []
        self.plan_ids: list[str] = []
        self.payment_ids: list[tuple[str, int, int]] = []
        self.numbers: list[int] = []
        self.instalments: list[ev.Instalment] = []

    def base(self, day: int, hour: int | None = None) -> dict[str, Any]:
        """Return the envelope of an event of a day."""
        self.ids += 1
        at = datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC) + timedelta(days=day)
        hour = self.rng.choice((0, 3, 10, 17, 23)) if hour is None else hour
        return {"event_id": f"e{self.ids:04}", "occurred_at": at.replace(hour=hour), "source": "drawn"}

    def on(self, day: int) -> date:
        """Return the date of an offset."""
        return self.start + timedelta(days=day)

    def amount(self, low: int = 1, high: int = 300) -> int:
        """Return an amount that is not round."""
        return self.rng.randint(low, high) * self.unit + self.rng.choice((0, 0, 1, self.rng.randrange(self.unit)))

    def put(self, day: int, event: ev.Event) -> None:
        """Let a fact of a day come in on it, or later."""
        if self.rng.random() < self.late_arrivals:
            day += int(self.rng.expovariate(1 / 15))
        self.history.facts.append((max(0, min(day, self.days)), event))

    def dates(self, first: int, number: int) -> list[int]:
        """Return monthly due offsets, anchored to the first's day of month."""
        start = self.start.toordinal()
        return [months_after(start + first, n) - start for n in range(number)]

    def pay(self, day: int, amount: int) -> None:
        """Pay on a day."""
        if amount <= 0 or not 0 <= day <= self.days:
            return
        base = self.base(day)
        payment_id = f"p{self.ids}"
        self.payment_ids.append((payment_id, day, amount))
        self.put(
            day,
            ev.PaymentReceived(
                **base,
                payment_id=payment_id,
                account_id="A1",
                amount=amount,
                currency=self.currency,
                value_on=self.on(day),
                channel="transfer",
            ),
        )

    def random_days(self, most: int) -> Iterator[int]:
        """Yield some days."""
        for _ in range(self.rng.randint(1, most)):
            yield self.rng.randrange(self.days)
