"""Every event that a timeline may show has words in both languages."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agents.account.signals import OUTCOMES
from agents.amounts import priced
from console.app import STATIC
from console.words import WORDS, describe, translated
from schemas import events as ev
from schemas.jsonlines import from_line
from schemas.topics import TOPIC_OF
from simulator.runs import simulate
from state.currencies import UNLIKE
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime

# What goes between agents, to the whole house or to auditors is in nobody's timeline.
UNSEEN = {
    "BarrierReached",
    "DayClosed",
    "DeadLetter",
    "DecisionLogged",
    "OfferOutcomeReported",
    "GuardrailTripped",
    "ModelUpdated",
    "PersonalDataErased",
    "PersonalDataRead",
    "PolicyChanged",
    "QuarantineReleased",
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
    assert {kind.__name__ for kind in TOPIC_OF} - UNSEEN == set(WORDS.events)


@pytest.mark.parametrize(
    "event", [e for e in EXAMPLES if type(e).__name__ not in UNSEEN], ids=lambda e: type(e).__name__
)
def test_words_are_whole_in_both_languages(event: ev.Event) -> None:
    said = describe(event, "CNY")
    assert any("一" <= letter <= "鿿" for letter in said["zh"])
    assert not any("一" <= letter <= "鿿" for letter in said["en"])
    assert "{" not in said["zh"] + said["en"]
    assert "None" not in said["zh"] + said["en"]


def test_no_engine_code_is_left_in_the_words_of_a_history() -> None:
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
            if name in WORDS.events:
                told[name] += 1
                said = describe(event, "CNY")
                left.update(
                    code
                    for text in said.values()
                    for code in re.findall(r"(?<![\w-])[a-z]+(?:_[a-z]+)+(?![\w-])|[A-Z][a-z]+[A-Z]\w+", text)
                )
    assert len(told) > 25
    assert set(left) <= classes


def test_all_that_stands_in_a_timeline_has_words() -> None:
    with LocalRuntime.open(None, default_book()) as runtime:
        arrived = list(simulate(accounts=60, days=200, seed=7))
        events = (*arrived, *runtime.feed(arrived))
        told: Counter[str] = Counter()
        for agent, field in (("planner", "borrower_id"), ("account", "account_id")):
            for key in {getattr(event, field, None) for event in events} - {None}:
                told.update(type(event).__name__ for _, event in runtime.history(agent, key))
    assert {"ContactRecorded", "PlanProgressed", "OfferAnswered", "PaymentReceived"} <= set(told) <= set(WORDS.events)


@pytest.mark.parametrize(
    ("attempt", "conversation", "said"),
    [(True, False, "Tried to reach"), (True, True, "Spoke with"), (False, True, "The borrower called")],
)
def test_a_contact_says_who_reached_whom(attempt: bool, conversation: bool, said: str) -> None:
    noted = ev.ContactRecorded(
        **ENVELOPE, account_id="A1", attempt_id="c1", caused_by="x", attempt=attempt, conversation=conversation
    )
    words = describe(noted, "CNY")
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
        said = describe(replace(made, outcome=outcome, number=3), "CNY")
        back = describe(replace(made, outcome=outcome, number=3, taken_back=True), "CNY")
        assert outcome not in said["zh"]
        assert (back["zh"], back["en"]) == (said["zh"] + "（更正：不再成立）", said["en"] + " (taken back)")


def test_money_has_the_decimals_of_its_currency() -> None:
    amounts = [("CNY", "-1,234.05 CNY"), ("JPY", "-123,405 JPY"), ("KWD", "-123.405 KWD"), ("CLF", "-12.3405 CLF")]
    assert [priced(-123_405, currency) for currency, _ in amounts] == [text for _, text in amounts]
    assert (priced(5, "KWD"), priced(5, "JPY"), priced(5, "")) == ("0.005 KWD", "5 JPY", "0.05")


def test_an_offer_of_no_plan_says_that_a_person_is_asked_for() -> None:
    offer = next(e for e in EXAMPLES if isinstance(e, ev.OfferPublished))
    assert "a person" in describe(replace(offer, options=()), "CNY")["en"]
    assert "a person" not in describe(replace(offer, options=(), kind="pay_in_full"), "CNY")["en"]
    assert "one way" in describe(replace(offer, options=offer.options[:1]), "CNY")["en"]


def example(kind: str) -> Any:
    return next(e for e in EXAMPLES if type(e).__name__ == kind)


def test_an_adjustment_names_only_the_amounts_that_it_changes() -> None:
    words = describe(replace(example("InstalmentAdjusted"), number=4, interest=-500, fees=120), "CNY")
    assert words["en"] == "Instalment 4 adjusted: interest -5.00 CNY, fees 1.20 CNY (goodwill)"
    assert words["zh"] == "第4期金额调整：利息-5.00 CNY，费用1.20 CNY（善意减免）"


def test_revisions_partial_reversals_and_moves_say_so() -> None:
    bill = replace(example("InstalmentBilled"), revision=2)
    part = replace(example("PaymentReversed"), amount=1_500, reason="partial_refund")
    moved = replace(example("PromiseMade"), replaces="P-earlier")
    assert "corrected (revision 2)" in describe(bill, "CNY")["en"]
    assert "in part, 15.00 CNY: partial refund" in describe(part, "CNY")["en"]
    assert "in place of promise P-earlier" in describe(moved, "CNY")["en"]
    for event, plain in ((bill, "revision"), (part, "amount"), (moved, "replaces")):
        usual = replace(event, **{plain: 0 if plain == "revision" else None})
        assert describe(usual, "CNY")["zh"] != describe(event, "CNY")["zh"]


def test_an_event_without_effect_is_named_as_people_name_it() -> None:
    missed = replace(example("InputNotApplied"), fact_type="BadDebtReviewed", fact_id="R1", reason="It is closed.")
    assert describe(missed, "CNY")["en"] == "bad debt review R1 has no effect: It is closed."
    assert describe(missed, "CNY")["zh"].startswith("呆账复核（R1）未生效：")


def test_the_page_writes_money_with_its_decimals() -> None:
    script = (STATIC / "page.js").read_text("utf-8")
    for decimals, codes in UNLIKE:
        assert f'[{decimals}, "{codes}"]' in script


def test_an_id_that_contains_a_code_is_left_as_it_is() -> None:
    reason = "review V-A1-recognise-2026-04-28: confirmed"
    assert "V-A1-recognise-2026-04-28" in translated((reason,))["zh"]
    assert "V_1-charged_off-2" in translated(("review V_1-charged_off-2: charged_off",))["en"]


def test_what_is_one_is_singular() -> None:
    changed = next(e for e in EXAMPLES if isinstance(e, ev.DelinquencyChanged))
    one = describe(replace(changed, days_past_due=1, missed=1), "CNY")
    assert one["en"].startswith("1 day past due: ")
    assert describe(replace(changed, days_past_due=21), "CNY")["en"].startswith("21 days past due: ")
    caught_up = next(e for e in EXAMPLES if isinstance(e, ev.InstalmentCaughtUp))
    assert describe(replace(caught_up, days_late=1), "CNY")["en"].endswith(" 1 day late")
    postponed = next(e for e in EXAMPLES if isinstance(e, ev.PlanPostponed))
    assert "by 1 month, " in describe(replace(postponed, months=1), "CNY")["en"]
    assert translated(("clean for 1 days", "no payment for 11 days"))["en"] == "clean for 1 day; no payment for 11 days"


@pytest.mark.parametrize(
    "reason",
    [
        "bankruptcy hold h1 since 60 days", "no probation", "other rules", "bad debt recovering",
        "bad debt charged_off", "reopened", "taken_over", "hold_ended",
    ],
)  # fmt: skip
def test_reasons_of_the_engine_are_in_the_reader_s_language(reason: str) -> None:
    assert not re.search(r"[a-z]{3}", translated((reason,))["zh"])
