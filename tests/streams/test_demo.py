"""`reprieve demo` opens its page in a browser where somebody sees it, and goes on where nobody can."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from schemas import compatibility
from schemas import events as ev
from schemas.jsonlines import from_line
from streams.demo import command
from streams.demo.command import _opened, demo_command, offer_table
from streams.demo.story import Stories
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import AccountDriver

FEW = ["--days", "1", "--history", "1", "--accounts", "5"]


class Window(webbrowser.BaseBrowser):
    """A browser that remembers what it was to open."""

    def __init__(self, fails: BaseException | None = None) -> None:
        super().__init__("window")
        self.fails = fails
        self.opened: list[str] = []

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        if self.fails is not None:
            raise self.fails
        self.opened.append(url)
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[[webbrowser.BaseBrowser | webbrowser.Error], None]:
    """Return a way to put a browser on a machine that has a screen."""
    monkeypatch.setenv("DISPLAY", ":7")

    def put(browser: webbrowser.BaseBrowser | webbrowser.Error) -> None:
        def get(using: str | None = None) -> webbrowser.BaseBrowser:
            if isinstance(browser, webbrowser.Error):
                raise browser
            return browser

        monkeypatch.setattr(webbrowser, "get", get)

    return put


def test_the_page_opens_where_there_is_a_browser(
    screen: Callable[[webbrowser.BaseBrowser | webbrowser.Error], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Window()
    screen(window)
    assert _opened("http://127.0.0.1:1")
    assert window.opened == ["http://127.0.0.1:1"]
    screen(webbrowser.Error("could not locate runnable browser"))
    assert not _opened("http://127.0.0.1:1")
    screen(Window(OSError("no such file")))
    assert not _opened("http://127.0.0.1:1")
    # One of text would take the terminal.
    screen(webbrowser.GenericBrowser("lynx"))
    assert not _opened("http://127.0.0.1:1")
    screen(window)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not _opened("http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("terminal", "more", "opens"), [(True, [], True), (True, ["--exit"], False), (False, [], False)]
)
def test_a_demonstration_opens_its_page_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, more: list[str], opens: bool
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(command, "show_page", shown.append)
    # What follows is the screen, which goes on until somebody stops it.
    monkeypatch.setattr(command, "_show", lambda console, run, count, leave: next(run))
    with monkeypatch.context() as patched:
        runner = CliRunner()
        with runner.isolation():
            patched.setattr(type(sys.stdout), "isatty", lambda self: terminal, raising=False)
            demo_command.main([*FEW, *more], standalone_mode=False)
    assert len(shown) == opens
    assert all(url.startswith("http://127.0.0.1:") for url in shown)


def test_an_offer_is_shown_whole_on_a_terminal_of_80_columns() -> None:
    lines = (Path(compatibility.__file__).parent / "examples.jsonl").read_bytes().splitlines()
    offer = next(e for e in map(from_line, lines) if isinstance(e, ev.OfferPublished))
    console = Console(width=80, record=True, file=StringIO())
    console.print(offer_table(offer))
    shown = console.export_text()
    assert "● is recommended" in shown
    assert "…" not in shown


def test_a_story_counts_one_day_as_one() -> None:
    story, driver = AccountEvents(), AccountDriver()
    events = [story.opened(10), *story.closes(0, 41)]
    driver.feed(*events)
    stories = Stories()
    stories.take([*events, *driver.outputs])
    found = stories.best()
    assert found is not None
    lines = [line.text for line in found[1]]
    assert any(line.startswith("1 day past due: current → 1–30 days") for line in lines)
    assert any(line.startswith("31 days past due: 1–30 days → 31–60 days") for line in lines)
