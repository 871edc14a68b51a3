"""The rules that are shown are those by which the runtime decides: the texts that are kept, by their dates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from console.rulebook import changed_rules, rules_page
from console.server import ConsoleServer
from schemas import events as ev
from simulator.world import START
from state.policy_packs.loader import book_for, default_book, files_of
from streams.local.runtime import LocalRuntime
from tests.console.test_answers import asked, told

AT = datetime(START.year, START.month, START.day, tzinfo=UTC)
CHANGED_ON, LATER_ON = START + timedelta(days=3), START + timedelta(days=30)
OWN = """pack: own_rules
version: 4
title: What this lender asks of itself
sections:
  plans:
    max_term_months: {value: 36, verified: false, source: "board, not checked"}
"""


def edited() -> dict[str, str]:
    """Return the default book with a house that allows 48 months where the release's allows another number."""
    files = files_of("default")
    before = "max_term_months: {value: 60, verified: true, source: internal rule}"
    assert before in files["house"]
    after = 'max_term_months: {value: 48, verified: false, source: "credit committee, 3 March"}'
    return {**files, "house": files["house"].replace(before, after)}


def with_own() -> dict[str, str]:
    """Return the edited book with a pack of the lender's own on top for business loans of the United States."""
    files = edited()
    row = "  - {jurisdictions: [US], products: [business_loan], packs: [house, us_ffiec, us_reg_f, own_rules]}\n"
    return {**files, "book": files["book"].replace("rows:\n", "rows:\n" + row), "own_rules": OWN}


def change(name: str, day: date, files: dict[str, str], hour: int = 0) -> ev.PolicyChanged:
    return ev.PolicyChanged(
        event_id=f"policy-{name}",
        occurred_at=AT + timedelta(hours=hour),
        source="risk committee",
        change_id=name,
        effective_on=day,
        files=files,
    )


def closed(day: date) -> ev.DayClosed:
    at = AT + timedelta(days=(day - START).days)
    return ev.DayClosed(event_id=f"day-{day}", occurred_at=at, source="test", business_date=day, calendar="none")


def rule(shown: dict[str, Any], pack: str, path: str) -> dict[str, Any]:
    (found,) = [r for p in shown["packs"] if p["name"] == pack for r in p["rules"] if r["path"] == path]
    return dict(found)


def test_words_that_are_others_are_told_message_by_message() -> None:
    before = files_of("default")
    old, new = "option-reason-step-up = The payments are lower at first.\n", "option-reason-step-up = Less at first.\n"
    assert old in before["en.ftl"]
    (moved,) = changed_rules(before, {**before, "en.ftl": before["en.ftl"].replace(old, new)})
    assert (moved["path"], moved["where"]) == ("texts_en.option-reason-step-up", [["*", "*"]])
    assert [moved[side]["value"] for side in ("before", "after")] == [
        "The payments are lower at first.",
        "Less at first.",
    ]
    # A book of before its messages were kept says nothing of them.
    assert changed_rules({k: v for k, v in before.items() if k != "en.ftl"}, before) == []


@pytest.fixture(scope="module")
def path() -> str:
    """Return the path of the rule that the edited house changes."""
    (found,) = [
        m["path"] for m in changed_rules(files_of("default"), edited()) if m["path"].endswith("max_term_months")
    ]
    return str(found)


@pytest.fixture(scope="module")
def edited_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory in which one change counts and another one, with a pack of its own, is to come."""
    folder = tmp_path_factory.mktemp("rules")
    with LocalRuntime.open(folder, default_book()) as runtime:
        runtime.feed([change("shorter", CHANGED_ON, edited()), change("own", LATER_ON, with_own(), hour=1)])
        runtime.feed([closed(START + timedelta(days=n)) for n in range(4)])
    return folder


@pytest.fixture(scope="module")
def served_rules(edited_data: Path) -> Iterator[ConsoleServer]:
    with ConsoleServer(edited_data) as made:
        yield made


def test_the_rules_shown_are_those_by_which_the_runtime_decides(
    served_rules: ConsoleServer, edited_data: Path, path: str
) -> None:
    shown = told(served_rules, "/api/rules")
    assert (shown["texts_stored"], shown["today"], shown["change"]) == (True, str(START + timedelta(days=4)), "shorter")
    house = rule(shown, "house", path)
    assert (house["value"], house["verified"], house["source"]) == (48, False, "credit committee, 3 March")
    assert house["moved"] == {"change": "shorter", "on": str(CHANGED_ON), "before": 60}
    with LocalRuntime.open(edited_data, default_book()) as runtime:
        book = runtime._task.policies.book
        for day, months in ((START, 60), (CHANGED_ON, 48), (LATER_ON, 48)):
            section, key = path.split(".")
            policy = book.in_force_on(day.toordinal()).policy_for("", "")
            assert getattr(getattr(policy, section), key) == months
            assert rule(told(served_rules, f"/api/rules?on={day}"), "house", path)["value"] == months
    # Only what differs is marked.
    assert [r["path"] for p in shown["packs"] for r in p["rules"] if r["moved"]] == [path]


def test_each_change_says_what_moved_and_for_whom(served_rules: ConsoleServer, path: str) -> None:
    first, own = told(served_rules, "/api/rules")["changes"]
    assert (first["status"], own["status"]) == ("in_force", "later")
    (moved,) = first["moved"]
    assert (moved["path"], moved["before"]["value"], moved["after"]["value"]) == (path, 60, 48)
    assert ["*", "*"] in moved["where"]
    (its,) = own["moved"]
    assert (its["before"]["pack"], its["before"]["value"]) == ("house", 48)
    assert its["after"] == {"pack": "own_rules", "value": 36, "verified": False, "source": "board, not checked"}
    assert its["where"] == [["US", "business_loan"]]


def test_a_pack_that_only_a_change_has_is_shown_from_its_day_on(served_rules: ConsoleServer, path: str) -> None:
    assert "own_rules" not in {p["name"] for p in told(served_rules, "/api/rules")["packs"]}
    then = told(served_rules, f"/api/rules?on={LATER_ON}")
    its = rule(then, "own_rules", path)
    assert (its["value"], its["verified"], its["source"]) == (36, False, "board, not checked")
    # New with the change: there is no value before.
    assert its["moved"] == {"change": "own", "on": str(LATER_ON)}
    assert then["book"][0]["packs"][-1] == "own_rules"
    assert asked(served_rules.url, "/api/rules?on=soon")[0] == 400


def test_a_pack_from_a_file_is_shown_as_at_deployment(tmp_path: Path, path: str) -> None:
    file = tmp_path / "own_rules.yaml"
    file.write_text(OWN, "utf-8")
    with LocalRuntime.open(tmp_path / "data", book_for(str(file))) as runtime:
        runtime.run()
    # Edited afterwards, in vain: what is kept counts.
    file.write_text(OWN.replace("36", "24"), "utf-8")
    with ConsoleServer(tmp_path / "data") as served:
        shown = told(served, "/api/rules")
    assert [p["name"] for p in shown["packs"]] == ["house", "own_rules"]
    assert rule(shown, "own_rules", path)["value"] == 36


def test_of_two_changes_for_a_date_the_later_counts() -> None:
    first, on = files_of("default"), START
    changes = [
        change("a", on, with_own()),
        change("b", on, edited(), hour=2),
        change("c", on + timedelta(days=1), with_own()),
        change("d", on + timedelta(days=2), first),
        change("e", on + timedelta(days=3), with_own()),
    ]
    shown = rules_page("default", changes, first, on + timedelta(days=5))
    assert [c["status"] for c in shown["changes"]] == ["replaced", "past", "past", "past", "in_force"]
    assert shown["changes"][0]["moved"] is None
    (its,) = [r for p in shown["packs"] if p["name"] == "own_rules" for r in p["rules"]]
    assert its["moved"] == {"change": "e", "on": str(on + timedelta(days=3))}


def test_a_change_of_row_is_told_though_no_row_is_named() -> None:
    def book(rows: str) -> dict[str, str]:
        last = "  - {jurisdictions: ['*'], products: ['*'], packs: [house]}\n"
        return {
            "book": f"book: own\nversion: 1\nrows:\n{rows}{last}",
            "own_rules": OWN,
            "house": files_of("default")["house"],
        }

    before = book("  - {jurisdictions: [US-CA], products: ['*'], packs: [house, own_rules]}\n")
    after = book("  - {jurisdictions: [US], products: [credit_card], packs: [house, own_rules]}\n")
    (gone, new) = sorted(changed_rules(before, after), key=lambda m: str(m["after"]["value"]), reverse=True)
    assert (gone["before"]["value"], gone["after"]["value"], gone["where"]) == (36, 60, [["US-CA", "*"]])
    assert (new["before"]["value"], new["after"]["value"], new["where"]) == (60, 36, [["US", "credit_card"]])


def test_what_an_earlier_release_did_not_keep_is_said() -> None:
    assert rules_page("default", [])["texts_stored"] is False
    lost = rules_page("gone.yaml", [])
    assert (lost["texts_stored"], lost["packs"]) == (False, [])
    assert json.dumps(lost)


def test_a_risk_officer_reads_what_counts_and_what_is_to_come(
    browser: Browser, served_rules: ConsoleServer, path: str
) -> None:
    page = browser.new_page(locale="en-GB")
    page.goto(served_rules.url + "/#/rules")
    expect(page.get_by_role("heading", name=f"In force {START + timedelta(days=4)}")).to_contain_text("shorter")
    pack = page.locator("details.pack", has=page.get_by_text("house", exact=True))
    pack.locator("summary").first.click()
    row = pack.locator("tr", has_text=path)
    expect(row).to_contain_text("48")
    expect(row).to_contain_text(f"was 60; shorter, {CHANGED_ON}")
    expect(row).to_contain_text("UNVERIFIED")
    later = page.locator("section", has=page.get_by_role("heading", name="What comes later"))
    later.locator("summary").click()
    expect(later.locator("tbody tr")).to_contain_text("house: 48")
    expect(later.locator("tbody tr")).to_contain_text("own_rules: 36")
    later.get_by_role("link", name=str(LATER_ON)).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"as of {LATER_ON}")
    expect(page.locator("details.pack", has_text="own_rules")).to_have_count(1)
    page.get_by_role("link", name="The rules of today").click()
    expect(page.locator("details.pack", has_text="own_rules")).to_have_count(0)
    page.close()
