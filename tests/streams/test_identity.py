"""What identifies a fact is its natural id; its event_id does not, whatever its sender makes of that."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from msgspec.structs import replace

from agents.account.facts import FACTS, content_of
from agents.account.rules import Rules
from schemas import events as ev
from schemas.contracts import contracts
from schemas.jsonlines import read_events
from schemas.topics import TOPIC_OF, key_of
from simulator.runs import simulate
from state.policy_packs.loader import default_book
from streams.engine.agents import all_agents
from streams.local.runtime import LocalRuntime
from tests.support.account_events import AccountEvents, at
from tests.support.policies import book_of, policy

RULES = Rules(policy())
EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples.jsonl"
WHOLE = {"closed_on": date(2026, 3, 1), "reversal_id": "part-1", "revision": 1}
# Their natural id is their event_id.
BY_EVENT_ID = (ev.ProfileReported, ev.ConsentGranted, ev.ConsentWithdrawn, ev.ErasureRequested)


def altered(value: Any) -> Any:
    """Return another value of a field."""
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, date):
        return value + timedelta(days=1)
    return value + 1 if isinstance(value, int) else (value, "other")


@pytest.mark.parametrize("kind", [k for k, topic in TOPIC_OF.items() if topic.inbound], ids=lambda kind: kind.__name__)
def test_a_contract_names_what_identifies_its_fact(kind: type[ev.Event]) -> None:
    contract = contracts()[kind.__name__]
    doc = next(f["doc"] for f in contract["fields"] if f["name"] == "event_id")
    assert all(name in doc for name in contract["identity"] if name != "event_id")
    agent = next((a for a, _ in all_agents() if kind in a.accepts), None)
    if agent is None:
        # A close by its date, a change of policy by its change_id: see `streams.engine.policies`. A release of a key
        # that is in no quarantine has no effect, whichever it is.
        assert kind in (ev.DayClosed, ev.PolicyChanged, ev.QuarantineReleased)
        return
    event = next(e for e in read_events(EXAMPLES) if isinstance(e, kind))
    # Without an optional part of it another one identifies the fact.
    event = replace(event, **{name: getattr(event, name) or WHOLE[name] for name in contract["identity"]})
    fields = {f.encode_name: f.name for f in structs.fields(kind)}
    before = (key_of(event), agent.fact_key(event))
    for name, attribute in fields.items():
        other = replace(event, **{attribute: altered(getattr(event, attribute))})
        assert ((key_of(other), agent.fact_key(other)) != before) == (name in contract["identity"]), name


@pytest.mark.parametrize("kind", [k for k in FACTS if TOPIC_OF[k].inbound], ids=lambda kind: kind.__name__)
def test_a_dated_fact_may_be_repeated_at_another_time(kind: type[ev.Event]) -> None:
    example = next(e for e in read_events(EXAMPLES) if isinstance(e, kind))
    own = {"closed_on": date(2026, 3, 1), "billed_on": date(2026, 3, 1), "failed_on": date(2026, 3, 1)}
    fields = own.keys() & set(kind.__struct_fields__)
    for values in (own, dict.fromkeys(own)):
        first = replace(example, **{name: values[name] for name in fields})
        again = replace(first, occurred_at=first.occurred_at + timedelta(days=3), event_id="again", source="another")
        same = FACTS[kind].effective_date(again, RULES) == FACTS[kind].effective_date(first, RULES)
        assert (content_of(again) == content_of(first)) == same


def answered(events: list[ev.Event]) -> list[ev.Event]:
    """Return all that is said of events."""
    with LocalRuntime.open(None, default_book()) as runtime:
        return runtime.feed(events)


def without_causes(event: ev.Event) -> ev.Event:
    """Return an output without the event_id of its cause."""
    plain = replace(event, caused_by="") if hasattr(event, "caused_by") else event
    return replace(plain, reason="") if isinstance(plain, ev.EventSuperseded) else plain


def test_facts_that_share_an_event_id_are_facts_of_their_own() -> None:
    events = [e for e in simulate(80, 150, 3) if TOPIC_OF[type(e)].inbound]
    shared = [e if isinstance(e, BY_EVENT_ID) else replace(e, event_id="the-same") for e in events]
    apart, together = answered(events), answered(shared)
    assert list(map(without_causes, together)) == list(map(without_causes, apart))
    assert max(Counter(e.event_id for e in together).values()) == 1
    assert {ev.OfferPublished, ev.PlanActivated, ev.WorkoutEnded, ev.EventSuperseded} < set(map(type, together))


def test_contradictions_with_one_event_id_get_ids_of_their_own() -> None:
    story = AccountEvents()
    closed = date(2026, 1, 20)
    close = ev.DayClosed(event_id="x", occurred_at=at(closed), source="test", business_date=closed, calendar="none")
    first = [replace(story.paid(5, 1_000, f"p{n}"), event_id="x") for n in range(2)]
    second = [replace(p, amount=2_000, occurred_at=p.occurred_at - timedelta(hours=1)) for p in first]
    with LocalRuntime.open(None, book_of(policy())) as runtime:
        said = runtime.feed([story.opened(10), *first, close, *second])
    letters = [e for e in said if isinstance(e, ev.DeadLetter)]
    assert [letter.code for letter in letters] == ["conflicting_duplicate"] * 2
    assert len({e.event_id for e in said}) == len(said)
