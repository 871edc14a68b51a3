"""Pages say of a key in quarantine that its figures stand still, and since which record."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from msgspec import msgpack
from playwright.sync_api import Browser, expect

from agents.account.agent import AccountAgent
from agents.planner.agent import PlannerAgent
from console.cache import FILE, Cache
from console.read_store import ReadStore
from console.server import ConsoleServer
from schemas import events as ev
from schemas.codec import Codec
from simulator.runs import simulate
from state.account import AccountState
from state.policy_packs.loader import default_book
from streams.engine.output import Record, StoredRecord
from streams.engine.quarantine import HeldItem, HeldKey
from streams.kafka.changelog_format import quarantine_key
from streams.local.runtime import LocalRuntime
from tests.streams.test_quarantine import failing
from tests.support.in_memory_cluster import InputRecord

START = date(2026, 1, 5)


class Halted:
    """A data directory in which a borrower's account, and in the end the borrower, are in quarantine."""

    def __init__(self, folder: Path) -> None:
        events = list(simulate(accounts=40, days=75, seed=6, start=START))
        opened = {e.account_id: e.borrower_id for e in events if isinstance(e, ev.AccountOpened)}
        with LocalRuntime.open(None, default_book()) as sound:
            known = {e.borrower_id for e in sound.feed(events) if isinstance(e, ev.OfferPublished)}
        calls = [e for e in events if isinstance(e, ev.ContactAttempted) and opened[e.account_id] in known]
        self.account = calls[-1].account_id
        self.borrower = opened[self.account]
        before = [e for e in calls if opened[e.account_id] == self.borrower][-2]
        last = next(e for e in reversed(events) if isinstance(e, ev.DayClosed))
        with (
            failing(AccountAgent, self.account, lambda e: e == calls[-1]),
            failing(PlannerAgent, self.borrower, lambda e: getattr(e, "attempt_id", "") == before.attempt_id),
            LocalRuntime.open(folder, default_book()) as runtime,
        ):
            runtime.feed(events)
            self.held = {agent: held.row for (agent, _), held in runtime.quarantined.items()}
            state = runtime.state("account", self.account)
        assert isinstance(state, AccountState)
        self.through = date.fromordinal(state.folded_through)
        assert self.through < last.business_date


@pytest.fixture(scope="module")
def halted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Halted, Path]:
    folder = tmp_path_factory.mktemp("halted")
    return Halted(folder), folder


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_a_halted_key_is_told_on_a_telephone_in_both_languages(
    locale: str, browser: Browser, halted: tuple[Halted, Path], axe: Any
) -> None:
    case, folder = halted
    words = {
        "en-GB": ("In quarantine", "The figures of account {} stand still since", "borrower {} and offered to them"),
        "zh-CN": ("隔离中", "账户 {} 的数字自", "借款人 {} 的情况与方案自"),
    }[locale]
    with ConsoleServer(folder) as served:
        context = browser.new_context(viewport={"width": 390, "height": 844}, locale=locale)
        page = context.new_page()
        for path in (f"account/{case.account}", f"borrower/{case.borrower}"):
            page.goto(f"{served.url}/#/{path}")
            notes = page.get_by_role("note")
            expect(notes).to_have_count(2)
            for row, text in zip((case.held["account"], case.held["planner"]), words[1:], strict=True):
                note = notes.filter(has_text=text.format(row.key))
                expect(note).to_contain_text(words[0])
                expect(note).to_contain_text(row.place)
            if path.startswith("account"):
                expect(page.locator("main")).to_contain_text(case.through.isoformat())
            wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert wide[0] <= wide[1], path
            assert axe(page) == []
        context.close()


def test_pages_of_other_keys_say_nothing_of_a_quarantine(browser: Browser, halted: tuple[Halted, Path]) -> None:
    case, folder = halted
    with closing(ReadStore(folder)) as store:
        other = next(key for key in store.keys("account", "A", 50) if not key.startswith("A" + case.borrower[1:]))
    with ConsoleServer(folder) as served:
        page = browser.new_page(locale="en-GB")
        page.goto(f"{served.url}/#/account/{other}")
        expect(page.get_by_role("heading", level=1)).to_contain_text(other)
        expect(page.get_by_role("note")).to_have_count(0)
        page.close()


def test_the_cache_has_held_keys_and_nothing_that_waits(tmp_path: Path) -> None:
    topic = "reprieve.account-changelog"
    keys = [HeldKey("planner", f"B{n}", f"reprieve.profiles/{n}/7", "ZeroDivisionError", 1) for n in range(2)]
    value = b"what waits"
    item = HeldItem("planner", "B0", StoredRecord("reprieve.profiles", 0, 7, b"B0", value, (), 1), None, None, 0, None)
    with closing(Cache(tmp_path, "test", 2, Codec())) as cache:
        for n, key in enumerate(keys):
            # Both are the first of their partition.
            rows: list[Record] = [InputRecord(topic, 0, quarantine_key(0), msgpack.encode(key), n)]
            rows.append(InputRecord(topic, 1, quarantine_key(1), msgpack.encode(item), n))
            cache.write({(topic, n): ("account", rows)}, {})
        with closing(ReadStore(tmp_path, FILE)) as store:
            assert store.held() == {(key.agent, key.key): key for key in keys}
        assert not any(value in path.read_bytes() for path in tmp_path.iterdir())
        cache.write({(topic, 0): ("account", [InputRecord(topic, 2, quarantine_key(0), None)])}, {})
        with closing(ReadStore(tmp_path, FILE)) as store:
            assert list(store.held()) == [("planner", "B1")]
