"""All settings of a worker in one typed object: from a file, the environment, or flags.

What is said later wins: the defaults, the TOML file, the environment (`REPRIEVE_KAFKA__BOOTSTRAP_SERVERS`),
flags. A setting that nobody knows is refused.
"""

from __future__ import annotations

import json
import os
import ssl
import tomllib
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
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
from streams.settings_errors import format_errors, validate_environment, validate_file, variables
from streams.settings_http import HttpSettings
from streams.settings_values import http_url, kafka_tls, redis_url, servers

# The file of the settings that are being loaded.
_file: ContextVar[Path | None] = ContextVar("file", default=None)


_HttpUrl = Annotated[str, AfterValidator(http_url)]
_RedisUrl = Annotated[str, AfterValidator(redis_url)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Group):
    """How to reach Kafka."""

    bootstrap_servers: Annotated[list[str], NoDecode, AfterValidator(servers)] = ["127.0.0.1:9092"]
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
        password = None if self.ssl_key_password is None else self.ssl_key_password.get_secret_value()
        context = kafka_tls(self.ssl_ca_file, self.ssl_cert_file, self.ssl_key_file, password)
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
            validate_environment(cls)
            validate_file(cls, named)
            return cls(**flags)
        except ValidationError as error:
            # Not `from error`: what pydantic says of itself has the values, secrets too.
            raise UsageError(format_errors(cls, error, named)) from None
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
    for variable in sorted(variables(Settings), key=lambda name: "__" in name):
        group, _, name = variable.lower().removeprefix("reprieve_").partition("__")
        names = [name.partition("__")[0]] if name else json.loads(os.environ[variable])
        found |= {(group, one): variable for one in names}
    return found
