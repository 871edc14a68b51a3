"""Master keys that a KMS has wrapped: a server process that is there, away, slow, busy, or says no."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from deploy.local.processes import free_port, is_listening
from schemas.errors import FatalError, RetryableError
from streams.cli import cli
from streams.security.vault_factory import vault_of
from streams.settings import PrivacySettings

TOKEN = "let-me-in"


@contextmanager
def kms(port: int, mode: str = "well") -> Iterator[None]:
    """Run the server."""
    process = subprocess.Popen([sys.executable, "-m", "tests.support.programs.kms_server", str(port), TOKEN, mode])
    try:
        deadline = time.monotonic() + 20
        while not is_listening(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def privacy(port: int, tmp_path: Path) -> PrivacySettings:
    """Return settings with a file of keys that the KMS has wrapped."""
    config = tmp_path / "reprieve.toml"
    url, keys = f"http://127.0.0.1:{port}/v1", tmp_path / "keys.json"
    config.write_text(f'[privacy]\nkms_url = "{url}"\nkms_token = "{TOKEN}"\n')
    with kms(port):
        for command in ("make", "rotate"):
            made = CliRunner().invoke(cli, ["keys", command, str(keys), "--config", str(config)])
            assert made.exit_code == 0, made.output
    return PrivacySettings(master_keys_file=keys, kms_url=url, kms_token=SecretStr(TOKEN), kms_timeout_seconds=0.5)


def test_the_kms_opens_what_it_wrapped_and_the_file_nothing(port: int, privacy: PrivacySettings) -> None:
    with kms(port):
        vault = vault_of(privacy)
        again = vault_of(privacy)
    assert vault is not None
    assert again is not None
    # It is asked at the start only: with the KMS away what is at work goes on.
    assert again.open(vault.seal(b"data", b"scope"), b"scope") == b"data"
    with pytest.raises(FatalError, match=r"Set privacy\.kms_url"):
        vault_of(privacy.model_copy(update={"kms_url": None}))


@pytest.mark.parametrize("mode", ["away", "slow", "busy"])
def test_a_kms_that_cannot_answer_now_is_waited_for(port: int, privacy: PrivacySettings, mode: str) -> None:
    if mode == "away":
        with pytest.raises(RetryableError, match=f"127.0.0.1:{port}/v1 does not answer"):
            vault_of(privacy)
        return
    with kms(port, mode), pytest.raises(RetryableError, match=r"does not answer|cannot answer now"):
        vault_of(privacy)


def test_a_kms_that_answers_byte_by_byte_is_too_slow(port: int, privacy: PrivacySettings) -> None:
    with kms(port, "trickling"):
        begun = time.monotonic()
        with pytest.raises(RetryableError, match=r"does not answer: TimeoutError not within 0\.5 s"):
            vault_of(privacy)
        # All of it would take 27 seconds.
        assert time.monotonic() - begun < 10
        # The thread that read has ended, and its connection with it.
        deadline = time.monotonic() + 10
        while any(thread.name == "kms" for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_kms_that_denies_or_lacks_the_key_is_fatal(port: int, privacy: PrivacySettings) -> None:
    assert privacy.master_keys_file is not None
    with kms(port):
        with pytest.raises(FatalError, match=r"denies us to unwrap .*privacy.kms_token") as raised:
            vault_of(privacy.model_copy(update={"kms_token": SecretStr("wrong-token")}))
        assert "wrong-token" not in str(raised.value)
        entries = json.loads(privacy.master_keys_file.read_text())
        # What was wrapped for one id does not open under another.
        entries["keys"][0]["wrapped"] = entries["keys"][1]["wrapped"]
        privacy.master_keys_file.write_text(json.dumps(entries))
        with pytest.raises(FatalError, match="did not unwrap"):
            vault_of(privacy)
    with kms(port, "odd"), pytest.raises(FatalError, match="has 5 bytes"):
        vault_of(privacy)


def test_an_address_that_is_none_is_named(privacy: PrivacySettings) -> None:
    with pytest.raises(FatalError, match=r"privacy\.kms_url"):
        vault_of(privacy.model_copy(update={"kms_url": "nowhere"}))
