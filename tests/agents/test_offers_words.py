"""What a borrower reads: complete in both languages, and nothing left unsaid that a policy demands."""

from __future__ import annotations

from datetime import date
from typing import get_args

import pytest

from agents import answers, disclosures, education, messages
from agents.option_words import Locale
from schemas import events as ev
from state.pack import load_book, load_packs, pack_names
from state.pack import resolve as resolve_packs

LOCALES: tuple[Locale, ...] = ("zh", "en")
KINDS = ("plan", "token", "moratorium", "referral")
# Codes that the parts of an offer may give as reasons.
CODES = (
    *answers.TAKEN_UP,
    *("dispute", "distress", "vulnerability", "recording_missing", "earlier_offer_ended", "lowest_possible"),
    *("counter_met", "counter_too_low", "no_shorter_term", "income_unknown", "no_surplus", "nothing_affordable"),
    *("affordable", "several_accounts"),
)
TABLES = (
    messages.MESSAGES,
    messages.REASONS,
    messages.SUPPORT,
    messages.ADVICE,
    education.CATALOGUE,
    disclosures.TEXTS,
)


@pytest.mark.parametrize("table", TABLES)
def test_every_text_is_there_in_both_languages(table: dict[object, dict[Locale, str]]) -> None:
    for key, texts in table.items():
        assert set(texts) == set(LOCALES), key
        assert any("\u4e00" <= letter <= "\u9fff" for letter in texts["zh"]), key
        assert not any("\u4e00" <= letter <= "\u9fff" for letter in texts["en"]), key


@pytest.mark.parametrize("code", CODES)
def test_every_reason_has_words(code: str) -> None:
    for locale in LOCALES:
        (said,) = messages.reasons_of([code], locale)
        assert len(said) > 5


def test_only_reasons_of_the_contract_are_taken_up() -> None:
    assert set(answers.TAKEN_UP) <= set(get_args(ev.AnswerReason))


@pytest.mark.parametrize("name", pack_names())
def test_every_disclosure_that_a_pack_demands_has_words(name: str) -> None:
    packs = load_packs(name)
    policy = resolve_packs(packs, name, load_book().place_of(""))
    assert set(policy.offers.disclosures) <= set(disclosures.TEXTS)


def test_a_disclosure_without_words_is_named_and_not_left_out() -> None:
    instalment = ev.PlanInstalment(number=1, due_on=date(2026, 4, 1), amount=10, principal=10, interest=0)
    terms = disclosures.Terms(ev.Amounts(principal=10), "GBP", (instalment,), 0, 2)
    said = disclosures.disclosures_of(("cycle", "local_rule_7"), terms, "en")
    assert said == {"cycle": "One instalment is due every month, 1 in all.", "local_rule_7": "local_rule_7"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tone", ["neutral", "supportive"])
def test_every_kind_and_tone_of_offer_has_a_message_without_gaps(kind: str, tone: str) -> None:
    for locale in LOCALES:
        said = messages.message_of(kind, tone, 3, date(2026, 4, 1), ["A", "B"], locale, codes=())
        assert "{" not in said
        assert "A" in said


def test_that_offers_pause_is_said_only_where_they_do() -> None:
    def message(*codes: str) -> str:
        return messages.message_of("referral", "supportive", 0, date(2026, 4, 1), [], "en", codes=codes)

    assert "no further offers" in message("distress")
    assert "no further offers" not in message("income_unknown")


def test_every_education_item_of_a_reason_is_in_the_catalogue_and_at_most_three_go_out() -> None:
    for reason in education.FOR_REASON:
        items = education.items_for([reason, *education.FOR_REASON], "plan", ())
        assert len(education.titles(items, "zh")) == len(set(items)) == education.MOST


def test_debt_advice_is_that_of_the_borrowers_country() -> None:
    said = messages.support_of((), "referral", "neutral", ["GB", "GB-SCT", "US"], "en")
    assert [s for s in said if "StepChange" in s or "NFCC" in s] == list(said[-2:])
    assert messages.support_of((), "plan", "neutral", ["DE"], "en")[-1] == messages.ADVICE["*"]["en"]
