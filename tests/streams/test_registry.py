"""What the commands say where the registry is missing or away; it is tested itself with workers on Kafka."""

from __future__ import annotations

import pytest

from deploy.local.processes import free_port
from schemas.errors import FatalError, UsageError
from streams.cli import cli


def register(*arguments: str) -> None:
    cli(["schemas", "register", *arguments], standalone_mode=False)


def test_registering_without_a_registry_names_the_setting() -> None:
    with pytest.raises(UsageError, match=r"Set registry\.url"):
        register()


def test_registering_with_a_registry_away_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("REPRIEVE_REGISTRY__URL", url)
    with pytest.raises(
        FatalError, match=rf"The registry at {url} does not answer: .* Start it, or set registry\.url\."
    ):
        register()
