"""A small lender's data, the console over it with somebody at the door, a real issuer, and a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from door import PEOPLE, Clock, Guarded, access_settings, guarded
from playwright.sync_api import Browser, sync_playwright
from provider import Provider

from schemas import events as ev
from simulator.world import START, World
from state.pack import default_book
from streams.access.tokens import Tokens
from streams.local.runtime import LocalRuntime
from streams.settings import AccessSettings


@pytest.fixture(scope="session")
def lender(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory of a few accounts, some of them with a plan."""
    folder = tmp_path_factory.mktemp("lender")
    world = World(30, 5, START)
    with LocalRuntime.open(folder, default_book()) as runtime:
        arrived: list[ev.Event] = list(world.opening())
        for n in range(150):
            said = runtime.feed(arrived)
            arrived = list(world.day(START + timedelta(days=n), said))
    return folder


@pytest.fixture(scope="module", params=["RS256", "ES256"])
def provider(request: pytest.FixtureRequest) -> Iterator[Provider]:
    """Yield an issuer of each kind of key."""
    with Provider(PEOPLE, request.param) as made:
        yield made


@pytest.fixture(scope="module")
def clock() -> Clock:
    """Return the time."""
    return Clock()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> AccessSettings:
    """Return settings of everything at once: tokens and the issuer, for people and programs."""
    return access_settings(tmp_path_factory.mktemp("access"), provider)


@pytest.fixture(scope="module")
def console(lender: Path, settings: AccessSettings, clock: Clock) -> Iterator[Guarded]:
    """Yield the console with somebody at the door."""
    with guarded(lender, settings, clock) as made:
        yield made


@pytest.fixture(scope="module")
def tokens(settings: AccessSettings, clock: Clock) -> Tokens:
    """Return the tokens that the console knows."""
    assert settings.tokens_file is not None
    return Tokens(settings.tokens_file, clock)


# For one file: as long as it is open, its event loop is that of the thread, and nothing else can run one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield a real Chromium."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no chromium")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield made
        made.close()
