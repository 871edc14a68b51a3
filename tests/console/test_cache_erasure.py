"""The console's own file of a Kafka deployment has nothing personal of a borrower who was erased."""

from __future__ import annotations

from contextlib import closing
from itertools import permutations
from pathlib import Path

import pytest
from msgspec.structs import replace

from agents.planner.erasure import scrubbed
from console.cache import FILE, Cache
from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import TOPIC_OF
from tests.support.agent_driver import PlannerDriver, only
from tests.support.borrower_events import BorrowerEvents, closes
from tests.support.in_memory_cluster import InputRecord

CODEC = Codec()


def published(borrower: str, reason: ev.AnswerReason = "distress") -> list[ev.Event]:
    """Return what is published of a borrower who declines, is erased, and is made another offer later."""
    driver, teller = PlannerDriver(), BorrowerEvents(borrower)
    driver.feed(teller.granted(0), teller.report(0), teller.request(0), *closes([0]))
    driver.feed(teller.answer(1, driver.offer().offer_id, "declined", reason), *closes([1]), teller.erasure(2))
    driver.feed(*closes([2]), teller.granted(40), teller.report(40), *closes([40]))
    return driver.outputs


def records(events: list[ev.Event]) -> dict[tuple[str, int], list[InputRecord]]:
    """Return events as what is read of each topic."""
    found: dict[tuple[str, int], list[InputRecord]] = {}
    for event in events:
        name = TOPIC_OF[type(event)].name
        place = found.setdefault((name, 0), [])
        place.append(InputRecord(name, len(place), b"", CODEC.encode(event)))
    return found


def stored(folder: Path) -> list[ev.Event]:
    """Return all events that a cache's file has."""
    with closing(Cache(folder, "test", 1, CODEC)) as cache:
        rows = cache.db.execute("SELECT value FROM log ORDER BY position").fetchall()
    return [CODEC.decode(value) for (value,) in rows]


@pytest.mark.parametrize("order", list(permutations(("offers", "decisions", "audit"))))
def test_offers_and_decisions_are_emptied_in_any_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    mine, others = (
        published("B-erased"),
        [e for e in published("B-other", "too_long") if TOPIC_OF[type(e)].name != "audit"],
    )
    (proof,) = only(mine, ev.PersonalDataErased)
    read = records([*mine, *others])
    with closing(Cache(tmp_path, "test", 1, CODEC)) as cache:
        for topic in order:
            cache.write({}, {(topic, 0): read[topic, 0]})
        # As a killed console would: read once more.
        cache.write({}, {("offers", 0): read["offers", 0][:1]})
        # While it goes on running, its write-ahead log included.
        raw = b"".join(path.read_bytes() for path in tmp_path.glob(f"{FILE}*"))
    left = stored(tmp_path)
    old = [e for e in left if getattr(e, "borrower_id", "") == "B-erased" and e.occurred_at <= proof.through]
    assert {type(e) for e in old} >= {ev.OfferPublished, ev.DecisionLogged, ev.OfferWithdrawn}
    assert [scrubbed(e) for e in old] == old
    # What was offered behind it, and what others were offered, stands whole.
    offers = [e for e in left if isinstance(e, ev.OfferPublished) and e not in old]
    assert {e.borrower_id for e in offers} == {"B-erased", "B-other"}
    assert all(e.message for e in offers)
    words = [e.message for e in mine if isinstance(e, ev.OfferPublished) and e.occurred_at <= proof.through]
    assert words
    assert "distress" in {code for e in mine if isinstance(e, ev.DecisionLogged) for code in e.reasons}
    alone = [w for w in words if w not in {e.message for e in offers}]
    assert alone
    assert not any(word.encode() in raw for word in alone)


def test_an_answer_is_emptied_too(tmp_path: Path) -> None:
    driver, teller = PlannerDriver(), BorrowerEvents("B-erased")
    driver.feed(teller.granted(0), teller.report(0), teller.request(0), *closes([0]))
    answer = teller.answer(1, driver.offer().offer_id, "countered", "distress", counter_amount=73_917, rating=1)
    driver.feed(answer, teller.erasure(2))
    (proof,) = only(driver.outputs, ev.PersonalDataErased)
    for first in (True, False):
        folder = tmp_path / str(first)
        with closing(Cache(folder, "test", 1, CODEC)) as cache:
            told = {("audit", 0): [InputRecord("audit", 0, b"", CODEC.encode(proof))]}
            if first:
                cache.write({}, told)
            cache._append(answer, 0)
            if not first:
                cache.write({}, told)
        assert stored(folder) == [scrubbed(replace(answer))]
