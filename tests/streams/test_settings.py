"""Settings: from a file, the environment and flags, in this order, and refused where they are wrong."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas.errors import UsageError
from streams.cli import cli
from streams.settings import NO_SETTINGS, Settings

# Somebody with a password, as an address has them.
ME = "me:" + "hunter2" + "@"


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
    with pytest.raises(UsageError, match=told):
        Settings.load(file)
    with pytest.raises(UsageError, match="There is no settings file"):
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


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("REPRIEVE_WORKERS__POLICY", "REPRIEVE_WORKER__POLICY"),
        ("REPRIEVE_WORKER_DATA_DIR", "REPRIEVE_WORKER__DATA_DIR"),
        ("REPRIEVE_PRIVACYMODE", "REPRIEVE_PRIVACY__MODE"),
        ("REPRIEVE_KAFKA__CLIENTID", "REPRIEVE_KAFKA__CLIENT_ID"),
        ("reprieve_confg", "REPRIEVE_CONFIG"),
        ("REPRIEVE_CONSOLE_PORT", "REPRIEVE_CONSOLE__PORT"),
        ("REPRIEVE_FOO__BAR", None),
    ],
)
def test_a_variable_that_is_no_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, meant: str | None
) -> None:
    monkeypatch.setenv(variable, "8700")
    told = CliRunner().invoke(cli, ["settings"], standalone_mode=False)
    assert isinstance(told.exception, UsageError)
    rest = f"; is {meant} meant?" if meant else "."
    assert f"Nobody knows the setting {variable} (environment){rest} `reprieve settings`" in str(told.exception)


def test_variables_of_other_programs_are_left_alone(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    for name in NO_SETTINGS - {"REPRIEVE_CONFIG"}:
        monkeypatch.setenv(name, "x")
    # Kubernetes says these where a service is called reprieve-console.
    monkeypatch.setenv("REPRIEVE_CONSOLE_PORT", "tcp://10.0.0.7:8700")
    monkeypatch.setenv("REPRIEVE_CONSOLE_PORT_8700_TCP_ADDR", "10.0.0.7")
    monkeypatch.setenv("REPRIEVE_CONSOLE_SERVICE_HOST", "10.0.0.7")
    monkeypatch.setenv("REPRIEVE_CONSOLE_SERVICE_PORT_HTTP", "8700")
    assert Settings.load().console.port == 8700
    # All that the tree speaks of is one or the other.
    files = [repository / name for name in ("README.md", "Makefile", "docker-compose.yml", "setup.py")]
    for folder in ("bench", "deploy", "docs", "examples", "simulator", "streams", "tests"):
        files += [f for f in (repository / folder).rglob("*") if f.suffix in (".py", ".md", ".yaml", ".env", ".sh")]
    spoken = {
        name for f in files if f != Path(__file__) for name in re.findall(r"\bREPRIEVE_[A-Z_]+[A-Z]\b", f.read_text())
    }
    known = {
        f"REPRIEVE_{group}__{name}".upper() for group, values in Settings().model_dump().items() for name in values
    }
    services = {"REPRIEVE_CONSOLE_SERVICE_HOST"}
    assert {name for name in spoken if "FOO" not in name} <= known | NO_SETTINGS | services


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("[[kafka]]\nsasl_password = 'hunter2'\n", {}),
        ("[[kafka]]\nsasl_password = 'hunter2'\n", {"REPRIEVE_KAFKA__CLIENT_ID": "x"}),
        ("kafka = 'hunter2'\n", {"REPRIEVE_KAFKA__CLIENT_ID": "x"}),
        ("[kafka]\nsasl_password = ['hunter2']\n", {}),
        ("[kafka.sasl_password]\nword = 'hunter2'\n", {}),
        (f"[redis]\nurl = 'http://{ME}redis'\n", {}),
        (f"[registry]\nurl = {{'http://{ME}registry' = 1}}\n", {}),
        ("", {"REPRIEVE_KAFKA": '["hunter2"]'}),
        ("", {"REPRIEVE_KAFKA": "hunter2"}),
        ("", {"REPRIEVE_KAFKA": '{"sasl_password": {"x": "hunter2"}}'}),
        ("", {"REPRIEVE_PRIVACY__KMS_TOKEN__HUNTER2": "hunter2"}),
    ],
)
def test_no_error_tells_a_secret_and_none_is_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, variables: dict[str, str]
) -> None:
    file = tmp_path / "reprieve.toml"
    file.write_text(text)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as wrong:
        Settings.load(file)
    assert "hunter2" not in "".join(traceback.format_exception(wrong.value)).replace("kms_token.hunter2", "")
    told = CliRunner().invoke(cli, ["settings", "--config", str(file)])
    assert isinstance(told.exception, UsageError)


@pytest.mark.parametrize(
    ("days", "told"),
    [
        ("{payment = 30}", "each name is one of accounts, payments, "),
        ("{payments = 0}", "greater than or equal to 1"),
        ("{payments = -5}", "greater than or equal to 1"),
        ("{payments = 9999999}", "less than or equal to 36500"),
    ],
)
def test_records_are_kept_for_a_day_at_least_by_known_topics(tmp_path: Path, days: str, told: str) -> None:
    file = tmp_path / "reprieve.toml"
    file.write_text(f"[topics]\nretention_days = {days}\n")
    with pytest.raises(UsageError, match=re.escape(told)):
        Settings.load(file)


@pytest.mark.parametrize("servers", ["127.0.0.1:x", "127.0.0.1:0", "127.0.0.1:70000", "::1", "", "a:1,", "http://a:1"])
def test_an_address_that_is_none_is_refused(servers: str) -> None:
    with pytest.raises(UsageError, match=r"kafka.bootstrap_servers .*: each is HOST:PORT"):
        Settings.load(kafka={"bootstrap_servers": servers})


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:6379", "redis://127.0.0.1:x"])
def test_an_address_of_redis_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"redis\.url .* is '"):
        Settings.load(redis={"url": url})


@pytest.mark.parametrize(("group", "name"), [("registry", "url"), ("privacy", "kms_url"), ("tracing", "otlp_endpoint")])
def test_an_address_of_the_web_that_is_none_is_refused(group: str, name: str) -> None:
    for url in ("nonsense", "ftp://a", "http://", "http://a:x"):
        with pytest.raises(UsageError, match=rf"{group}\.{name} .* is '"):
            Settings.load(**{group: {name: url}})


def test_a_password_in_an_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRIEVE_REDIS__URL", f"redis://{ME}127.0.0.1:1/0")
    for arguments in (["settings"], ["settings", "--json"], ["views", "show", "account", "A1"]):
        told = CliRunner().invoke(cli, arguments, standalone_mode=False)
        assert "me:**********@127.0.0.1:1/0" in told.output + str(told.exception)
        assert "hunter2" not in told.output + str(told.exception)


def test_files_for_tls_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    for flags, told in (
        ({"ssl_ca_file": "/nope"}, "kafka.ssl_ca_file is /nope, which cannot be used: No such file or directory"),
        ({"ssl_ca_file": str(nonsense)}, f"kafka.ssl_ca_file is {nonsense}, which cannot be used: "),
        ({"ssl_cert_file": "/nope"}, "kafka.ssl_cert_file is /nope with kafka.ssl_key_file (not set), which cannot"),
    ):
        made = Settings.load(kafka={"security_protocol": "SSL", **flags})
        with pytest.raises(UsageError, match=re.escape(told)):
            made.kafka.client_options()
