"""Messages to borrowers: whole in every locale and plural form, in the lender's own words, the same in a replay."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from babel import Locale as CldrLocale
from hypothesis import given, settings
from hypothesis import strategies as st

from state.currencies import UNLIKE, decimals_of
from state.policy import Policy
from state.policy_packs.book import CATALOGUES, book_of, laid_over
from state.policy_packs.loader import files_of, load_pack
from state.policy_packs.pack import parse_pack
from state.policy_packs.problems import PackError
from state.policy_packs.text_validation import (
    COUNTS,
    SAMPLE_COUNTS,
    check_catalogue,
    message_ids,
    samples_of,
    unlike,
    variables_of,
)
from state.texts import LOCALES, PACKAGED, Currency, Lender, Locale, Localised, Money, Rate, Value, messages_of

IDS = message_ids()
REGIONS = ("", "US", "GB", "DE", "EU", "CN", "TW", "JP", "US-CA", "Nowhere")
DAY = date(2026, 6, 19)
MARK = "\u2060"


def money(amount: int, currency: str, locale: Locale = "en", region: str = "") -> str:
    return messages_of(Localised(), Lender(), locale, region).money(amount, currency)


class TestPackage:
    def test_every_locale_has_the_same_messages_and_variables(self) -> None:
        assert list(unlike()) == []

    @pytest.mark.parametrize("locale", LOCALES)
    def test_every_message_keeps_the_rules_of_a_lenders_own(self, locale: Locale) -> None:
        check_catalogue(PACKAGED.of(locale), locale, f"{locale}.ftl", complete=True)

    @pytest.mark.parametrize("locale", LOCALES)
    @pytest.mark.parametrize("message", IDS)
    def test_every_message_is_whole_in_every_plural_form(self, message: str, locale: Locale) -> None:
        for region in ("", "US", "DE"):
            said = messages_of(Localised(), Lender(), locale, region)
            for values in samples_of(variables_of(message)):
                text = said.format(message, **values)
                assert text.strip()
                assert not set(text) & set("{}$\u2068\u2069")
                assert "None" not in text
                assert "???" not in text

    @pytest.mark.parametrize("locale", LOCALES)
    @pytest.mark.parametrize("message", IDS)
    def test_each_variable_is_used(self, message: str, locale: Locale) -> None:
        said = messages_of(Localised(), Lender(), locale)
        every = list(samples_of(variables_of(message)))
        for name in variables_of(message):
            if name in COUNTS:
                texts = {said.format(message, **values) for values in every}
                assert len(texts) > 1 or locale == "zh", name
            else:
                assert any(MARK in said.format(message, **{**values, name: MARK}) for values in every), name

    def test_the_samples_have_a_number_of_each_plural_form(self) -> None:
        for locale in LOCALES:
            form = CldrLocale.parse(locale).plural_form
            assert {form(n) for n in SAMPLE_COUNTS} == set(form.tags) | {"other"}

    @pytest.mark.parametrize("count", [0, 2, 5, 21])
    def test_one_is_singular_and_no_other_number_is(self, count: int) -> None:
        said = messages_of(Localised(), Lender(), "en")
        amount = Money(5_000, "EUR")
        assert said.format("option-label-level", months=1, amount=amount) == "One payment of €50.00"
        assert f"{count} monthly payments" in said.format("option-label-level", months=count, amount=amount)
        assert said.format("option-reason-deferred", deferred=1) == "In the first month you pay interest only."
        assert f"first {count} months" in said.format("option-reason-deferred", deferred=count)

    def test_what_is_missing_is_an_error_and_not_a_gap(self) -> None:
        said = messages_of(Localised(), Lender(), "en")
        with pytest.raises(ValueError, match="until"):
            said.format("offer-plan", count=1)
        with pytest.raises(KeyError):
            said.format("offer-plans")


class TestCldr:
    @pytest.mark.parametrize(
        ("amount", "currency", "locale", "region", "text"),
        [
            (99_218, "CNY", "zh", "CN", "992.18元"),
            (99_218, "CNY", "en", "CN", "CN¥992.18"),
            (99_218, "EUR", "zh", "CN", "€992.18"),
            (123_456, "EUR", "en", "DE", "1.234,56\u00a0€"),
            (123_456, "EUR", "en", "IE", "€1,234.56"),
            (123_456, "USD", "en", "US", "$1,234.56"),
            (123_456, "USD", "en", "GB", "US$1,234.56"),
            (123_456, "GBP", "en", "GB-SCT", "£1,234.56"),
            (123_456, "JPY", "en", "JP", "¥123,456"),
            (123_456, "JPY", "zh", "JP", "JP¥123,456"),
            (123_456, "KRW", "en", "KR", "₩123,456"),
            (123_456, "BHD", "en", "BH", "BHD\u00a0123.456"),
            (123_456, "BHD", "zh", "CN", "BHD\u00a0123.456"),
            (-5, "EUR", "en", "", "-€0.05"),
            (0, "JPY", "zh", "", "JP¥0"),
            (2**62, "CNY", "zh", "CN", "46,116,860,184,273,879.04元"),
        ],
    )
    def test_money_has_its_currency_and_its_decimals(
        self, amount: int, currency: str, locale: Locale, region: str, text: str
    ) -> None:
        assert money(amount, currency, locale, region) == text

    @settings(max_examples=200, derandomize=True, deadline=None)
    @given(
        st.integers(-(2**62), 2**62),
        st.sampled_from([c for _, codes in UNLIKE for c in codes.split()] + ["CNY", "EUR", "USD", "XAU", "AAA"]),
        st.sampled_from(LOCALES),
        st.sampled_from(REGIONS),
    )
    def test_no_minor_unit_is_lost(self, amount: int, currency: str, locale: Locale, region: str) -> None:
        said = messages_of(Localised(), Lender(), locale, region.partition("-")[0])
        for text in (said.money(amount, currency), said.number(amount, currency)):
            assert int("".join(c for c in text if c.isdigit())) == abs(amount)
            if decimals := decimals_of(currency):
                digits = text.rstrip("元").rsplit("," if region == "DE" and locale == "en" else ".", 1)[1]
                assert sum(c.isdigit() for c in digits) == decimals

    @pytest.mark.parametrize(
        ("locale", "region", "text"),
        [
            ("en", "GB", "19 June 2026"),
            ("en", "US-NY", "June 19, 2026"),
            ("en", "DE", "19 June 2026"),
            ("en", "Nowhere", "19 June 2026"),
            ("zh", "CN", "2026年6月19日"),
            ("zh", "TW", "2026年6月19日"),
        ],
    )
    def test_dates_are_written_out_as_they_are_there(self, locale: Locale, region: str, text: str) -> None:
        assert messages_of(Localised(), Lender(), locale, region).day(DAY) == text

    def test_rates_currencies_and_lists_are_as_the_locale_has_them(self) -> None:
        en, de = (messages_of(Localised(), Lender(), "en", region) for region in ("", "DE"))
        zh = messages_of(Localised(), Lender(), "zh")
        assert (en.rate(525), de.rate(525), zh.rate(1_800), en.rate(0)) == ("5.25%", "5,25\u00a0%", "18%", "0%")
        assert Currency("EUR").format(CldrLocale.parse("en")) == "euros"
        assert Currency("CNY").format(CldrLocale.parse("zh_Hans")) == "人民币"
        assert (en.listed("AB"), zh.listed("ABC")) == ("A and B", "A、B和C")
        assert (en.joined(["One.", "", "Two."]), zh.joined(["一。", "二。"])) == ("One. Two.", "一。二。")

    def test_nothing_of_the_environment_is_in_the_words(self) -> None:
        program = (
            "from state.policy_packs.loader import default_book\n"
            "from state.policy_packs.text_validation import message_ids, samples_of, variables_of\n"
            "for place in ('CN', 'DE', 'US'):\n  for locale in ('zh', 'en'):\n"
            "    said = default_book().policy_for(place, 'loan').messages(locale, place)\n"
            "    for m in message_ids():\n      for v in samples_of(variables_of(m)):\n"
            "        print(said.format(m, **v))\n"
        )
        said = {
            subprocess.run(
                [sys.executable, "-X", "utf8", "-c", program],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **other},
                capture_output=True,
                check=True,
            ).stdout
            for other in (
                {"LANG": "C", "LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "1"},
                {"LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8", "LANGUAGE": "ar", "TZ": "Asia/Tokyo"},
            )
        }
        assert len(said) == 1
        assert len(said.pop()) > 10_000


OWN = """pack: own
version: 1
title: Ours
sections:
  lender:
    name: {value: {default: Example Bank, zh: 示例银行}, verified: true, source: ours}
    telephone: {value: "+49 30 1234", verified: true, source: ours}
  texts_en:
    offer-plan:
      value: |
        { $count ->
            [one] Our one way, until { $until }.
           *[other] Our { $count } ways, until { $until }.
        }
      verified: true
      source: ours
"""
ALSO = """pack: also
version: 1
title: Ours too
sections:
  texts_en:
    offer-plan:
      value: |
        { $count ->
            [0] None
            [one] A
           *[other] { $count }
        } { $until }
      verified: true
      source: s
  texts_zh:
    offer-plan: {value: "{ $count }个，{ $until }前。", verified: true, source: s}
"""


def policy_with(*packs: str, place: str = "DE") -> Policy:
    """Return the policy of a place under the package's book with packs laid over it."""
    texts = files_of("default")
    for text in packs:
        pack = parse_pack(text, "test")
        texts = laid_over(texts, (load_pack("house"), pack), {"house": texts["house"], pack.name: text})
    return book_of(texts).policy_for(place, "loan")


def said(policy: Policy, message: str, locale: Locale = "en", **values: Value) -> str:
    return policy.messages(locale, "DE").format(message, **values)


class TestOwnWords:
    def test_a_pack_replaces_one_message_and_leaves_the_others(self) -> None:
        plain, own = policy_with(), policy_with(OWN)
        assert said(own, "offer-plan", count=1, until=DAY) == "Our one way, until 19 June 2026."
        assert said(own, "offer-plan", count=4, until=DAY) == "Our 4 ways, until 19 June 2026."
        for locale in LOCALES:
            for message in IDS:
                for values in samples_of(variables_of(message)):
                    same = said(own, message, locale, **values) == said(plain, message, locale, **values)
                    assert same == ((message, locale) != ("offer-plan", "en"))

    def test_a_later_pack_changes_words_message_by_message(self) -> None:
        both = policy_with(OWN, ALSO)
        assert said(both, "offer-plan", count=1, until=DAY) == "A 19 June 2026"
        assert said(both, "offer-plan", "zh", count=2, until=DAY) == "2个，2026年6月19日前。"
        assert both.lender.name == Localised(en="Example Bank", zh="示例银行")
        assert both.lender.telephone == Localised(en="+49 30 1234", zh="+49 30 1234")

    def test_other_words_are_another_version_of_the_policy(self) -> None:
        assert len({policy_with(*packs).version.rpartition("#")[2] for packs in ((), (OWN,), (OWN, ALSO))}) == 3

    def test_a_book_keeps_its_words_whatever_the_package_says_later(self) -> None:
        files = files_of("default")
        assert {CATALOGUES[locale]: PACKAGED.of(locale) for locale in LOCALES}.items() <= files.items()
        other = {**files, "en.ftl": files["en.ftl"].replace("We waive { $amount }.", "Waived: { $amount }.")}
        kept = book_of(other).policy_for("US", "loan").messages("en", "US")
        assert kept.format("option-reason-waived", amount=Money(100, "USD")) == "Waived: $1.00."
        # What a later release has besides, and a book of before its messages were kept, take the package's.
        less = "\n".join(line for line in files["en.ftl"].splitlines() if "option-reason-waived" not in line)
        for texts in ({**files, "en.ftl": less}, {k: v for k, v in files.items() if k not in CATALOGUES.values()}):
            kept = book_of(texts).policy_for("US", "loan").messages("en", "US")
            assert kept.format("option-reason-waived", amount=Money(100, "USD")) == "We waive $1.00."

    def test_words_that_do_not_fit_the_release_use_the_packages(self) -> None:
        other = Localised(en="offer-reply = Call { $somebody }\noption-reason-step-up =\n", zh="")
        kept = messages_of(other, Lender(), "en")
        assert (
            kept.format("offer-reply", link="https://a.example")
            == "To answer or to ask a question online: https://a.example"
        )
        assert kept.format("option-reason-step-up") == "The payments are lower at first."


LOCAL = """pack: local
version: 1
title: Local
sections:
  offers:
    disclosures: {value: [cycle, ombudsman_2], verified: true, source: a law}
  texts_en:
    disclosure-ombudsman-2-heading: {value: Complaints, verified: true, source: a law}
    disclosure-ombudsman-2: {value: "About { $owed } you may ask the ombudsman.", verified: true, source: a law}
  texts_zh:
    disclosure-ombudsman-2: {value: "如对{ $owed }有异议，您可以向监察专员投诉。", verified: true, source: a law}
"""


class TestOwnDisclosures:
    def test_a_lender_adds_a_disclosure_with_its_words(self) -> None:
        policy = policy_with(LOCAL)
        owed = Money(50_000, "EUR")
        assert policy.offers.disclosures == ("cycle", "ombudsman_2")
        assert "500,00" in said(policy, "disclosure-ombudsman-2", owed=owed)
        assert said(policy, "disclosure-ombudsman-2", "zh", owed=owed) == "如对€500.00有异议，您可以向监察专员投诉。"
        assert said(policy, "disclosure-ombudsman-2-heading") == "Complaints"

    @pytest.mark.parametrize(
        ("words", "other", "reason"),
        [
            ("  texts_zh:", "  texts_zh:\n    # None.\n  plans:", "The disclosure ombudsman_2 has no words in zh."),
            ("[cycle, ombudsman_2]", "[cycel]", "The disclosure cycel has no words in en."),
            ("{ $owed } you", "{ $link } you", "disclosure-ombudsman-2 has no variable $link."),
            ("value: Complaints", 'value: "{ $owed }"', "disclosure-ombudsman-2-heading has no variable $owed."),
            ("{ $owed } you", "{ $count } you", "$count is a number without its singular."),
        ],
    )
    def test_a_disclosure_without_fit_words_is_refused(self, words: str, other: str, reason: str) -> None:
        text = LOCAL.replace(words, other)
        if other.endswith("plans:"):
            text = text.partition("  plans:")[0] + "    lesson-your-rights: {value: 权利, verified: true, source: s}\n"
        with pytest.raises(PackError) as refused:
            policy_with(text)
        assert reason in str(refused.value)


FAULTS = [
    ("offer-plans", "x", 8, "There is no rule offer-plans in texts_en. Did you mean offer-plan?"),
    ("offer-reply", "Go there", 9, "offer-reply does not state $link. Write { $link } where"),
    ("offer-reply", "Go to { $link } by { $day }", 9, "offer-reply has no variable $day. Known here: link."),
    ("offer-reply", "Go to\n{ $link", 10, 'This is not Fluent: Expected token: "}".'),
    ("offer-reply", "Go to { $link }\n.title = x", 10, "A message has no attributes."),
    ("offer-reply", "{ NUMBER(1) } { $link }", 9, "A function may not stand in a message."),
    ("offer-reply", "{ -brand } { $link }", 9, "A term may not stand in a message."),
    ("offer-reply", "{ offer-sender } { $link }", 9, "Another message may not stand in a message."),
    ("offer-reply", '{"{"} { $link }', 9, "It would be read as '{ https"),
    ("offer-reply", "{ $link ->\n   *[other] { $link }\n}", 9, "Only a number chooses a form."),
    ("reason-affordable", "Under\n{ $count } options", 10, "$count is a number without its singular."),
    ("reason-affordable", "Yes\n{ $count ->\n   *[other] x\n}", 10, "The choice by $count lacks the plural form one."),
    ("reason-affordable", "{ $count ->\n[one] x\n[few] y\n   *[other] x\n}", 9, "en has no plural form few."),
    ("reason-dispute", '{""}', 9, "It would be read as ''"),
    ("reason-dispute", "x\n" + 3_000 * "{", 10, "The braces are nested deeper than 20."),
    ("reason-dispute", "", 9, "This is not Fluent: Expected message"),
]


@pytest.mark.parametrize(("message", "pattern", "line", "reason"), FAULTS)
def test_a_lenders_wrong_words_are_named_by_line(message: str, pattern: str, line: int, reason: str) -> None:
    block = "\n".join(f"        {each}" for each in pattern.split("\n"))
    text = (
        "pack: own\nversion: 1\ntitle: t\nsections:\n  texts_en:\n    # Ours.\n\n"
        f"    {message}: {{value: x, verified: true, source: s}}\n"
        if message not in IDS
        else "pack: own\nversion: 1\ntitle: t\nsections:\n  texts_en:\n    # Ours.\n"
        f"    {message}:\n      value: |\n{block}\n      verified: true\n      source: s\n"
    )
    with pytest.raises(PackError) as refused:
        parse_pack(text, "own.yaml")
    (problem, *_) = refused.value.problems
    assert str(problem).startswith(f"own.yaml:{line}:")
    assert reason in str(problem)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("name", "{default: 'A {bank}'}", "has a placeholder that is not known"),
        ("name", '"A\\nbank"', "is not one line"),
        ("name", "{zh: 银行}", "There is no text for en"),
        ("name", "{default: Bank, de: Bank}", "de is not a locale"),
        ("telephone", "call us", "is not a telephone number"),
        ("telephone", "95588", "95588 is not valid. Give a text."),
        ("reply_link", "bank.example/offers", "is not a link"),
        ("reply_link", "http://bank.example", "is not a link"),
        ("reply_link", "'https://[bank.example'", "is not a link"),
        ("reply_link", "'https://bank.example/{item_id}'", "Only {offer_id} may stand in it."),
        ("portal_link", "'https://bank.example/{offer_id}'", "No placeholder may stand in it."),
        ("lesson_link", "https://bank.example", "Did you mean lessons_link?"),
    ],
)
def test_what_is_wrong_with_a_lenders_identity_is_named(key: str, value: str, reason: str) -> None:
    rule = f"{key}: {{value: {value}, verified: true, source: s}}"
    text = f"pack: own\nversion: 1\ntitle: t\nsections:\n  lender:\n    {rule}\n"
    with pytest.raises(PackError) as refused:
        parse_pack(text, "own.yaml")
    assert reason in str(refused.value)
    assert str(refused.value).startswith("own.yaml:6:")


def test_what_is_wrong_with_a_message_file_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "en.ftl").write_text("# Ours.\noffer-reply = Go to { $links }\n\noffer-replies = x\n", "utf-8")
    (tmp_path / "book.yaml").write_text(
        "book: ours\nversion: 1\nrows:\n  - {jurisdictions: ['*'], products: ['*'], packs: [house]}\n", "utf-8"
    )
    with pytest.raises(PackError) as refused:
        files_of(str(tmp_path / "book.yaml"))
    places = [str(problem).rpartition("/")[2].partition(" ")[0] for problem in refused.value.problems]
    assert places == ["en.ftl:2:1:", "en.ftl:2:1:", "en.ftl:4:1:"]
    # Of another release they do no harm.
    check_catalogue("offer-replies = x\n", "en", "en.ftl")


def test_rates_are_written_without_needless_decimals() -> None:
    for bps, text in ((2_500, "25%"), (912, "9.12%"), (910, "9.1%"), (100_000, "1,000%")):
        assert Rate(bps).format(CldrLocale.parse("en")) == text
