"""Every event that a timeline may show has words in both languages."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agents.amounts import priced
from agents.progress import OUTCOMES
from console.server import STATIC
from console.words import WORDS, worded
from schemas import events as ev
from schemas.jsonlines import from_line
from schemas.topics import TOPIC_OF
from simulator.runs import simulate
from state.currencies import UNLIKE
from state.pack import default_book
from streams.local.runtime import LocalRuntime

# What goes between agents, to the whole house or to auditors is in nobody's timeline.
UNSEEN = {
    "BarrierReached",
    "DayClosed",
    "DeadLetter",
    "DecisionLogged",
    "EvidenceGathered",
    "GuardrailTripped",
    "ModelUpdated",
    "PersonalDataErased",
    "PersonalDataRead",
    "PolicyChanged",
}
ENVELOPE: dict[str, Any] = {
    "event_id": "e1",
    "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
    "source": "test",
    "borrower_id": "B1",
}
EXAMPLES = [
    from_line(line) for line in (Path(__file__).parents[2] / "schemas" / "examples.jsonl").read_bytes().splitlines()
]


def test_no_event_is_without_words() -> None:
    assert {kind.__name__ for kind in TOPIC_OF} - UNSEEN == set(WORDS)


@pytest.mark.parametrize(
    "event", [e for e in EXAMPLES if type(e).__name__ not in UNSEEN], ids=lambda e: type(e).__name__
)
def test_words_are_whole_in_both_languages(event: ev.Event) -> None:
    said = worded(event, "CNY")
    assert any("一" <= letter <= "鿿" for letter in said["zh"])
    assert not any("一" <= letter <= "鿿" for letter in said["en"])
    assert "{" not in said["zh"] + said["en"]
    assert "None" not in said["zh"] + said["en"]


def test_no_code_of_the_engine_is_left_in_the_words_of_a_history() -> None:
    # What a pack is called is a name.
    classes = {
        rule.policy
        for product in ("credit_card", "personal_loan")
        for place in ("CN", "US", "GB", "DE")
        for rule in default_book().policy_for(place, product).classifications
    }
    left: Counter[str] = Counter()
    told: Counter[str] = Counter()
    with LocalRuntime.open(None, default_book()) as runtime:
        events = list(simulate(accounts=150, days=200, seed=7))
        for event in (*events, *runtime.feed(events)):
            name = type(event).__name__
            if name in WORDS:
                told[name] += 1
                said = worded(event, "CNY")
                left.update(
                    code
                    for text in said.values()
                    for code in re.findall(r"[a-z]+(?:_[a-z]+)+|[A-Z][a-z]+[A-Z]\w+", text)
                )
    assert len(told) > 25
    assert set(left) <= classes


def test_all_that_stands_in_a_timeline_has_words() -> None:
    with LocalRuntime.open(None, default_book()) as runtime:
        arrived = list(simulate(accounts=60, days=200, seed=7))
        events = (*arrived, *runtime.feed(arrived))
        told: Counter[str] = Counter()
        for agent, field in (("planner", "borrower_id"), ("account", "account_id")):
            for key in {getattr(event, field) for event in events if hasattr(event, field)}:
                told.update(type(event).__name__ for _, event in runtime.history(agent, key))
    assert {"ContactNoted", "PlanProgressed", "OfferAnswered", "PaymentReceived"} <= set(told) <= set(WORDS)


@pytest.mark.parametrize(
    ("attempt", "conversation", "said"),
    [(True, False, "Tried to reach"), (True, True, "Spoke with"), (False, True, "The borrower called")],
)
def test_a_contact_says_who_reached_whom(attempt: bool, conversation: bool, said: str) -> None:
    noted = ev.ContactNoted(
        **ENVELOPE, account_id="A1", attempt_id="c1", caused_by="x", attempt=attempt, conversation=conversation
    )
    words = worded(noted, "CNY")
    assert words["en"].startswith(said)
    assert words["en"].endswith(f"about account {noted.account_id}")


def test_what_became_of_a_plan_is_told_and_taken_back() -> None:
    made = ev.PlanProgressed(
        **ENVELOPE,
        account_id="A1",
        plan_id="p1",
        offer_id="o1",
        business_date=date(2026, 1, 1),
        caused_by="x",
        outcome="kept",
    )
    for outcome in OUTCOMES.values():
        said = worded(replace(made, outcome=outcome, number=3), "CNY")
        back = worded(replace(made, outcome=outcome, number=3, taken_back=True), "CNY")
        assert outcome not in said["zh"]
        assert (back["zh"], back["en"]) == (said["zh"] + "（更正：不再成立）", said["en"] + " (taken back)")


def test_money_has_the_decimals_of_its_currency() -> None:
    amounts = [("CNY", "-1,234.05 CNY"), ("JPY", "-123,405 JPY"), ("KWD", "-123.405 KWD"), ("CLF", "-12.3405 CLF")]
    assert [priced(-123_405, currency) for currency, _ in amounts] == [text for _, text in amounts]
    assert (priced(5, "KWD"), priced(5, "JPY"), priced(5, "")) == ("0.005 KWD", "5 JPY", "0.05")


def test_an_offer_of_no_plan_says_that_a_person_is_asked_for() -> None:
    offer = next(e for e in EXAMPLES if isinstance(e, ev.OfferPublished))
    assert "a person" in worded(replace(offer, options=()), "CNY")["en"]
    assert "one way" in worded(replace(offer, options=offer.options[:1]), "CNY")["en"]


def test_the_page_writes_money_with_the_decimals_that_the_program_knows() -> None:
    script = (STATIC / "page.js").read_text("utf-8")
    for decimals, codes in UNLIKE:
        assert f'[{decimals}, "{codes}"]' in script
