"""The page in a real Chromium: what a new user finds out from it, in both languages, by keyboard, on a telephone."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from agents.amounts import priced
from console.server import ConsoleServer
from console.words import describe
from schemas import events as ev
from simulator.world import START, World
from state.policy_packs.book import BOOK, book_of
from state.policy_packs.loader import default_book, files_of
from streams.local.runtime import LocalRuntime
from streams.security.audit import FILE
from tests.support.canaries import erasure, granted, report, seen, shapes

START_AT = datetime(START.year, START.month, START.day, tzinfo=UTC)
VIEWS = ("", "learner", "rules", "letters", "audit")
# REPRIEVE_PICTURES=docs/pictures takes those of the README anew.
PICTURES = os.environ.get("REPRIEVE_PICTURES")


@pytest.fixture
def page(browser: Browser, served: ConsoleServer) -> Iterator[Page]:
    """Yield a page that may ask nobody but the console, and has nothing to complain of."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    made = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    made.on("request", lambda r: asked.append(r.url))
    made.on("pageerror", lambda e: said.append(str(e)))
    made.on("console", lambda m: said.append(m.text) if m.type == "error" and "404" not in m.text else None)
    made.goto(served.url)
    expect(made.locator("#state")).to_contain_text("closed through")
    yield made
    assert said == []
    assert {url.split("/")[2] for url in asked} == {served.url.split("/")[2]}
    context.close()


def fetched(page: Page, path: str) -> Any:
    """Return what the server says of something."""
    return page.evaluate("path => fetch(path).then(a => a.json())", path)


def bad_account(page: Page) -> str:
    """Return an account that became bad debt and was offered a plan."""
    for debt in fetched(page, "/api/overview")["newest_bad_debts"]:
        story = fetched(page, f"/api/accounts/{debt['account']}")
        if story["why"] and any(o["options"] for o in story["offers"]):
            return str(debt["account"])
    raise AssertionError("no bad debt in the portfolio was offered anything")


def picture(page: Page, name: str) -> None:
    if PICTURES is not None:
        # Where a table is longer than the screen its beginning says what it is.
        page.set_viewport_size({"width": 1280, "height": 1100})
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def test_a_new_user_sees_who_needs_a_person_today_and_why(page: Page) -> None:
    first = fetched(page, "/api/overview")["for_specialist"]["first"][0]
    section = page.locator("section", has=page.get_by_role("heading", name="Needs a person today"))
    row = section.get_by_role("row").nth(1)
    expect(row).to_contain_text(first["borrower"])
    expect(row).to_contain_text(first["reasons"][0])
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(first["borrower"])
    expect(page.get_by_text("No plan: a person").first).to_be_visible()


def test_a_new_user_finds_why_and_what_was_offered(page: Page) -> None:
    account = bad_account(page)
    page.locator("#q").fill(account)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(account)
    story = fetched(page, f"/api/accounts/{account}")
    why = page.locator("#why")
    expect(why.locator("li")).to_have_count(len(story["why"]))
    for step, line in zip(story["why"], why.locator("li").all(), strict=True):
        expect(line).to_contain_text(step["day"])
        for reason in step["reasons"]:
            expect(line).to_contain_text(reason["en"])
    offer = next(o for o in story["offers"] if o["options"])
    shown = page.locator("section", has=page.get_by_role("heading", name=f"Offer of {offer['day']}")).first
    expect(shown).to_contain_text(offer["message"])
    expect(shown.locator(".option")).to_have_count(len(offer["options"]))
    expect(shown.locator(".option.recommended")).to_have_count(1)
    # A payment break has no schedule to show.
    expect(shown.locator(".option svg")).to_have_count(len([o for o in offer["options"] if o["schedule"]]))
    for option in offer["options"]:
        for reason in option["reasons"]:
            expect(shown).to_contain_text(reason)
    happened = page.locator("section", has=page.get_by_role("heading", name="What happened")).locator("li")
    expect(happened.first).to_contain_text(story["timeline"]["events"][0]["words"]["en"])
    expect(page.locator("polyline.curve")).to_be_visible()


def test_nobody_is_opened_by_a_search_that_several_match(page: Page) -> None:
    page.locator("#q").fill("A00000")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Several match.")).to_be_visible()
    assert "#/account" not in page.url
    # It is a view of its own: what draws the page again, such as an update, leaves it.
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_text("有多个匹配")).to_be_visible()
    page.get_by_role("button", name="English").click()
    page.locator("main").get_by_role("link").nth(1).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Account A00000")


def test_an_agreement_opens_in_the_language_of_the_page(page: Page, axe: Callable[[Page], list[object]]) -> None:
    overview = fetched(page, "/api/overview")
    accounts = [n["account"] for n in overview["news"] if n["account"]]
    planned = next(a for a in accounts if fetched(page, f"/api/accounts/{a}")["plans"])
    page.goto(page.url.split("#")[0] + f"#/account/{planned}")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Agreement").first.click()
    expect(opened.value.get_by_role("heading", level=1)).to_have_text("Personal repayment agreement")
    assert axe(opened.value) == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_view_has_a_fault_that_axe_finds(page: Page, axe: Callable[[Page], list[object]], language: str) -> None:
    if language == "zh":
        page.get_by_role("button", name="中文").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("总览")
    account = bad_account(page)
    borrower = fetched(page, f"/api/accounts/{account}")["borrower"]
    # The audit once more at the end: by then somebody has looked at a borrower.
    for view in (*VIEWS, f"account/{account}", f"borrower/{borrower}", "audit"):
        page.evaluate("view => { location.hash = '#/' + view; }", view)
        page.wait_for_function("view => document.querySelector('main h1') && location.hash === '#/' + view", arg=view)
        page.wait_for_timeout(150)
        picture(page, f"{view.split('/')[0] or 'overview'}-{language}")
        assert axe(page) == [], f"{view} ({language})"


def test_a_new_user_resends_a_letter_and_reads_the_result(browser: Browser, tmp_path: Path) -> None:
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        for _ in range(2):
            runtime.publish_raw("payments", b"A1", b"\xffnot Avro")
        runtime.run()
    with ConsoleServer(tmp_path) as served:
        page = browser.new_page(locale="en-GB")
        page.goto(served.url + "/#/letters")
        page.get_by_role("button", name="Send in again").first.click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("button", name="Send in again")).to_have_count(2)
        page.get_by_role("button", name="Send in again").first.click()
        expect(page.get_by_role("dialog")).to_contain_text("A letter is sent once")
        picture(page, "sending-en")
        page.get_by_role("dialog").get_by_role("button", name="Send").click()
        expect(page.get_by_role("status").last).to_have_text("1 sent in again, 0 had been before, 1 refused anew")
        expect(page.locator("td .mark", has_text="sent in again")).to_have_count(1)
        with LocalRuntime.open(tmp_path, default_book()):
            page.get_by_role("button", name="Send all in again").click()
            page.get_by_role("dialog").get_by_role("button", name="Send").click()
            expect(page.get_by_role("status").last).to_contain_text("in use by process")
        page.close()


def test_an_auditor_finds_who_looked_and_an_intact_record(browser: Browser, tmp_path: Path) -> None:
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        runtime.feed([granted("B1", START), report("B1", START), granted("B2", START), report("B2", START)])
        runtime.feed([erasure("B2", START)])
    with ConsoleServer(tmp_path) as served:
        page = browser.new_page(locale="en-GB")
        page.goto(served.url + "/#/borrower/B1")
        page.get_by_role("link", name="Who looked").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("all chains are whole")
        expect(page.get_by_label("A borrower, or who looked")).to_have_value("B1")
        records = page.locator("section", has=page.get_by_role("heading", name="Newest records")).locator("tbody tr")
        expect(records).to_have_count(1)
        expect(records).to_contain_text("work on the case")
        expect(records).to_contain_text(re.compile("Means: .*income"))
        # What was shown is named; its value is nowhere.
        assert not seen(page.content().encode(), shapes())
        page.get_by_label("A borrower, or who looked").fill("B2")
        page.keyboard.press("Enter")
        expect(records).to_contain_text("ERASED")
        lines = (tmp_path / FILE).read_bytes()
        (tmp_path / FILE).write_bytes(lines.replace(b"case_work", b"complaint"))
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_contain_text("1 broken chains")
        expect(page.get_by_text("1: the record was changed")).to_be_visible()
        page.close()


def test_the_page_writes_money_as_the_server_does(page: Page) -> None:
    for currency in ("CNY", "JPY", "KWD", "EUR", "VND"):
        shown = page.evaluate(
            "currency => import('/static/page.js').then(m => m.money(1234567, currency))", arg=currency
        )
        assert shown == priced(1_234_567, currency)


def test_every_word_of_the_page_is_there_in_both_languages(page: Page) -> None:
    words = page.evaluate("import('/static/words.js').then(m => m.WORDS)")
    assert set(words["en"]) == set(words["zh"])
    page.get_by_role("button", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("总览")


def test_the_page_is_usable_by_keyboard_alone(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Learner")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Learner")
    expect(page.locator("main")).to_be_focused()


def test_on_a_telephone_nothing_runs_out_of_the_screen(browser: Browser, served: ConsoleServer) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 800}, locale="en-GB", has_touch=True)
    page = context.new_page()
    page.goto(served.url)
    expect(page.locator("#state")).to_contain_text("closed through")
    account = bad_account(page)
    for view in (*VIEWS, f"account/{account}"):
        page.evaluate("view => { location.hash = '#/' + view; }", view)
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, view
        if PICTURES is not None and view in ("", f"account/{account}"):
            page.screenshot(path=Path(PICTURES) / f"telephone-{view.split('/')[0] or 'overview'}.png")
    context.close()


def test_what_an_id_contains_is_text_and_never_markup(browser: Browser, tmp_path: Path) -> None:
    hostile = '<img/src=x/onerror="document.title=1">'
    opened = ev.AccountOpened(
        event_id="e1",
        occurred_at=START_AT,
        source="test",
        account_id=hostile,
        borrower_id="<b>B</b>",
        product="<i>loan</i>",
        jurisdiction="CN",
        currency="CNY",
        opened_on=START,
        annual_rate_bps=0,
        principal=1_000,
        instalments=(ev.Instalment(number=1, due_on=START + timedelta(days=3), principal=1_000, interest=0, fees=0),),
    )
    files = files_of("default")
    # It takes any product, also one that is markup.
    book = book_of({**files, BOOK: files[BOOK].replace("\nrows:", '\n  "*": []\nrows:', 1)})
    with LocalRuntime.open(tmp_path, book) as runtime:
        runtime.feed([opened])
    with ConsoleServer(tmp_path) as served:
        page = browser.new_page()
        page.goto(served.url)
        page.locator("#q").fill(hostile)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text(hostile)
        assert page.locator("main img, main b, main i").count() == 0
        assert describe(opened, "CNY")["en"] in page.locator("main").inner_text()
        page.close()


def test_an_open_page_follows_the_log(browser: Browser, tmp_path: Path) -> None:
    world = World(60, 3, START)
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        runtime.feed(list(world.opening()))
        said = runtime.feed(list(world.day(START, [])))
        with ConsoleServer(tmp_path) as served:
            page = browser.new_page()
            page.goto(served.url)
            expect(page.locator("#state")).to_contain_text(str(START))
            for n in range(1, 4):
                day = START + timedelta(days=n)
                said = runtime.feed(list(world.day(day, said)))
                began = time.perf_counter()
                expect(page.locator("#state")).to_contain_text(str(day), timeout=60_000)
                print(f"shown {time.perf_counter() - began:.2f} s after it was committed")
            page.close()


def test_an_account_of_ten_thousand_events_opens_with_newest(browser: Browser, tmp_path: Path) -> None:
    base = {"occurred_at": START_AT, "source": "test", "account_id": "A1"}
    opened = ev.AccountOpened(
        event_id="open",
        **base,
        borrower_id="B1",
        product="loan",
        jurisdiction="CN",
        currency="CNY",
        opened_on=START,
        annual_rate_bps=0,
        principal=10_000_000,
        instalments=(
            ev.Instalment(number=1, due_on=START + timedelta(days=900), principal=10_000_000, interest=0, fees=0),
        ),
    )
    paid = [
        ev.PaymentReceived(
            event_id=f"e{n}",
            **base,
            payment_id=f"p{n:05d}",
            amount=100,
            currency="CNY",
            value_on=START + timedelta(days=n // 100),
            channel="transfer",
        )
        for n in range(10_000)
    ]
    closes = [
        ev.DayClosed(
            event_id=f"day-{n}",
            occurred_at=START_AT + timedelta(days=n),
            source="test",
            business_date=START + timedelta(days=n),
            calendar="none",
        )
        for n in range(100)
    ]
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        runtime.feed([opened, *(e for n, day in enumerate(closes) for e in (*paid[100 * n : 100 * n + 100], day))])
    with ConsoleServer(tmp_path) as served:
        page = browser.new_page()
        page.goto(served.url)
        expect(page.locator("#state")).to_contain_text("live")
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        began = time.perf_counter()
        page.evaluate("location.hash = '#/account/A1'")
        expect(page.get_by_role("heading", name="What happened")).to_contain_text("10,001")
        print(f"first paint after {paint:.0f} ms; opened after {time.perf_counter() - began:.2f} s")
        events = page.locator(".timeline li")
        assert events.count() == 400
        older = page.get_by_role("button", name="Show older ones")
        for shown in range(800, 10_001, 400):
            older.click()
            expect(events).to_have_count(shown, timeout=60_000)
        older.click()
        expect(events).to_have_count(10_001, timeout=60_000)
        expect(events.last).to_contain_text(str(START))
        expect(events.filter(has_text="Account opened")).to_have_count(1)
        expect(older).to_have_count(0)
        # None is told twice, and what is drawn again shows as much.
        told = page.evaluate("[...document.querySelectorAll('.timeline li')].map(e => e.textContent)")
        assert told == sorted(told, key=lambda line: line[:10], reverse=True)
        page.get_by_role("button", name="中文").click()
        expect(page.get_by_role("heading", name="经过")).to_be_visible(timeout=60_000)
        expect(events).to_have_count(10_001)
        page.close()


def test_every_letter_can_be_reached_and_sent_from_the_page(browser: Browser, tmp_path: Path) -> None:
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        for n in range(450):
            runtime.publish_raw("payments", b"A1", b"\xffnot Avro %d" % n)
        runtime.run()
    with ConsoleServer(tmp_path) as served:
        page = browser.new_page(locale="en-GB")
        page.goto(served.url + "/#/letters")
        section = page.locator("section", has=page.get_by_role("heading", name="Newest"))
        for shown in (200, 400, 450):
            expect(section.locator("tbody tr")).to_have_count(shown)
            if shown < 450:
                section.get_by_role("button", name="Show older ones").click()
        expect(section.locator("tbody tr").last).to_contain_text("payments/0/0")
        section.get_by_role("button", name="Send in again").last.click()
        page.get_by_role("dialog").get_by_role("button", name="Send").click()
        expect(page.get_by_role("status").first).to_be_visible()
        expect(page.locator("#result")).to_contain_text("1 sent in again")
        # It is drawn again as long as it was, with the letter that was refused anew on top.
        expect(section.locator("tbody tr")).to_have_count(451)
        expect(section.locator("tbody tr").last).to_contain_text("sent in again")
        page.close()
