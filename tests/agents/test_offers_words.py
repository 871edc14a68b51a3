"""What a borrower reads with an offer: nothing left unsaid that a policy demands, and nothing said that is not so."""

from __future__ import annotations

from datetime import date
from typing import get_args

import pytest

from agents.planner import answers
from agents.planner import offer_texts as messages
from agents.planner.offer_texts import Occasion, message_of
from schemas import events as ev
from state.policy import Options
from state.policy_packs.loader import load_book, load_packs, pack_names
from state.policy_packs.merge import resolve as resolve_packs
from state.texts import LOCALES, Lender, Localised, Messages, messages_of

KINDS = ("plan", "pay_in_full", "token", "moratorium", "referral")
# Codes that the parts of an offer may give as reasons.
CODES = (
    *answers.TAKEN_UP,
    *("dispute", "distress", "vulnerability", "recording_missing", "earlier_offer_ended", "lowest_possible"),
    *("counter_met", "counter_too_low", "no_shorter_term", "income_unknown", "no_surplus", "nothing_affordable"),
    *("expenses_unknown", "income_assumed", "payable_at_once", "below_minimum_instalment"),
    *("affordable", "several_accounts"),
)
NO_LENDER = {locale: messages_of(Localised(), Lender(), locale) for locale in LOCALES}
BANK = Lender(
    name=Localised(en="Example Bank", zh="示例银行"),
    telephone=Localised(en="+44 20 7946 0000", zh="95500"),
    reply_link=Localised(en="https://bank.example/o/{offer_id}", zh="https://bank.example/zh/o/{offer_id}"),
    advice_link=Localised(en="https://advice.example", zh="https://advice.example"),
)
WITH_LENDER = {locale: messages_of(Localised(), BANK, locale) for locale in LOCALES}


def occasion(kind: str, tone: str = "neutral", *codes: str, count: int = 3) -> Occasion:
    items = ("your_rights", "budget_basics")
    return Occasion(kind, tone, count, date(2026, 6, 19), codes, items, "O-1", "EUR", Options(), instalment=500)


@pytest.mark.parametrize("code", CODES)
def test_every_reason_has_words(code: str) -> None:
    for said in NO_LENDER.values():
        for count in (0, 1, 4):
            (reason,) = messages.reasons_of([code], occasion("plan", count=count), said)
            assert len(reason) > 5


def test_only_reasons_of_the_contract_are_taken_up() -> None:
    assert set(answers.TAKEN_UP) <= set(get_args(ev.AnswerReason))


@pytest.mark.parametrize("name", pack_names())
def test_every_disclosure_of_a_pack_has_words_and_a_heading(name: str) -> None:
    policy = resolve_packs(load_packs(name), name, load_book().place_of(""))
    for said in NO_LENDER.values():
        keys = policy.offers.stated
        assert set(messages.headings_of(keys, said)) == set(keys)
        assert all(said.has(f"disclosure-{key.replace('_', '-')}") for key in keys)
        for key in messages.AGREED & set(keys):
            assert said.has(f"agreed-{key.replace('_', '-')}")


def test_a_disclosure_without_words_is_named_and_not_left_out() -> None:
    instalment = ev.PlanInstalment(number=1, due_on=date(2026, 4, 1), amount=10, principal=10, interest=0)
    terms = messages.DisclosedTerms(ev.Amounts(principal=10), "GBP", (instalment,), 0, 2)
    said = messages.disclosures_of(("cycle", "local_rule_7"), terms, NO_LENDER["en"])
    assert said == {"cycle": "There is one payment.", "local_rule_7": "local_rule_7"}


def test_a_plan_without_interest_says_that_none_is_charged() -> None:
    instalments = tuple(
        ev.PlanInstalment(number=n, due_on=date(2026, 3 + n, 1), amount=10, principal=10, interest=0) for n in (1, 2)
    )
    terms = messages.DisclosedTerms(ev.Amounts(principal=20), "GBP", instalments, 0, 2)
    for agreed in (False, True):
        said = messages.disclosures_of(("fees_and_interest_going_on",), terms, NO_LENDER["en"], agreed=agreed)
        assert "no interest" in said["fees_and_interest_going_on"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tone", ["neutral", "supportive"])
@pytest.mark.parametrize("said", [*NO_LENDER.values(), *WITH_LENDER.values()])
def test_every_kind_and_tone_of_offer_has_a_whole_message(kind: str, tone: str, said: Messages) -> None:
    text = message_of(occasion(kind, tone), said)
    assert not set(text) & set("{}")
    assert "None" not in text
    assert "  " not in text
    assert messages.titles_of(["your_rights"], said)[0] in text


def test_one_way_to_repay_is_said_in_the_singular() -> None:
    one = message_of(occasion("plan", count=1), NO_LENDER["en"])
    assert "a way to repay" in one
    assert "choose" not in one.lower()
    assert "1 " not in one
    assert "一个" in message_of(occasion("plan", count=1), NO_LENDER["zh"])
    assert "2 ways to repay" in message_of(occasion("plan", count=2), NO_LENDER["en"])


def test_a_token_offer_states_its_amount_and_a_break_its_length() -> None:
    assert "€5.00 a month" in message_of(occasion("token"), NO_LENDER["en"])
    assert "每月还款€5.00" in message_of(occasion("token"), NO_LENDER["zh"])
    assert "payment break of 3 months" in message_of(occasion("moratorium"), NO_LENDER["en"])


def test_a_known_lender_is_named_and_an_unknown_leaves_no_gap() -> None:
    named = message_of(occasion("plan"), WITH_LENDER["en"])
    assert named.startswith("A message from Example Bank. We have")
    assert named.endswith(
        " You can call us on +44 20 7946 0000. To answer or to ask a question online: https://bank.example/o/O-1"
    )
    assert "“Your rights” and “Making a household budget”" in named
    assert message_of(occasion("plan"), WITH_LENDER["zh"]).startswith("【示例银行】我们")
    for locale, bare in NO_LENDER.items():
        text = message_of(occasion("plan"), bare)
        assert text.startswith("我们" if locale == "zh" else "We have")
        assert "http" not in text


def test_that_offers_pause_is_said_only_where_they_do() -> None:
    def message(*codes: str) -> str:
        return message_of(occasion("referral", "supportive", *codes), NO_LENDER["en"])

    assert "not send you another offer" in message("distress")
    assert "not send you another offer" not in message("income_unknown")


def test_education_of_each_reason_is_known_and_at_most_three() -> None:
    for reason in messages.FOR_REASON:
        items = messages.items_for([reason, *messages.FOR_REASON], "plan", ())
        assert set(items) <= set(messages.ITEMS)
        assert len(messages.titles_of(items, NO_LENDER["zh"])) == len(set(items)) == messages.MOST_ITEMS


def test_debt_advice_is_that_of_the_borrowers_country() -> None:
    said = messages.support_of((), "referral", "neutral", ["GB", "GB-SCT", "US"], NO_LENDER["en"])
    assert [s for s in said if "StepChange" in s or "NFCC" in s] == list(said[-2:])
    anywhere = messages.support_of((), "plan", "neutral", ["DE"], NO_LENDER["en"])
    assert anywhere[-1] == NO_LENDER["en"].format("advice-anywhere")
    linked = messages.support_of((), "plan", "neutral", ["DE"], WITH_LENDER["en"])
    assert linked[0] == "Help with repayment: call +44 20 7946 0000."
    assert linked[-1].endswith("https://advice.example")
