"""A real redis-server, started and stopped by `reprieve up` and `down`'s own code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from redis import Redis

from deploy.local.processes import free_port
from deploy.local.redis import RedisServer
from schemas.errors import FatalError


@pytest.fixture(autouse=True)
def _redis_is_here() -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not here, and this machine cannot install it")


def test_redis_keeps_its_data_over_a_stop(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    for value in (None, b"1"):
        with server, Redis.from_url(server.url) as client:
            assert server.running
            assert client.get("a") == value
            client.set("a", "1")
        assert not server.running


def test_a_port_that_another_has_is_told(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "one", port=free_port()) as first,
        pytest.raises(FatalError, match=f"Port {first.port} is taken by another program"),
    ):
        RedisServer(tmp_path / "two", port=first.port).start()
