"""The simulated world: the same seed is the same world, and whatever arrives keeps the contracts."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice

import pytest

from schemas import events as ev
from schemas.jsonlines import to_line
from schemas.topics import TOPIC_OF
from schemas.validation import check
from simulator import World, open_loop, simulate
from simulator.envelope import at
from simulator.population import index_of
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime

START = date(2026, 1, 31)


def lines(events: Iterator[ev.Event]) -> list[bytes]:
    return [to_line(event) for event in events]


@pytest.fixture(scope="module")
def year() -> tuple[list[ev.Event], list[ev.Event]]:
    """Return what arrives at, and what is said by, an engine in a year with 150 accounts."""
    world = World(150, 1, START)
    arrived, said = [], []
    with LocalRuntime.open(None, default_book()) as runtime:
        now = list(world.opening())
        for n in range(366):
            arrived += now
            answer = runtime.feed(now)
            said += answer
            now = list(world.day(START + timedelta(days=n), answer))
    return arrived, said


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert lines(open_loop(200, 90, 3)) == lines(open_loop(200, 90, 3))
    assert lines(simulate(60, 120, 3)) == lines(simulate(60, 120, 3))


def test_another_seed_gives_another_world() -> None:
    # Ids are the same in all; what arrives is not.
    one, other = set(lines(open_loop(200, 60, 3))), set(lines(open_loop(200, 60, 4)))
    assert len(one & other) < 0.1 * len(one)


def test_days_are_closed_as_seldom_as_asked() -> None:
    closes = [e.business_date for e in simulate(20, 10, 3, START, close_every=4) if isinstance(e, ev.DayClosed)]
    assert closes == [START + timedelta(days=n) for n in (1, 5, 9)]


def test_a_borrower_lives_alike_in_any_size_of_population() -> None:
    few, many = 26, 260
    mine = range(18)
    small = [line for line in lines(open_loop(few, 150, 5)) if _whose(line) in mine]
    large = [line for line in lines(open_loop(many, 150, 5)) if _whose(line) in mine]
    assert small == large
    assert len(small) > 200


def test_a_day_is_independent_of_the_days_requested_before() -> None:
    straight, at_once = World(200, 5, START, listens=False), World(200, 5, START, listens=False)
    days = [START + timedelta(days=n) for n in range(80)]
    whole = {day: lines(straight.day(day)) for day in days}
    assert lines(at_once.day(days[-1])) == [line for line in whole[days[-1]] if b"HoldReleased" not in line]


def test_whatever_arrives_is_valid_and_meant_to_arrive(
    year: tuple[list[ev.Event], list[ev.Event]],
) -> None:
    for event in year[0]:
        check(event)
        assert TOPIC_OF[type(event)].inbound
    for event in open_loop(300, 100, 11):
        check(event)


def test_the_engine_refuses_nothing_of_it(year: tuple[list[ev.Event], list[ev.Event]]) -> None:
    assert [e for e in year[1] if isinstance(e, ev.DeadLetter)] == []


def test_the_whole_of_the_business_happens_in_a_year(year: tuple[list[ev.Event], list[ev.Event]]) -> None:
    arrived, said = (Counter(type(e).__name__ for e in events) for events in year)
    for kind in (
        "PaymentReceived", "PaymentReversed", "PaymentFailed", "InstalmentBilled", "ContactAttempted", "PromiseMade",
        "ProfileReported", "ConsentGranted", "OfferAnswered", "BadDebtReviewed", "HoldPlaced",
    ):  # fmt: skip
        assert arrived[kind], kind
    for kind in (
        "OfferPublished",
        "PlanActivated",
        "PlanInstalmentKept",
        "PlanBroken",
        "BadDebtChanged",
        "EventSuperseded",
    ):
        assert said[kind], kind
    assert arrived["DayClosed"] == 365
    answers = Counter(e.answer for e in year[0] if isinstance(e, ev.OfferAnswered))
    assert answers["accepted"]
    assert answers["declined"]


def test_repetitions_are_identical_and_other_ids_unique(
    year: tuple[list[ev.Event], list[ev.Event]],
) -> None:
    seen: dict[str, ev.Event] = {}
    twice = 0
    for event in year[0]:
        twice += event.event_id in seen
        assert seen.setdefault(event.event_id, event) == event
    assert 0 < twice < 0.02 * len(year[0])


def test_some_payments_arrive_after_their_day_was_closed(year: tuple[list[ev.Event], list[ev.Event]]) -> None:
    closed, late, all_ = START, 0, 0
    for event in year[0]:
        if isinstance(event, ev.DayClosed):
            closed = event.business_date
        elif isinstance(event, ev.PaymentReceived):
            all_ += 1
            late += event.value_on <= closed - timedelta(days=2)
            assert event.value_on <= closed + timedelta(days=1)
    assert 0 < late < 0.5 * all_


def test_nobody_collects_while_collection_is_stopped() -> None:
    world = World(150, 1, START)
    stopped: set[str] = set()
    stops = 0
    with LocalRuntime.open(None, default_book()) as runtime:
        now = list(world.opening())
        for n in range(300):
            calls = {e.account_id for e in now if isinstance(e, ev.ContactAttempted)}
            assert not calls & stopped
            answer = runtime.feed(now)
            for event in answer:
                if isinstance(event, ev.CollectionStopped):
                    stopped.add(event.account_id)
                    stops += 1
                elif isinstance(event, ev.CollectionResumed):
                    stopped.discard(event.account_id)
            now = list(world.day(START + timedelta(days=n), answer))
    assert stops > 5


def test_only_offers_that_were_made_are_answered_and_each_once(
    year: tuple[list[ev.Event], list[ev.Event]],
) -> None:
    made = {e.offer_id: e for e in year[1] if isinstance(e, ev.OfferPublished)}
    answered = [e for e in year[0] if isinstance(e, ev.OfferAnswered)]
    assert len({e.offer_id for e in answered}) == len(answered) > 20
    for answer in answered:
        offer = made[answer.offer_id]
        assert offer.business_date < answer.occurred_at.date() <= offer.expires_on
        chosen = {option.option_id for option in offer.options}
        assert (answer.option_id in chosen) == (answer.answer == "accepted")


def test_a_replay_of_the_events_says_what_was_answered(year: tuple[list[ev.Event], list[ev.Event]]) -> None:
    arrived, said = year
    with LocalRuntime.open(None, default_book()) as runtime:
        again = runtime.feed(arrived)
    offers = [e.offer_id for e in said if isinstance(e, ev.OfferPublished)]
    assert [e.offer_id for e in again if isinstance(e, ev.OfferPublished)] == offers


def test_memory_does_not_grow_with_an_open_population() -> None:
    # Opened accounts and a week of days: what is kept at the peak must not follow the number of accounts.
    def peak(accounts: int) -> int:
        tracemalloc.start()
        for _ in open_loop(accounts, 7, 1):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1_000)
    small, large = peak(20_000), peak(60_000)
    assert large < 1.5 * small + 4 * 2**20


def test_a_large_population_is_simulated_without_the_engine() -> None:
    assert next(islice(simulate(30_000, 1, 2), 1)).source == "simulator"


@pytest.mark.parametrize("accounts", [0, -1])
def test_a_population_of_nobody_is_refused(accounts: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        World(accounts, 1)


def _whose(line: bytes) -> int | None:
    """Return the index of the borrower of whom a line speaks, None for a day's close."""
    for field in (b'"account_id":"', b'"borrower_id":"'):
        if field in line:
            return index_of(line.split(field)[1].split(b'"')[0].decode())
    return None


def test_a_plan_is_paid_by_the_schedule_that_counts() -> None:
    start = date(2026, 1, 1)
    world = World(20, 5, start)
    account = next(a for i in range(20) for a in world.people.borrower(i).accounts if not a.months)
    due = [start + timedelta(days=n) for n in (3, 6, 9)]

    def instalments(*amounts: int) -> tuple[ev.PlanInstalment, ...]:
        return tuple(
            ev.PlanInstalment(number=n, due_on=day, amount=a, principal=a, interest=0)
            for n, (day, a) in enumerate(zip(due, amounts, strict=False), 1)
        )

    envelope = {"occurred_at": at(start, 9), "source": "test", "account_id": account.account_id, "caused_by": "x"}
    plan = ev.PlanActivated(
        event_id="plan",
        borrower_id="B",
        plan_id="P",
        offer_id="O",
        option_id="op",
        currency="CNY",
        activated_on=start,
        annual_rate_bps=0,
        waived=ev.Amounts(),
        instalments=instalments(100, 100),
        **envelope,
    )
    change = ev.PlanScheduleAdjusted(
        event_id="change",
        business_date=start,
        plan_id="P",
        offer_id="O",
        difference=50,
        agreed=2,
        instalments=instalments(100, 100, 50),
        beside=(ev.Instalment(number=7, due_on=start + timedelta(days=5), principal=900, interest=10, fees=0),),
        **envelope,
    )
    paid: list[ev.PaymentReceived] = []
    for n in range(14):
        today = start + timedelta(days=n)
        arrived = world.day(today, [plan, change] if not n else ())
        paid += [e for e in arrived if isinstance(e, ev.PaymentReceived) and e.account_id == account.account_id]
    beside = [e for e in paid if "beside" in e.payment_id]
    assert [(e.amount, e.value_on) for e in beside] == [(910, start + timedelta(days=5))]
    assert sum(e.amount for e in paid if "beside" not in e.payment_id) in (100, 150, 200, 250)
