"""What borrowers read: messages in Project Fluent, one file per locale, with money, dates and numbers by CLDR.

A policy carries the whole text of its messages (`Policy.texts`) and what the lender says of itself (`Policy.lender`),
so one version of a policy has the same words wherever and whenever it is replayed. Formatting reads no file, no clock
and nothing of the environment. The messages that come with the package are read once, when this module is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from typing import Literal, get_args

from babel import Locale as CldrLocale
from babel.core import UnknownLocaleError
from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_currency, format_decimal, get_currency_name
from fluent.runtime import FluentBundle
from fluent.runtime.types import FluentType
from fluent.syntax import FluentParser
from fluent.syntax import ast as ftl
from msgspec import Struct

from state.currencies import decimals_of

Locale = Literal["zh", "en"]
LOCALES: tuple[Locale, ...] = get_args(Locale)
# Where no CLDR locale of a place is known: English as it is written in most of the world.
_ANYWHERE: dict[Locale, str] = {"zh": "zh_Hans", "en": "en_001"}
# CLDR writes ¥ in Chinese, which is the yen's sign too; banks in China write 元.
_CURRENCY_PATTERNS = {("zh", "CNY"): "#,##0.00元"}
# CLDR's spacing of currencies, which Babel leaves out: a code is set off from its amount.
_REGION = re.compile("[A-Z]{2}")
_CODE_AND_AMOUNT = re.compile(r"(?<=[A-Za-z])(?=\d)")


class Localised(Struct, frozen=True):
    """One text per locale; empty where there is none."""

    en: str = ""
    zh: str = ""

    def of(self, locale: Locale) -> str:
        """Return the text of a locale."""
        return self.zh if locale == "zh" else self.en


class Lender(Struct, frozen=True):
    """What the lender says of itself; what is empty is left out of every text.

    reply_link: where a borrower answers an offer; `{offer_id}` stands for its id. portal_link: where they see all their
    accounts. advice_link: independent debt advice. lessons_link: where a lesson is read; `{item_id}` stands for its id.
    """

    name: Localised = Localised()
    telephone: Localised = Localised()
    reply_link: Localised = Localised()
    portal_link: Localised = Localised()
    advice_link: Localised = Localised()
    lessons_link: Localised = Localised()


class Money(FluentType):
    """An amount, minor units of a currency, as the locale writes it."""

    def __init__(self, amount: int, currency: str) -> None:
        self.amount = amount
        self.currency = currency

    def format(self, locale: CldrLocale) -> str:
        """Return the amount with its currency: £1,234.50, 1.234,50 €, 1,234.50元."""
        return _money(self.amount, self.currency, locale)


class Rate(FluentType):
    """A share or an annual rate, basis points, as the locale writes it."""

    def __init__(self, bps: int) -> None:
        self.bps = bps

    def format(self, locale: CldrLocale) -> str:
        """Return the rate in percent with at most two decimals: 5.25%."""
        pattern = locale.percent_formats[None]
        before, after = pattern.prefix[0], pattern.suffix[0]
        return f"{before}{format_decimal(Decimal(self.bps) / 100, '#,##0.##', locale)}{after}"


class Currency(FluentType):
    """A currency by its name."""

    def __init__(self, code: str) -> None:
        self.code = code

    def format(self, locale: CldrLocale) -> str:
        """Return the name, in the plural where there is one: euros, 人民币."""
        return get_currency_name(self.code, count=2, locale=locale)


class Day(FluentType):
    """A date, written out."""

    def __init__(self, day: date) -> None:
        self.day = day

    def format(self, locale: CldrLocale) -> str:
        """Return the date as the locale writes it in a sentence: 19 June 2026, June 19, 2026, 2026年6月19日."""
        return format_date(self.day, "long", locale)


Value = str | int | date | FluentType


class Messages:
    """The messages of one policy in one locale, for one place."""

    __slots__ = ("_cldr", "_own", "_packaged", "lender", "locale")

    def __init__(self, source: str, lender: Lender, locale: Locale, region: str) -> None:
        self.locale = locale
        self.lender = lender
        name = _cldr_name(locale, region)
        self._cldr = CldrLocale.parse(name)
        self._own = _bundle(source, name)
        self._packaged = _bundle(PACKAGED.of(locale), name)

    def format(self, message_id: str, **values: Value) -> str:
        """Return a message in words. Raises KeyError for an id that no catalogue has, ValueError for missing values.

        Where the policy's own wording does not go with this release, the package's message stands in for it.
        """
        try:
            return self.format_own(message_id, values)
        except (KeyError, ValueError):
            return _formatted(self._packaged, message_id, values)

    def format_own(self, message_id: str, values: Mapping[str, Value]) -> str:
        """Return a message in the policy's own words, or raise."""
        return _formatted(self._own, message_id, values)

    def has(self, message_id: str) -> bool:
        """Say whether there is such a message."""
        return bool(self._own.has_message(message_id) or self._packaged.has_message(message_id))

    def listed(self, texts: Iterable[str]) -> str:
        """Return texts as an enumeration: A, B and C; A、B和C."""
        return format_list(list(texts), locale=self._cldr)

    def joined(self, sentences: Iterable[str]) -> str:
        """Return sentences as one text, without those that are empty."""
        return ("" if self.locale == "zh" else " ").join(filter(None, sentences))

    def money(self, amount: int, currency: str) -> str:
        """Return an amount in minor units with its currency."""
        return _money(amount, currency, self._cldr)

    def number(self, amount: int, currency: str) -> str:
        """Return an amount in minor units without its currency, for a table that names it."""
        decimals = decimals_of(currency)
        form = "#,##0" + (f".{'0' * decimals}" if decimals else "")
        return format_decimal(Decimal(amount).scaleb(-decimals), form, self._cldr)

    def day(self, day: date) -> str:
        """Return a date, written out."""
        return Day(day).format(self._cldr)

    def rate(self, bps: int) -> str:
        """Return basis points in percent."""
        return Rate(bps).format(self._cldr)


@lru_cache(maxsize=1024)
def messages_of(texts: Localised, lender: Lender, locale: Locale, jurisdiction: str = "") -> Messages:
    """Return the messages of a policy. jurisdiction: whose way of writing dates and amounts counts; empty for any."""
    return Messages(texts.of(locale) or PACKAGED.of(locale), lender, locale, jurisdiction.partition("-")[0])


def disclosure_id(key: str) -> str:
    """Return the id of the message of a disclosure, by the key that a policy names."""
    return f"disclosure-{key.replace('_', '-')}"


def fluent_message(message_id: str, pattern: str) -> str:
    """Return a message as Fluent source; `line n` of the pattern is line n + 1 of it."""
    return f"{message_id} =\n" + "\n".join(f"    {line}" if line.strip() else "" for line in pattern.splitlines())


def parsed(source: str) -> ftl.Resource:
    """Return the messages of a Fluent source, with what is no Fluent as junk."""
    return FluentParser().parse(source)


def _formatted(bundle: FluentBundle, message_id: str, values: Mapping[str, Value]) -> str:
    # A message has a text: its parser and the checks of packs see to that.
    pattern = bundle.get_message(message_id).value
    assert pattern is not None
    given = {name: Day(value) if isinstance(value, date) else value for name, value in values.items()}
    text, errors = bundle.format_pattern(pattern, given)
    if errors:
        raise ValueError(f"message {message_id} cannot be formatted: {errors[0]}")
    return str(text)


@lru_cache(maxsize=256)
def _bundle(source: str, name: str) -> FluentBundle:
    # Isolation marks are for texts of mixed direction; there is none in these locales.
    bundle = FluentBundle([name], use_isolating=False)
    bundle.add_resource(_resource(source), allow_overrides=True)
    return bundle


@lru_cache(maxsize=64)
def _resource(source: str) -> ftl.Resource:
    return parsed(source)


@lru_cache(maxsize=1024)
def _cldr_name(locale: Locale, region: str) -> str:
    # Simplified Chinese everywhere: the texts are.
    language = "zh_Hans" if locale == "zh" else locale
    # The European Union is region 150 of UN M49, Europe, in CLDR.
    place = "150" if region == "EU" else region if _REGION.fullmatch(region) else "001"
    for name in (f"{language}_{place}", _ANYWHERE[locale]):
        try:
            return str(CldrLocale.parse(name))
        except (UnknownLocaleError, ValueError):
            continue
    raise ValueError(f"CLDR has no locale {_ANYWHERE[locale]}")


@lru_cache(maxsize=8192)
def _money(amount: int, currency: str, locale: CldrLocale) -> str:
    decimals = decimals_of(currency)
    pattern = _CURRENCY_PATTERNS.get((locale.language, currency))
    if pattern is None:
        standard = locale.currency_formats["standard"].pattern
        places = f".{'0' * decimals}" if decimals else ""
        pattern = standard.replace(".00", places)
    value = Decimal(amount).scaleb(-decimals)
    text = format_currency(value, currency, pattern, locale=locale, currency_digits=False)
    return _CODE_AND_AMOUNT.sub("\u00a0", text)


PACKAGED = Localised(
    **{name: (files("state") / "policy_packs/texts" / f"{name}.ftl").read_text(encoding="utf-8") for name in LOCALES}
)
