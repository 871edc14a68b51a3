"""A small lender's data, the console over it with somebody at the door and a real issuer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from schemas import events as ev
from simulator.world import START, World
from state.policy_packs.loader import default_book
from streams.http.auth.tokens import Tokens
from streams.local.runtime import LocalRuntime
from streams.settings import AccessSettings
from tests.support.console_client import PEOPLE, Clock, Guarded, access_settings, guarded
from tests.support.openid_provider import Provider


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
