"""Account events through the local runtime: from framed Avro bytes in the log to durable state.

`python -m bench.local [--accounts N …] [--runs N]`. The log is written before the clock starts; what is timed is
reading it, decoding, the account agent, and the transaction that makes state, facts and position durable
(synchronous=FULL). Payments come in random order. They and the closes of their days are timed apart, since a close is
no event of an account. A runtime caches 200,000 states, so 300,000 accounts are beyond its cache.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from bench.measure import machine, note, peak_mib, shuffled, spread
from schemas import events as ev
from state.calendars import add_months
from state.policy_packs.loader import default_book
from state.schedules import amortise
from streams.local.runtime import LocalRuntime

START = date(2026, 1, 1)


def instant(day: date) -> datetime:
    """Return noon of a day."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def opening(accounts: int) -> Iterator[ev.Event]:
    """Yield loans of twelve months, all due on one day."""
    schedule = tuple(
        ev.Instalment(number=i.number, due_on=i.due_on, principal=i.principal, interest=i.interest, fees=0)
        for i in amortise(1_200_000, 1_200, 12, add_months(START, 1))
    )
    for n in range(accounts):
        yield ev.AccountOpened(
            event_id=f"open-{n}",
            occurred_at=instant(START),
            source="bench",
            account_id=f"A{n:07d}",
            borrower_id=f"B{n:07d}",
            product="personal_loan",
            jurisdiction="CN",
            currency="CNY",
            opened_on=START,
            annual_rate_bps=1_200,
            principal=1_200_000,
            instalments=schedule,
        )


def payment(account_id: str, payment_id: str, amount: int, day: date) -> ev.PaymentReceived:
    """Return a payment of so many minor units."""
    return ev.PaymentReceived(
        event_id=f"paid-{payment_id}",
        occurred_at=instant(day),
        source="bench",
        payment_id=payment_id,
        account_id=account_id,
        amount=amount,
        currency="CNY",
        value_on=day,
        channel="transfer",
    )


def payments(accounts: int, month: int) -> Iterator[ev.Event]:
    """Yield a month's payments on the due day; one borrower in fifty pays nothing."""
    day = add_months(START, month)
    for n in range(accounts):
        if n % 50 != month % 50:
            yield payment(f"A{n:07d}", f"P{month}-{n}", 106_619, day)


def closes(first: date, last: date) -> Iterator[ev.DayClosed]:
    """Yield the closes of a run of days."""
    for n in range((last - first).days + 1):
        day = first + timedelta(days=n)
        yield ev.DayClosed(
            event_id=f"close-{day}", occurred_at=instant(day), source="bench", business_date=day, calendar="none"
        )


def measured(accounts: int, runs: int) -> None:
    """Measure with so many accounts, and print."""
    rates, cpu, close_costs = [], [], []
    with tempfile.TemporaryDirectory() as folder, LocalRuntime.open(Path(folder), default_book()) as runtime:
        runtime.feed(opening(accounts))
        runtime.feed(closes(START, START))
        for month in range(1, runs + 1):
            day = add_months(START, month)
            runtime.feed(closes(add_months(START, month - 1) + timedelta(days=1), day - timedelta(days=1)))
            count = runtime.publish(shuffled(payments(accounts, month), month))
            began, spent = time.perf_counter(), time.process_time()
            runtime.run()
            rates.append(count / (time.perf_counter() - began))
            cpu.append((time.process_time() - spent) / count * 1e6)
            began = time.perf_counter()
            runtime.feed(closes(day, day))
            close_costs.append((time.perf_counter() - began) / count * 1e6)
    note(f"payments, local runtime, {accounts:,} accounts, bytes to durable", "events/s", rates)
    note(f"the same, {accounts:,} accounts", "µs of CPU an event", cpu)
    note(f"close of the due day, local runtime, {accounts:,} accounts", "µs an account", close_costs)
    print(f"{accounts:,} accounts")
    print(f"account events a second, bytes to durable state: {spread(rates)}")
    print(f"µs of CPU an event: {spread(cpu)}")
    print(f"close of the due day, µs an account: {spread(close_costs)}")
    print(f"peak memory so far {peak_mib():,.0f} MiB", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, nargs="+", default=[40_000, 300_000])
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    print(machine())
    for accounts in given.accounts:
        measured(accounts, given.runs)


if __name__ == "__main__":
    main()
