"""The pages of an account and of each person who answers for it: what is shown, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from console.server import ConsoleServer
from schemas import events as ev
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.console.test_account_page import fetched
from tests.support.account_events import AccountEvents


@pytest.fixture
def together(tmp_path: Path) -> Path:
    """Return a data directory with a late account of a country that no row names, and who answers for it."""
    story = AccountEvents()
    opened = story.opened(
        30,
        60,
        jurisdiction="AR",
        currency="EUR",
        parties=(
            ev.Party(borrower_id="B2", role="joint"),
            ev.Party(borrower_id="G1", role="guarantor"),
        ),
    )
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        runtime.feed([opened, *story.closes(0, 40)])
    return tmp_path


def test_an_account_names_its_parties_and_rules_by_default(together: Path, browser: Browser) -> None:
    with ConsoleServer(together) as served:
        story = fetched(served, "/api/accounts/A1")
        assert story["by_default"] is True
        assert [(p["borrower"], p["role"], p["not_contacted"]) for p in story["parties"]] == [
            ("B2", "joint", ""),
            ("G1", "guarantor", "not_enforced"),
        ]
        for locale, texts in {
            "en-GB": ("may be contacted", "not enforced against the debtor", "Rules by default"),
            "zh-CN": ("可以联系", "尚未执行主债务人", "默认规则"),
        }.items():
            context = browser.new_context(locale=locale)
            page = context.new_page()
            page.goto(f"{served.url}#/account/A1")
            for text in texts:
                expect(page.get_by_text(text).first).to_be_visible()
            page.goto(f"{served.url}#/borrower/G1")
            expect(page.get_by_text(texts[1]).first).to_be_visible()
            context.close()


def test_a_partys_page_shows_their_debts_and_no_borrower_data(together: Path) -> None:
    with ConsoleServer(together) as served:
        story = fetched(served, "/api/borrowers/G1")
    assert story["answers_for"] == [{"account": "A1", "role": "guarantor", "not_contacted": "not_enforced"}]
    assert (story["accounts"], story["offers"], story["plans"]) == ([], [], [])
