"""All settings of a process in one typed object: from a file, the environment, or flags.

What is said later wins: the defaults, the TOML file, the environment (`REPRIEVE_KAFKA__BOOTSTRAP_SERVERS`),
flags. A setting that nobody knows is refused, with the nearest known one; no error shows a secret.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import ssl
import tomllib
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from schemas.errors import UsageError
from schemas.topics import TOPICS

PREFIX = "REPRIEVE_"
# Variables that are no settings of a process: of commands, of where parts are kept, of builds and of tests.
NO_SETTINGS = frozenset(
    PREFIX + name
    for name in (
        "CONFIG",
        "DATA",
        "PURPOSE",
        "CHUNK",
        "CACHE",
        "COMPILED",
        "DISK",
        "DISK_STATE",
        "FUZZ_EXAMPLES",
        "PICTURES",
        "UCI_ACCOUNTS",
    )
)
# What Kubernetes tells of a service whose name begins as ours: REPRIEVE_CONSOLE_SERVICE_HOST and the like.
_OF_SERVICES = re.compile(
    r"\w+_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_PLACE = re.compile(r"(?:tcp|udp|sctp)://\S+")
# The file of the settings that are being loaded.
_file: ContextVar[Path | None] = ContextVar("file", default=None)
_SERVER = re.compile(r"(\[[\w:.%]+\]|[^\s:/\[\]]+)(?::(\d{1,5}))?")


def _servers(found: list[str]) -> list[str]:
    """Return Kafka's servers. Raises ValueError where one is no address."""
    for server in found:
        parts = _SERVER.fullmatch(server)
        if parts is None or not 1 <= int(parts[2] or 9092) <= 65_535:
            raise ValueError("each is HOST:PORT, as 127.0.0.1:9092, with a port of 1 to 65535")
    if not found:
        raise ValueError("there must be one at least, as 127.0.0.1:9092")
    return found


def _http_url(url: str) -> str:
    """Return an address of the web. Raises ValueError where it is none."""
    parts = urlsplit(url)
    # To ask for a port that is none raises too.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("it must begin with http:// or https:// and name a host")
    return url


def _redis_url(url: str) -> str:
    """Return an address of Redis. Raises ValueError where it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss", "unix") or parts.port == 0:
        raise ValueError("it is redis://HOST:PORT/DATABASE, rediss:// by TLS, or unix://PATH")
    return url


def _unusable(setting: str, file: Path | str | None, error: OSError) -> UsageError:
    # An error of TLS has a reason, which may be that the file holds no PEM; one of the system has words of its own.
    why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return UsageError(
        f"{setting} is {file}, which cannot be used: {why or error}. Name PEM files that belong together."
    )


_HttpUrl = Annotated[str, AfterValidator(_http_url)]
_RedisUrl = Annotated[str, AfterValidator(_redis_url)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Group):
    """How to reach Kafka."""

    bootstrap_servers: Annotated[list[str], NoDecode, AfterValidator(_servers)] = ["127.0.0.1:9092"]
    client_id: str = "reprieve"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_file: Path | None = None
    ssl_cert_file: Path | None = None
    ssl_key_file: Path | None = None
    ssl_key_password: SecretStr | None = None
    ssl_check_hostname: bool = True
    request_timeout_seconds: Annotated[float, Field(ge=1, le=600)] = 30
    retry_pause_seconds: Annotated[float, Field(gt=0, le=60)] = 0.2
    retry_pause_max_seconds: Annotated[float, Field(gt=0, le=600)] = 30

    @field_validator("bootstrap_servers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    def client_options(self) -> dict[str, Any]:
        """Return the options that aiokafka's consumer, producer and admin client share."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": self.client_id,
            "security_protocol": self.security_protocol,
            "request_timeout_ms": int(self.request_timeout_seconds * 1000),
        }
        if self.security_protocol.startswith("SASL"):
            password = self.sasl_password
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = None if password is None else password.get_secret_value()
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = self._ssl_context()
        return options

    def _ssl_context(self) -> ssl.SSLContext:
        """Return what speaks TLS with Kafka. Raises UsageError that names the file at fault."""
        try:
            context = ssl.create_default_context(cafile=self.ssl_ca_file)
        except OSError as error:
            raise _unusable("kafka.ssl_ca_file", self.ssl_ca_file, error) from error
        if self.ssl_cert_file is not None:
            password = None if self.ssl_key_password is None else self.ssl_key_password.get_secret_value()
            try:
                context.load_cert_chain(self.ssl_cert_file, self.ssl_key_file, password)
            except OSError as error:
                both = f"{self.ssl_cert_file} with kafka.ssl_key_file {self.ssl_key_file or '(not set)'}"
                raise _unusable("kafka.ssl_cert_file", both, error) from error
        context.check_hostname = self.ssl_check_hostname
        return context


class TopicSettings(_Group):
    """How topics are named and made."""

    prefix: str = "reprieve."
    partitions: Annotated[int, Field(ge=1, le=1000)] = 12
    replication_factor: Annotated[int, Field(ge=1, le=10)] = 1
    min_insync_replicas: Annotated[int, Field(ge=1, le=10)] = 1
    retention_days: dict[str, Annotated[int, Field(ge=1, le=36_500)]] = {}

    @field_validator("retention_days")
    @classmethod
    def _are_topics(cls, days: dict[str, int]) -> dict[str, int]:
        if not days.keys() <= TOPICS.keys():
            raise ValueError(f"each name is one of {', '.join(TOPICS)}, without the prefix")
        return days


class RegistrySettings(_Group):
    """A schema registry with Confluent's API; without a URL the single-object framing is written.

    odd_seconds: how long what answers may be no registry before a worker ends.
    """

    url: _HttpUrl | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    auto_register: bool = False
    odd_seconds: Annotated[float, Field(ge=0, le=86_400)] = 300


class RedisSettings(_Group):
    """How to reach Redis; without a URL nothing is projected there."""

    url: _RedisUrl | None = None
    prefix: str = "reprieve:"
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 10

    def client_options(self) -> dict[str, Any]:
        """Return the arguments of redis-py's `from_url`; a URL of `rediss://` is for TLS."""
        options: dict[str, Any] = {"url": self.url, "username": self.username}
        # One that never answers counts as away.
        options |= {"socket_timeout": self.timeout_seconds, "socket_connect_timeout": self.timeout_seconds}
        options["password"] = None if self.password is None else self.password.get_secret_value()
        files = {"ssl_ca_certs": self.ca_file, "ssl_certfile": self.cert_file, "ssl_keyfile": self.key_file}
        return options | {name: str(file) for name, file in files.items() if file is not None}


class PrivacySettings(_Group):
    """How personal data are sealed. `mode` off is for development: what is written is then readable."""

    mode: Literal["on", "off"] = "on"
    master_keys_file: Path | None = None
    wire_keys_file: Path | None = None
    kms_url: _HttpUrl | None = None
    kms_token: SecretStr | None = None
    kms_ca_file: Path | None = None
    kms_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5


class WorkerSettings(_Group):
    """How a worker works."""

    application_id: str = "reprieve"
    data_dir: Path = Path("reprieve-data")
    policy: str = "default"
    instance_id: str | None = None
    session_timeout_seconds: Annotated[float, Field(ge=1, le=1800)] = 10
    standby_replicas: Annotated[int, Field(ge=0, le=10)] = 0
    batch_records: Annotated[int, Field(ge=1, le=100_000)] = 5_000
    cached_states: Annotated[int, Field(ge=0)] = 80_000
    quarantine_limit: Annotated[int, Field(ge=0, le=100_000)] = 100
    transaction_timeout_seconds: Annotated[float, Field(ge=1, le=900)] = 60
    wrong_partition: Literal["refuse", "rekey"] = "refuse"
    record_times: Literal["broker", "any"] = "broker"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "console"

    @property
    def rebalance_timeout_seconds(self) -> float:
        """How long a rebalance of the group may take."""
        return max(60.0, self.session_timeout_seconds)


class HealthSettings(_Group):
    """Where a long-running process answers `/metrics`, `/livez` and `/readyz`; without a port nowhere.

    stall_seconds: how long nothing may move before the process counts as stuck; above the longest pause of its loop.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    stall_seconds: Annotated[float, Field(ge=1, le=3600)] = 120


class HttpSettings(_Group):
    """Limits of the servers of console and intake; docs/operations.md says how they act. Probes have tighter ones.

    header_seconds: for a request's line and headers, and for a TLS handshake. body_seconds: for a body; the intake has
    a limit of its own. idle_seconds: between two requests of a connection. write_seconds: for which a client may not
    read its answer. connections_per_address: by IPv4 address or IPv6 /64; behind `access.trusted_proxies`, requests at
    once.
    """

    header_seconds: Annotated[float, Field(gt=0, le=120)] = 10
    body_seconds: Annotated[float, Field(gt=0, le=120)] = 10
    idle_seconds: Annotated[float, Field(gt=0, le=3_600)] = 75
    write_seconds: Annotated[float, Field(gt=0, le=600)] = 30
    connections: Annotated[int, Field(ge=1, le=100_000)] = 512
    connections_per_address: Annotated[int, Field(ge=1, le=100_000)] = 128


class ConsoleSettings(_Group):
    """Where the console listens, by which certificate, and where it keeps what it reads of Kafka.

    data_dir: its own file, which is made anew where it is missing.
    """

    data_dir: Path = Path("console-data")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8700
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None


class AccessSettings(_Group):
    """Who may use pages and endpoints; with neither tokens nor an issuer nobody is asked, on loopback alone."""

    tokens_file: Path | None = None
    keys_file: Path | None = None
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_scopes: str = "openid profile"
    oidc_audience: str | None = None
    oidc_roles_claim: str = "roles"
    oidc_roles: dict[str, str] = {}
    oidc_ca_file: Path | None = None
    public_url: str | None = None
    behind_proxy: bool = False
    trusted_proxies: list[str] = []
    idle_minutes: Annotated[float, Field(gt=0, le=1_440)] = 30
    session_hours: Annotated[float, Field(gt=0, le=168)] = 10
    recheck_seconds: Annotated[float, Field(gt=0, le=3_600)] = 300
    requests_per_minute: Annotated[int, Field(ge=1)] = 600
    failures_per_quarter_hour: Annotated[int, Field(ge=1)] = 10

    @property
    def configured(self) -> bool:
        """Whether anybody is asked who he is."""
        return self.tokens_file is not None or self.oidc_issuer is not None


class WebhookSettings(_Group):
    """How offers and plans go out to partners; docs/integration.md says how each of these acts."""

    partners_file: Path | None = None
    data_dir: Path = Path("reprieve-webhooks")
    begin: Literal["earliest", "latest"] = "earliest"
    connect_seconds: Annotated[float, Field(gt=0, le=60)] = 5
    answer_seconds: Annotated[float, Field(gt=0, le=120)] = 20
    retry_first_seconds: Annotated[float, Field(gt=0, le=3_600)] = 5
    retry_most_seconds: Annotated[float, Field(gt=0, le=86_400)] = 6 * 3_600
    retry_days: Annotated[float, Field(gt=0, le=60)] = 5
    seed: int = 1
    consent_fresh_seconds: Annotated[float, Field(ge=1, le=3_600)] = 30
    keep_days: Annotated[float, Field(gt=0, le=3_650)] = 30


class IntakeSettings(_Group):
    """How partners' signed events come in over HTTP; TLS is the business of a proxy in front."""

    partners_file: Path | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8701
    tolerance_seconds: Annotated[float, Field(ge=1, le=3_600)] = 300
    ahead_seconds: Annotated[float, Field(ge=0)] = 300
    max_body_bytes: Annotated[int, Field(ge=1_024, le=64 * 1024 * 1024)] = 1024 * 1024
    max_events: Annotated[int, Field(ge=1, le=10_000)] = 500
    body_seconds: Annotated[float, Field(gt=0, le=120)] = 10
    commit_seconds: Annotated[float, Field(gt=0, le=120)] = 10
    retry_after_seconds: Annotated[int, Field(ge=1, le=3_600)] = 5


class TracingSettings(_Group):
    """An OpenTelemetry collector (OTLP over HTTP); without one nothing is traced.

    sample_ratio: of batches; a record that its producer sampled is followed in any case.
    """

    otlp_endpoint: _HttpUrl | None = None
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix="REPRIEVE_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    registry: RegistrySettings = RegistrySettings()
    redis: RedisSettings = RedisSettings()
    privacy: PrivacySettings = PrivacySettings()
    worker: WorkerSettings = WorkerSettings()
    health: HealthSettings = HealthSettings()
    http: HttpSettings = HttpSettings()
    console: ConsoleSettings = ConsoleSettings()
    access: AccessSettings = AccessSettings()
    webhooks: WebhookSettings = WebhookSettings()
    intake: IntakeSettings = IntakeSettings()
    tracing: TracingSettings = TracingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let flags win over the environment, and the environment over the file."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _file.get()))

    @classmethod
    def load(cls, config: Path | None = None, **flags: Any) -> Settings:
        """Return the settings of a file (`config`, else REPRIEVE_CONFIG), the environment and flags.

        flags: by group, as `kafka={"client_id": "x"}`.
        Raises UsageError that names each setting at fault, and what is allowed.
        """
        named = file_of(config)
        if named is not None and not named.is_file():
            raise UsageError(f"There is no settings file {named}. Name one that is there, or leave --config out.")
        token = _file.set(named)
        try:
            _validate_environment()
            _validate_file(named)
            return cls(**flags)
        except ValidationError as error:
            # Not `from error`: what pydantic says of itself has the values, secrets too.
            raise UsageError(_format_errors(error, named)) from None
        except (SettingsError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
            raise UsageError(f"The settings cannot be read ({named or 'environment'}): {error}.") from None
        finally:
            _file.reset(token)


def file_of(config: Path | None) -> Path | None:
    """Return the settings file that counts: `config`, else REPRIEVE_CONFIG, else none."""
    return config or (Path(os.environ["REPRIEVE_CONFIG"]) if os.environ.get("REPRIEVE_CONFIG") else None)


def origins(config: Path | None) -> dict[tuple[str, str], str]:
    """Return where settings come from that no flag says, by group and name: a variable or a file."""
    found: dict[tuple[str, str], str] = {}
    file = file_of(config)
    if file is not None:
        for group, values in tomllib.loads(file.read_text("utf-8")).items():
            found |= {(group, name): str(file) for name in values}
    # A variable of one setting wins over that of its whole group.
    for variable in sorted(_variables(), key=lambda name: "__" in name):
        group, _, name = variable.lower().removeprefix("reprieve_").partition("__")
        names = [name.partition("__")[0]] if name else json.loads(os.environ[variable])
        found |= {(group, one): variable for one in names}
    return found


# -- what is wrong with settings, a sentence each


def _variables() -> list[str]:
    """Return the variables of the environment that set a setting, or a whole group, as they are written."""
    groups = {PREFIX + group.upper() for group in Settings.model_fields}
    return [name for name in os.environ if name.upper().partition("__")[0] in groups]


def _validate_environment() -> None:
    """Raise UsageError where a variable that begins as ours is no setting, or a whole group is no JSON object."""
    known = sorted({PREFIX + f"{group}__{name}".upper() for group, name in _names()})
    wrong = []
    for variable, value in os.environ.items():
        name = variable.upper()
        if not name.startswith(PREFIX) or name in NO_SETTINGS or _of_a_service(name, value):
            continue
        group, named, rest = name.removeprefix(PREFIX).partition("__")
        if not named and group.lower() in Settings.model_fields:
            wrong += [] if _is_object(value) else [f"The variable {variable} must hold a JSON object of settings."]
        elif f"{PREFIX}{group}__{rest.partition('__')[0]}" not in known:
            wrong.append(_unknown(variable, "environment", _nearest(name, [*known, *sorted(NO_SETTINGS)])))
    if wrong:
        raise UsageError(" ".join(wrong))


def _validate_file(file: Path | None) -> None:
    """Raise UsageError where a group of a file is no table: merged with the environment it would be dropped."""
    said = {} if file is None else tomllib.loads(file.read_text("utf-8"))
    wrong = [group for group, values in said.items() if group in Settings.model_fields and not isinstance(values, dict)]
    if wrong:
        raise UsageError(
            f"{file} does not hold {wrong[0]} as a group of settings. Write [{wrong[0]}] once, on a line of its own, "
            "and each of its settings on a line below."
        )


def _format_errors(error: ValidationError, file: Path | None) -> str:
    """Return what is wrong with settings, a sentence each, without the value of a secret or of a group that has one."""
    said = []
    for fault in error.errors(include_url=False, include_context=False):
        path = [str(part) for part in fault["loc"]]
        name, place = ".".join(path), _place(path, file)
        if fault["type"] == "extra_forbidden":
            said.append(_unknown(name, place, _nearest(name, [".".join(one) for one in _names()])))
            continue
        why = fault["msg"].removeprefix("Value error, ")
        value = fault["input"]
        shown = " is wrong" if _secret(path, value) else f" is {value!r}"
        said.append(f"The setting {name} ({place}){shown}: {why}.")
    return " ".join(said)


def without_password(url: str) -> str:
    """Return an address without the password in it."""
    return re.sub(r"(://[^/:@]*:)[^/]*@", r"\1**********@", url)


def _place(path: list[str], file: Path | None) -> str:
    there = {name.upper(): name for name in os.environ}
    for parts in (path[:2], path[:1]):
        variable = there.get(PREFIX + "__".join(parts).upper())
        if variable is not None:
            return f"environment, {variable}"
    return str(file) if file else "flags"


def _names() -> list[tuple[str, str]]:
    return [(group, name) for group, field in Settings.model_fields.items() for name in _fields(field)]


def _fields(group: FieldInfo) -> dict[str, FieldInfo]:
    kind = group.annotation
    return kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}


def _secret(path: list[str], value: Any) -> bool:
    """Say whether a value is a secret, a group that has one, or an address with a password in it."""
    group = Settings.model_fields.get(path[0]) if path else None
    if group is None:
        return True
    fields = _fields(group)
    concerned: Iterable[FieldInfo | None] = [fields.get(path[1])] if len(path) > 1 else fields.values()
    if any(field is None or SecretStr in (field.annotation, *get_args(field.annotation)) for field in concerned):
        return True
    return bool(re.search(r"://[^/]*@", str(value)))


def _unknown(name: str, place: str, nearest: str | None) -> str:
    meant = f"; is {nearest} meant?" if nearest else "."
    return f"Nobody knows the setting {name} ({place}){meant} `reprieve settings` lists all that there are."


def _nearest(name: str, known: list[str]) -> str | None:
    # What all begin with makes none of them near.
    bare = {one.removeprefix(PREFIX): one for one in known}
    return next((bare[near] for near in difflib.get_close_matches(name.removeprefix(PREFIX), bare, 1)), None)


def _of_a_service(name: str, value: str) -> bool:
    return bool(_OF_SERVICES.fullmatch(name) or (name.endswith("_PORT") and _PLACE.fullmatch(value)))


def _is_object(value: str) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False
