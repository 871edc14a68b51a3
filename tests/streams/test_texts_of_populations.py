"""Every text that simulated borrowers read, held to plain rules of writing, in both languages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import pytest

from schemas import events as ev
from simulator.world import World
from state.policy import PolicyBook
from state.policy_packs.book import book_of, laid_over
from state.policy_packs.loader import default_book, files_of, load_pack
from state.policy_packs.pack import parse_pack
from streams.agreement import agreement
from streams.local.runtime import LocalRuntime

START = date(2025, 1, 1)
OWN = """pack: own
version: 1
title: Ours
sections:
  lender:
    name: {value: {default: Example Bank, zh: 示例银行}, verified: true, source: ours}
    telephone: {value: "+49 30 1234", verified: true, source: ours}
    reply_link: {value: "https://bank.example/o/{offer_id}", verified: true, source: ours}
    portal_link: {value: "https://bank.example/all", verified: true, source: ours}
    advice_link: {value: "https://advice.example", verified: true, source: ours}
    lessons_link: {value: "https://bank.example/lessons/{item_id}", verified: true, source: ours}
"""
CHINESE = "一-鿿"
FAULTS = {
    "a placeholder": r"\$[a-z]|[{}]",
    "no value": r"None|\?\?\?|nan\b",
    "a gap": r"  |\s$|^\s|\s[,.;:，。；：](\s|$)|\(\)|（）",
    "a machine's date": r"\d{4}-\d{2}-\d{2}",
    "a code": r"[a-z]+_[a-z0-9_]+",
}
ENGLISH_FAULTS = {
    "one and many": r"(?<![\d.,])1 (months|monthly|payments|options|ways|accounts)\b",
    "Chinese": f"[{CHINESE}，。；：、（）]",
}
CHINESE_FAULTS = {
    "a code of a currency": "CNY|EUR|USD|GBP|JPY|KRW|TWD|HKD",
    "half-width signs": f"[{CHINESE}][,.;:?!()%]|[,;?!()][{CHINESE}]",
    "an address that runs on": f"https://x[{CHINESE}]",
    "a space": f"[{CHINESE}] +[{CHINESE}]",
    "a sentence of a machine": r"(?<!\d)0(个|期)|(?<!\d)1个(?!月)|前1(个|期)",
}
ADDRESS = re.compile(r"https://[\w./-]+")


def faults_of(text: str, locale: str) -> list[str]:
    """Return what is wrong with a text."""
    # An address is as it is.
    plain = ADDRESS.sub("https://x", text)
    rules = FAULTS | (CHINESE_FAULTS if locale == "zh" else ENGLISH_FAULTS)
    found = [fault for fault, pattern in rules.items() if re.search(pattern, plain)]
    if locale == "zh" and not re.search(f"[{CHINESE}]", plain):
        found.append("not Chinese")
    return found


def texts_of(offer: ev.OfferPublished) -> Iterator[tuple[str, str]]:
    """Yield what a borrower reads of an offer, and what it is."""
    yield "message", offer.message
    yield from (("reason", text) for text in offer.reasons)
    yield from (("support", text) for text in offer.support)
    yield from (("disclosure", text) for text in offer.disclosures.values())
    yield from (("heading", text) for text in offer.headings.values())
    yield from (("lesson", lesson.title) for lesson in offer.lessons)
    for option in offer.options:
        yield "label", option.label
        yield from (("option", text) for text in option.reasons)


def with_own_words() -> PolicyBook:
    """Return the package's book with a lender that says who it is."""
    texts, pack = files_of("default"), parse_pack(OWN, "own")
    return book_of(laid_over(texts, (load_pack("house"), pack), {"house": texts["house"], "own": OWN}))


@pytest.mark.parametrize(("seed", "named"), [(5, False), (23, True), (61, False)])
def test_every_text_of_a_population_is_fit_to_be_read(seed: int, named: bool) -> None:
    book = with_own_words() if named else default_book()
    world = World(accounts=320, seed=seed, start=START)
    found: dict[str, str] = {}
    read: Counter[tuple[str, str]] = Counter()
    kinds: Counter[str] = Counter()
    with LocalRuntime.open(None, book) as runtime:
        said = runtime.feed(list(world.opening()))
        for offset in range(130):
            said = runtime.feed(list(world.day(START + timedelta(days=offset), said)))
            for e in said:
                if isinstance(e, ev.OfferPublished):
                    kinds[e.kind] += 1
                    for kind, text in texts_of(e):
                        read[e.locale, kind] += 1
                        if faults := faults_of(text, e.locale):
                            found[f"{e.locale} {kind}: {text}"] = ", ".join(faults)
                    assert set(e.headings) == set(e.disclosures)
                    assert [lesson.item_id for lesson in e.lessons] == list(e.education)
                    assert (e.token_amount is not None) == (e.kind == "token")
                    check_lender(e, named)
                elif isinstance(e, ev.PlanActivated):
                    for text in e.clauses.values():
                        read[e.locale, "clause"] += 1
                        if faults := faults_of(text, e.locale):
                            found[f"{e.locale} clause: {text}"] = ", ".join(faults)
                    for locale in ("zh", "en"):
                        page = re.sub(r"(?s)<style>.*?</style>|<[^>]+>", "", agreement(e, locale))
                        assert not re.search(r"None|[{}]", page)
    assert found == {}
    assert min(read[locale, kind] for locale in ("zh", "en") for kind in ("message", "label", "clause")) > 2
    assert kinds["plan"] > 5
    assert len(kinds) > 1


def check_lender(offer: ev.OfferPublished, named: bool) -> None:
    """Say that a lender that is known is named in its offers, and how it can be reached."""
    assert offer.lender is not None
    if not named:
        assert offer.lender == ev.LenderContact()
        assert "http" not in offer.message
        return
    assert offer.lender.name == ("示例银行" if offer.locale == "zh" else "Example Bank")
    assert offer.lender.name in offer.message
    assert offer.lender.reply_link == f"https://bank.example/o/{offer.offer_id}"
    assert offer.lender.reply_link in offer.message
    assert any("+49 30 1234" in text for text in offer.support)
    assert all(lesson.link == f"https://bank.example/lessons/{lesson.item_id}" for lesson in offer.lessons)


@pytest.mark.parametrize(
    ("text", "locale", "fault"),
    [
        ("The first 1 months are light.", "en", "one and many"),
        ("以CNY还款", "zh", "a code of a currency"),
        ("您的欠款,合计", "zh", "half-width signs"),
        ("Call None.", "en", "no value"),
        ("Pay { $amount }", "en", "a placeholder"),
        ("There is no hurry, until 2026-06-19", "en", "a machine's date"),
        ("Pay  now", "en", "a gap"),
        ("1个还款方案", "zh", "a sentence of a machine"),
        ("local_rule_7", "en", "a code"),
    ],
)
def test_the_rules_find_what_they_are_there_for(text: str, locale: str, fault: str) -> None:
    assert fault in faults_of(text, locale)


def offer_for(principal: int, rate_bps: int, income: int, expenses: int) -> ev.OfferPublished:
    """Return what is offered for a loan that fell due a month ago, in euros."""
    base = {"occurred_at": datetime(2025, 12, 10, 10, tzinfo=UTC), "source": "core"}
    due = date(2026, 1, 10)
    events: list[ev.Event] = [
        ev.AccountOpened(
            event_id="e1",
            **base,
            account_id="A1",
            borrower_id="B1",
            product="personal_loan",
            jurisdiction="EU",
            currency="EUR",
            opened_on=date(2025, 12, 10),
            annual_rate_bps=rate_bps,
            principal=principal,
            instalments=(ev.Instalment(number=1, due_on=due, principal=principal, interest=0, fees=0),),
        ),
        ev.ConsentGranted(event_id="e2", **base, borrower_id="B1", consent_id="K1", purpose="repayment_planning"),
        ev.ProfileReported(
            event_id="e3",
            **base,
            borrower_id="B1",
            kind="declared",
            as_of=date(2025, 12, 10),
            consent_id="K1",
            monthly_income=income,
            monthly_expenses=expenses,
            household_size=1,
        ),
    ]
    events += [
        ev.DayClosed(
            event_id=f"day-{day}",
            occurred_at=datetime.combine(day, time(23), UTC),
            source="core",
            business_date=day,
            calendar="none",
        )
        for day in (due, due + timedelta(days=30), due + timedelta(days=31))
    ]
    with LocalRuntime.open(None, default_book()) as runtime:
        (offer,) = (e for e in runtime.feed(events) if isinstance(e, ev.OfferPublished))
    return offer


def test_one_option_is_a_way_to_repay_and_not_one_of_several() -> None:
    offer = offer_for(3_100, 1_200, 300_000, 150_000)
    assert len(offer.options) == 1
    assert offer.message.startswith("We have prepared a way to repay that you can afford. You can accept it until ")
    assert offer.reasons == ("No payment is higher than what you can afford.",)


def test_a_single_deferred_month_is_said_in_the_singular() -> None:
    offer = offer_for(50_000, 600, 160_000, 152_500)
    deferred = next(o for o in offer.options if o.shape == "deferred")
    assert "interest only in the first month, then" in deferred.label
    assert "In the first month you pay interest only." in deferred.reasons
    for kind, text in texts_of(offer):
        assert faults_of(text, "en") == [], kind
