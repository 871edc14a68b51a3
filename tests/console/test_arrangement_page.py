"""The page of a borrower who is offered small payments or a payment break, on a telephone and in both languages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from console.server import ConsoleServer
from schemas import events as ev
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.support.account_events import AccountEvents, at

WORDS = {
    "en-GB": ("Small payments for now", "Payment break", "Reviewed on", "you pay nothing"),
    "zh-CN": ("暂时小额还款", "暂缓还款", "重新评估日", "您无需还款"),
}
PICTURES = os.environ.get("ARRANGEMENT_PICTURES")


def fed(folder: Path, locale: str) -> ev.OfferPublished:
    """Live until a borrower with next to no means is offered something; return the offer."""
    story = AccountEvents()
    base = {"occurred_at": at(story.day(62)), "source": "test", "borrower_id": "B1"}
    means = ev.ProfileReported(
        **base,
        event_id="p1",
        kind="interview",
        as_of=story.day(62),
        consent_id="c1",
        monthly_income=101_500,
        monthly_expenses=100_000,
        household_size=1,
        locale=locale,
    )
    granted = ev.ConsentGranted(**base, event_id="c1", consent_id="c1", purpose="repayment_planning")
    opened = story.opened(30, 60, 90, 120, 150, amount=200_000, jurisdiction="GB", currency="GBP")
    with LocalRuntime.open(folder, default_book()) as runtime:
        said = runtime.feed([opened, *story.closes(0, 61), granted, means, *story.closes(62, 64)])
    return [e for e in said if isinstance(e, ev.OfferPublished)][-1]


@pytest.mark.parametrize("locale", WORDS)
def test_both_arrangements_fit_on_a_telephone(tmp_path: Path, browser: Browser, locale: str) -> None:
    offer = fed(tmp_path, locale[:2])
    assert [o.arrangement for o in offer.options] == ["token", "payment_holiday"]
    with ConsoleServer(tmp_path) as served:
        context = browser.new_context(viewport={"width": 375, "height": 800}, locale=locale, has_touch=True)
        page, errors = context.new_page(), list[str]()
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.goto(f"{served.url}#/borrower/B1")
        for text in WORDS[locale]:
            expect(page.get_by_text(text).first).to_be_visible()
        expect(page.get_by_text(offer.message)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        if PICTURES is not None:
            page.screenshot(path=f"{PICTURES}/arrangement-{locale}.png", full_page=True)
        page.goto(served.url)
        expect(page.get_by_text(WORDS[locale][0]).first).to_be_visible()
        assert errors == []
        context.close()
