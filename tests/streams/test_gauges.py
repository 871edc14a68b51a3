"""What workers tell Prometheus is exact, counted once over all of them, and names nobody."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from schemas import events as ev
from simulator.runs import simulate
from state.account import AccountState
from state.portfolio import Portfolio
from state.storage import unpack
from streams.kafka.metrics_table import rows
from tests.streams.lane_house import House, Owner

ACCOUNTS, DAYS = 120, 170


@cache
def history() -> tuple[ev.Event, ...]:
    """Return a population's events: enough of both for bad debts, plans, answers, and plans that break."""
    return tuple(simulate(accounts=ACCOUNTS, days=DAYS, seed=3, start=date(2026, 1, 5)))


def summed(*owners: Owner) -> Counter[tuple[str, ...]]:
    """Return what workers tell, as Prometheus sums it up."""
    total: Counter[tuple[str, ...]] = Counter()
    for owner in owners:
        total.update({key: int(value) for key, value in owner.values().items() if value})
    return total


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> tuple[House, Owner, Owner, list[Counter[tuple[str, ...]]]]:
    """Return a house after the history, in which partitions changed workers, and what these told meanwhile."""
    house, one, two = House(tmp_path_factory.mktemp("lanes")), Owner(), Owner()
    told = []

    async def run() -> None:
        events = history()
        house.open(one, 0)
        house.open(one, 1)
        house.publish(events[: len(events) // 2])
        await house.settle(one)
        told.append(summed(one, two))
        await house.leave(one, 1)
        house.open(two, 1)
        told.append(summed(one, two))
        house.publish(events[len(events) // 2 :])
        await house.settle(one, two)
        told.append(summed(one, two))
        await house.leave(one, 0)
        house.open(two, 0)
        told.append(summed(one, two))
        # Stopped as a worker's end stops them; what they told last can still be asked for.
        for runner in two.running():
            await runner.stop(5)

    asyncio.run(run())
    return house, one, two, told


Worked = tuple[House, Owner, Owner, list[Counter[tuple[str, ...]]]]


def portfolio_of(house: House, owner: Owner) -> Portfolio:
    """Return the portfolio as counted anew from all stored states."""
    fresh = Portfolio(house.book)
    for runner in owner.running():
        for state in runner.lane.seats[0].rows.all_states():
            fresh.move(None, unpack(state, AccountState))
    return fresh


def test_what_was_kept_as_accounts_changed_is_what_counting_all_of_them_anew_gives(worked: Worked) -> None:
    house, _, two, _ = worked
    kept: Counter[tuple[str, ...]] = Counter()
    amounts: Counter[tuple[str, ...]] = Counter()
    for runner in two.running():
        for key, (count, amount) in runner.lane.portfolio_then.items():
            kept[key] += count
            amounts[key] += amount
    fresh = portfolio_of(house, two).copy()
    # What was recovered is a history, which the present states do not tell.
    recovered = {key for key in kept if key[0] == "recovered"}
    assert {k: (kept[k], amounts[k]) for k in kept if k not in recovered and (kept[k] or amounts[k])} == fresh
    assert {key[0] for key in fresh} == {
        "bucket", "bad_debt", "bad_since", "class", "stage", "allowance", "standing", "plan", "plan_due"
    }  # fmt: skip
    assert sum(count for key, (count, _) in fresh.items() if key[0] == "bucket") == ACCOUNTS


def test_a_partition_that_goes_from_worker_to_worker_is_counted_once(worked: Worked) -> None:
    *_, told = worked
    moving = "reprieve_commit_age_seconds"
    before, taken, later, last = ({k: v for k, v in t.items() if k[0] != moving} for t in told)
    portfolio = {
        k for k in before if k[0] not in ("reprieve_input_lag_records", "reprieve_closed_through_timestamp_seconds")
    }
    assert {k: before[k] for k in portfolio} == {k: taken[k] for k in portfolio}
    assert {k: v for k, v in later.items() if k in portfolio} == {k: v for k, v in last.items() if k in portfolio}
    assert len(portfolio) > 20


def test_money_paid_on_bad_debts_is_what_payments_say(worked: Worked) -> None:
    house, _, _, told = worked
    bad: dict[str, list[tuple[date, bool]]] = {}
    for _, event in house.said("delinquency"):
        if isinstance(event, ev.BadDebtChanged):
            bad.setdefault(event.account_id, []).append(
                (event.business_date, event.to in ("candidate", "recognised", "charged_off", "recovering"))
            )
    paid = sum(
        event.amount
        for _, event in house.said("payments")
        if isinstance(event, ev.PaymentReceived)
        and [is_bad for day, is_bad in [(date.min, False), *bad.get(event.account_id, [])] if day < event.value_on][-1]
    )
    found = sum(v for k, v in told[-1].items() if k[0] == "reprieve_bad_debts_recovered_minor_units")
    assert found > 0
    assert found == paid


def test_lag_and_age_are_none_where_nothing_waits_and_true_where_something_does(tmp_path: Path) -> None:
    house, owner = House(tmp_path, 1), Owner()

    async def run() -> None:
        house.open(owner, 0)
        house.publish(e for e in history()[:50] if not isinstance(e, ev.DayClosed))
        # Nothing was fetched yet.
        house._fed(0, owner.runners[0])
        lag = sum(v for k, v in owner.values().items() if k[0] == "reprieve_input_lag_records")
        assert lag == sum(map(len, house.logs.values()))
        assert owner.values()["reprieve_commit_age_seconds", "0"] > 0
        await house.settle(owner)
        assert not any(v for k, v in owner.values().items() if k[0] == "reprieve_input_lag_records")
        assert owner.values()["reprieve_commit_age_seconds", "0"] == 0
        # A batch is in hand; more than it was fetched, and the fetcher knows of still more.
        owner.runners[0].look({"payments": (3, 10)})
        assert owner.values()["reprieve_input_lag_records", "payments", "0"] == 7
        await owner.runners[0].stop(5)

    asyncio.run(run())
    house.close()


def test_no_metric_names_an_account_a_borrower_or_an_event(worked: Worked) -> None:
    house, _, two, _ = worked
    names: set[str] = set()
    for log in house.logs.values():
        names |= {(record.key or b"").decode() for record in log}
    for event in history():
        names |= {v for v in (getattr(event, f, None) for f in event.__struct_fields__) if isinstance(v, str)}
    # Codes are strings too, and closed sets of them are what labels are for.
    ids = {name for name in names if re.search(r"\d", name)} - {"1", "2", "3"}
    assert len(ids) > 500
    labels = {
        (label, value)
        for collector in (REGISTRY, two.gauges)
        for family in collector.collect()
        if family.name.startswith("reprieve_")
        for sample in family.samples
        for label, value in sample.labels.items()
    }
    assert {value for _, value in labels} & ids == set()
    allowed = {
        "topic", "partition", "code", "cause", "le", "old", "new", "kind", "tone", "how", "reason", "what", "group",
        "guardrail", "rule", "answer", "channel", "policy", "currency", "bucket", "status", "months", "class", "stage",
        "standing", "months_ahead", "agent",
    }  # fmt: skip
    # Other processes' metrics may be in this registry too, with labels of their own.
    told = {name for row in rows() for name in row.split("|")[3].replace(",", " ").split()}
    assert told <= allowed
    # A topic's name may be as long as Kafka lets it be, with the prefix of its deployment.
    longest = {"topic": 249}
    odd = {(n, v) for n, v in labels if n in allowed and not re.fullmatch(r"[A-Za-z0-9_+.\-]+", v)}
    assert odd == set()
    assert {(n, v) for n, v in labels if n in allowed and len(v) > longest.get(n, 40)} == set()


def test_the_guide_has_every_metric_with_what_it_is(repository: Path) -> None:
    guide = (repository / "docs" / "observability.md").read_text("utf-8").splitlines()
    told = [line for line in guide if line.startswith("| `reprieve_")]
    assert told == rows(), "python -m streams.kafka.metrics_table"


def counters() -> Counter[tuple[str, ...]]:
    """Return all that is counted so far in this process, by metric and labels."""
    samples = [sample for family in REGISTRY.collect() for sample in family.samples]
    return Counter(
        {(s.name, *s.labels.values()): int(s.value) for s in samples if re.fullmatch(r"reprieve_\w+_total", s.name)}
    )


def test_what_is_counted_is_what_was_read_said_and_answered(tmp_path: Path) -> None:
    house, owner, before = House(tmp_path, 2), Owner(), counters()

    async def run() -> None:
        house.open(owner, 0)
        house.open(owner, 1)
        house.publish(history())
        # The same answers again: read, and no answers.
        house.publish(event for event in history() if isinstance(event, ev.OfferAnswered))
        house.append("payments", 0, b"A1", b"no event")
        await house.settle(owner)
        for runner in owner.running():
            await runner.stop(5)

    asyncio.run(run())
    found = counters() - before
    for topic in ("accounts", "payments", "collections", "profiles", "feedback", "clock", "plans", "workout-requests"):
        records = sum(len(log) for (name, _), log in house.logs.items() if name == topic)
        assert found["reprieve_records_read_total", topic] == records, topic
    for topic in ("delinquency", "offers", "plans", "decisions", "dead-letters"):
        assert found["reprieve_records_said_total", topic] == len(house.said(topic)) > 0, topic
    moves = Counter((e.from_, e.to) for _, e in house.said("delinquency") if isinstance(e, ev.DelinquencyChanged))
    assert moves == {k[1:]: v for k, v in found.items() if k[0] == "reprieve_bucket_transitions_total"}
    answers = Counter((e.answer, e.channel) for e in history() if isinstance(e, ev.OfferAnswered))
    assert answers == {k[1:]: v for k, v in found.items() if k[0] == "reprieve_offer_answers_total"}
    assert sum(answers.values()) > 0
    assert found["reprieve_records_refused_total", "unreadable"] == 1
    house.close()
