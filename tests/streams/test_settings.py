"""Settings: from a file, the environment and flags, in this order, and refused where they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas.errors import WrongUse
from streams.cli import cli
from streams.settings import Settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REPRIEVE_CONFIG", "REPRIEVE_KAFKA__CLIENT_ID", "REPRIEVE_KAFKA__BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(name, raising=False)


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "reprieve.toml"
    file.write_text('[kafka]\nclient_id = "file"\nbootstrap_servers = ["a:1", "b:2"]\n[topics]\npartitions = 7\n')
    assert Settings.load().kafka.client_id == "reprieve"
    assert Settings.load(file).kafka.client_id == "file"
    monkeypatch.setenv("REPRIEVE_KAFKA__CLIENT_ID", "environment")
    assert Settings.load(file).kafka.client_id == "environment"
    flagged = Settings.load(file, kafka={"client_id": "flag"})
    assert flagged.kafka.client_id == "flag"
    # What is not said again stays as the file has it.
    assert flagged.kafka.bootstrap_servers == ["a:1", "b:2"]
    assert flagged.topics.partitions == 7
    monkeypatch.setenv("REPRIEVE_CONFIG", str(file))
    assert Settings.load().topics.partitions == 7


def test_servers_may_be_given_with_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRIEVE_KAFKA__BOOTSTRAP_SERVERS", "a:1, b:2")
    assert Settings.load().kafka.bootstrap_servers == ["a:1", "b:2"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[topics]\npartitions = 0\n", r"topics.partitions \(.*reprieve.toml\) is 0: Input should be greater"),
        ("[topics]\npartition = 3\n", r"Nobody knows the setting topics.partition \(.*reprieve.toml\)"),
        ("[kafka]\nsecurity_protocol = 'TLS'\n", r"kafka.security_protocol .* is 'TLS': Input should be 'PLAINTEXT'"),
        ("[kafka\n", r"The settings cannot be read \(.*reprieve.toml\)"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "reprieve.toml"
    file.write_text(text)
    with pytest.raises(WrongUse, match=told):
        Settings.load(file)
    with pytest.raises(WrongUse, match="There is no settings file"):
        Settings.load(tmp_path / "none.toml")


def test_secrets_are_never_shown() -> None:
    made = Settings.load(kafka={"sasl_password": "hunter2", "security_protocol": "SASL_PLAINTEXT"})
    assert "hunter2" not in repr(made) + made.model_dump_json()
    assert made.kafka.client_options()["sasl_plain_password"] == "hunter2"


def test_each_setting_says_where_it_was_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "reprieve.toml"
    file.write_text('[kafka]\nclient_id = "a"\n[topics]\npartitions = 3\n')
    monkeypatch.setenv("REPRIEVE_TOPICS__PARTITIONS", "4")
    found = CliRunner().invoke(cli, ["settings", "--config", str(file)])
    lines = found.output.splitlines()
    assert f'client_id = "a"  # {file}' in lines
    assert "partitions = 4  # REPRIEVE_TOPICS__PARTITIONS" in lines
    assert "replication_factor = 1" in lines
