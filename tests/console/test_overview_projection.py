"""What is counted does not depend on which topic or key came first: over Kafka nobody knows."""

from __future__ import annotations

import random
from collections import deque
from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from console.overview_projection import OverviewProjection, RecentEvents
from schemas import events as ev
from schemas.topics import TOPIC_OF, key_of
from simulator.world import START


def counted(events: list[ev.Event]) -> bytes:
    projection = OverviewProjection()
    for event in events:
        projection.apply(event)
    return msgspec.json.encode((projection.overview(), projection.recommendations.table()), order="sorted")


def by_place(events: list[ev.Event], partitions: int) -> list[list[ev.Event]]:
    """Return events as the partitions of their topics have them."""
    places: dict[tuple[str, int], list[ev.Event]] = {}
    for event in events:
        key = key_of(event) or ""
        places.setdefault((TOPIC_OF[type(event)].name, sum(key.encode()) % partitions), []).append(event)
    return list(places.values())


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_partitions_gives_the_same_overview(log: list[ev.Event], seed: int) -> None:
    dice = random.Random(seed)
    places = [deque(events) for events in by_place(log, 3)]
    mixed: list[ev.Event] = []
    while places:
        place = dice.choice(places)
        count = min(len(place), dice.choice((1, 10, 1_000, 100_000)))
        mixed += [place.popleft() for _ in range(count)]
        places = [p for p in places if p]
    assert counted(mixed) == counted(log)


def test_partitions_read_one_behind_the_other_give_the_same_too(log: list[ev.Event]) -> None:
    for places in (by_place(log, 2), by_place(log, 2)[::-1]):
        assert counted([event for place in places for event in place]) == counted(log)


def test_the_newest_are_kept_once_whatever_comes_first(log: list[ev.Event]) -> None:
    debts = [e for e in log if isinstance(e, ev.BadDebtChanged)]
    wanted = sorted(debts, key=lambda e: (e.business_date, e.event_id))[-5:][::-1]
    for seed in range(5):
        mixed = debts * 2
        random.Random(seed).shuffle(mixed)
        newest: RecentEvents[ev.BadDebtChanged] = RecentEvents(5)
        for event in mixed:
            newest.add(event)
        assert list(newest) == wanted
    assert wanted[0].business_date > START + timedelta(days=100)


def test_an_account_that_is_taken_over_is_counted_as_it_stands(log: list[ev.Event]) -> None:
    from_others = [e for e in log if not isinstance(e, ev.OfferPublished | ev.BadDebtChanged | ev.ImpairmentChanged)]
    position = ev.OpeningPosition(
        event_id="position",
        occurred_at=log[0].occurred_at,
        source="migration",
        account_id="A-taken-over",
        borrower_id="B-taken-over",
        product="credit_card",
        jurisdiction="CN",
        currency="CNY",
        opened_on=START,
        as_of=START,
        annual_rate_bps=1_825,
        principal=0,
        instalments=(),
        allowance=7_000,
        bad_debt="charged_off",
    )
    said = {"account_id": "A-taken-over", "business_date": START, "caused_by": "x", "source": "reprieve.account"}
    later = ev.ImpairmentChanged(
        event_id="later", occurred_at=position.occurred_at, **said, stage=3, allowance=9_000, exposure=9_000,
        currency="CNY", from_stage=3,
    )  # fmt: skip
    projection = OverviewProjection()
    for event in (*from_others, position, position):
        projection.apply(event)
    shown = projection.overview()
    assert (shown["bad_debt"], shown["allowance"]) == ({"charged_off": 1}, {"CNY": 7_000})
    assert shown["accounts"] == 1 + sum(isinstance(e, ev.AccountOpened) for e in log)
    for order in ([position, later], [later, position]):
        projection = OverviewProjection()
        for event in order:
            projection.apply(event)
        assert projection.overview()["allowance"] == {"CNY": 9_000}


def test_acceptances_of_unpublished_offers_are_bounded(log: list[ev.Event], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.overview_projection.ACCEPTED_UNPUBLISHED", 3)
    plan = next(e for e in log if isinstance(e, ev.PlanActivated))
    offer = next(e for e in log if isinstance(e, ev.OfferPublished) and e.offer_id == plan.offer_id)
    projection = OverviewProjection()
    projection.apply(plan)
    for n in range(2):
        projection.apply(replace(plan, offer_id=f"other-{n}", plan_id=f"other-{n}"))
    projection.apply(offer)
    assert projection.overview()["offers"]["open"] == 0
    # Offers that were open before their plan, and published ones, take no room; of the others the oldest are dropped.
    for n in range(2, 20):
        projection.apply(replace(plan, offer_id=f"other-{n}", plan_id=f"other-{n}"))
    assert list(projection._accepted_unpublished) == ["other-17", "other-18", "other-19"]
