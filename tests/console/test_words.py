"""Every event that a timeline may show has words in both languages."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from agents.amounts import priced
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
    "ContactNoted",
    "DayClosed",
    "DeadLetter",
    "DecisionLogged",
    "EvidenceGathered",
    "GuardrailTripped",
    "ModelUpdated",
    "PersonalDataErased",
    "PersonalDataRead",
    "PlanProgressed",
    "PolicyChanged",
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
