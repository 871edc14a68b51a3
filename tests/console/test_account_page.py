"""An account's page: where it stands as of the last closed day, and its way into bad debt."""

from __future__ import annotations

import json
import urllib.request
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest
from playwright.sync_api import Browser, expect

from agents.account.view import Condition, Need
from console.account_page import account_details, bad_debt_history, describe_condition
from console.server import ConsoleServer
from schemas import events as ev
from state.policy import BadDebt
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.streams.test_look_up import late_since_a_hold
from tests.support.account_events import AccountEvents, at
from tests.support.agent_driver import AccountDriver
from tests.support.policies import policy


@pytest.fixture
def disputed(tmp_path: Path) -> Path:
    """Return a data directory with an account that was disputed, closed on a day on which it was not visited."""
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        runtime.feed(list(late_since_a_hold()))
    return tmp_path


def fetched(served: ConsoleServer, path: str) -> Any:
    with urllib.request.urlopen(served.url + path, timeout=120) as answer:  # nosec B310
        return json.load(answer)


def test_the_page_shows_the_last_closed_day_without_old_holds(disputed: Path, browser: Browser) -> None:
    with ConsoleServer(disputed) as served:
        story = fetched(served, "/api/accounts/A1")
        assert (story["through"], story["status"]["days_past_due"]) == ("2026-05-25", 29)
        assert story["status"]["holds"] == []
        assert story["delinquency"] == [["2026-02-11", 1], ["2026-02-14", 4], ["2026-04-30", 4]]
        assert fetched(served, "/api/borrowers/B1")["accounts"] == [
            {
                "account": "A1",
                "currency": "EUR",
                "owed": 302_000,
                "overdue": 202_000,
                "days_past_due": 29,
                "bucket": "dpd_1_30",
                "bad_debt": "none",
                "holds": [],
                "plan": None,
                "next": {"due": "2026-06-10", "amount": 50_500},
            }
        ]
        context = browser.new_context(viewport={"width": 390, "height": 800}, locale="zh-CN")
        page = context.new_page()
        page.goto(f"{served.url}#/account/A1")
        expect(page.get_by_role("heading", name="状态，截至 2026-05-25")).to_be_visible()
        expect(page.locator("#lacking li")).to_have_count(len(story["next_steps"][0]["conditions"]))
        expect(page.locator("#lacking li:not(.met)")).to_have_text(["✗ 催收未果0次（须满3次）"])
        rows = page.locator("section", has=page.get_by_role("heading", name="各期")).locator("tbody tr")
        expect(rows).to_have_count(6)
        expect(rows.first).to_contain_text("104 天（自还款日）")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        context.close()


def test_what_came_since_is_apart_and_good_news_at_once(disputed: Path) -> None:
    paid = ev.PaymentReceived(
        event_id="p1",
        occurred_at=next(iter(late_since_a_hold())).occurred_at.replace(month=5, day=26),
        source="core",
        payment_id="P1",
        account_id="A1",
        amount=202_000,
        currency="EUR",
        value_on=date(2026, 5, 26),
        channel="transfer",
    )
    with LocalRuntime.open(disputed, default_book()) as runtime:
        runtime.feed([paid])
    with ConsoleServer(disputed) as served:
        story = fetched(served, "/api/accounts/A1")
    assert (story["status"]["days_past_due"], story["paid"]["received"]) == (29, 0)
    assert [(e["day"], e["type"]) for e in story["waiting"]] == [("2026-05-26", "PaymentReceived")]
    assert {e["type"] for e in story["early"]} == {"InstalmentCaughtUp", "DelinquencyChanged"}


@pytest.mark.parametrize("need", get_args(Need))
@pytest.mark.parametrize("met", [True, False])
def test_every_condition_has_words_in_both_languages(need: Need, met: bool) -> None:
    names = (
        "missed missed_at_least days_past_due days_past_due_over attempts attempts_at_least overdue over share_bps "
        "share_over_bps stage3_from_days days recognise_after_days charge_off_after"
    )
    words = describe_condition(Condition(need, met, dict.fromkeys(names.split(), 7), ("dispute",)), "CNY")
    assert words["zh"]
    assert words["en"].isascii()


def test_the_way_into_bad_debt_shows_every_step() -> None:
    def step(day: int, from_: ev.BadDebtStatus, to: ev.BadDebtStatus, event_id: str) -> ev.BadDebtChanged:
        return ev.BadDebtChanged(
            event_id=event_id,
            occurred_at=next(iter(late_since_a_hold())).occurred_at,
            source="reprieve.account",
            account_id="A1",
            business_date=date(2026, 6, day),
            caused_by="c",
            from_=from_,
            to=to,
            policy="us_ffiec",
            days_past_due=120,
            missed=4,
            attempts=3,
            outstanding=ev.Amounts(principal=1),
            currency="USD",
            reasons=("missed instalments 4 >= 3",),
            evidence=("c1",),
        )

    steps = [
        step(9, "recognised", "charged_off", "a"),
        step(9, "candidate", "recognised", "b"),
        step(1, "none", "candidate", "c"),
        step(20, "charged_off", "recovering", "d"),
    ]
    way = bad_debt_history(steps)
    assert [x["to"] for x in way] == ["candidate", "recognised", "charged_off", "recovering"]
    assert way[0]["reasons"][0]["en"] == "missed instalments 4 >= 3"


@pytest.mark.parametrize("status", ["candidate", "recognised", "charged_off", "recovering", "terminated"])
def test_a_bad_debt_taken_over_begins_with_the_take_over(status: ev.BadDebtStatus) -> None:
    on = date(2026, 3, 31)
    position = ev.OpeningPosition(
        event_id="p", occurred_at=at(on), source="t", account_id="A1", borrower_id="B1", product="personal_loan",
        jurisdiction="CN", currency="CNY", opened_on=date(2024, 1, 1), as_of=on, annual_rate_bps=900, principal=50_000,
        instalments=(
            ev.PositionInstalment(number=5, due_on=date(2025, 6, 1), principal=20_000, interest=0, fees=0, penalty=30),
        ),
        bad_debt=status, bad_debt_on=date(2026, 2, 1),
    )  # fmt: skip
    story, driver = AccountEvents(start=on), AccountDriver(policy(bad_debt=BadDebt("test", recognition="review")))
    driver.feed(position, story.reviewed(3, "charge_off"), *story.closes(0, 5))
    state = driver.states["A1"]
    page = account_details(
        state, driver.agent.rules(driver.book, state), list(driver.facts_by_key["A1"].values()), state.folded_through
    )
    first, *later = page["why"]
    assert (first["day"], first["to"], first["reasons"][0]["en"]) == ("2026-02-01", status, "taken over")
    assert sum(first["outstanding"].values()) == 20_030
    steps = {"candidate": ["recognised", "charged_off"], "recognised": ["charged_off"]}
    assert [step["to"] for step in later] == steps.get(status, [])
