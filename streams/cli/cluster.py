"""What the commands on Kafka share. Nothing here is imported at start-up that the other commands do not need."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from schemas.errors import FatalError, UsageError
from streams.shutdown import run_until_signal

if TYPE_CHECKING:
    from streams.settings import Settings

T = TypeVar("T")

config_option = click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), default=None, help="A settings file (TOML)."
)
kafka_option = click.option("--kafka", is_flag=True, help="On Kafka, by the settings, and not in a data directory.")
health_port_option = click.option(
    "--health-port",
    type=click.IntRange(0, 65535),
    default=None,
    help="Where /metrics, /livez and /readyz are answered (health.port); 0 takes a free port.",
)


def health_flags(port: int | None) -> dict[str, Any]:
    """Return the flag of a health port as settings take it."""
    return {} if port is None else {"health": {"port": port}}


def settings_of(config: Path | None, **flags: Any) -> Settings:
    """Return the settings of a file, the environment and flags. Raises UsageError where they are wrong."""
    from streams.settings import Settings

    return Settings.load(config, **flags)


def kafka_settings(kafka: bool, config: Path | None) -> Settings | None:
    """Return the settings of a deployment where a command is for Kafka, None where it is for a data directory."""
    if config is not None and not kafka:
        raise UsageError("--config is for Kafka. Add --kafka, or leave it out.")
    return settings_of(config) if kafka else None


def run_on_kafka(work: Coroutine[Any, Any, T], settings: Settings, *, graceful: bool = False) -> T:
    """Run something that asks Kafka. Raises FatalError with a sentence where the broker does not answer.

    graceful: as of `run_until_signal`.
    """
    from aiokafka.errors import KafkaError

    from streams.kafka.auth_check import FORBIDDEN, check_credentials
    from streams.kafka.retry import permanent_error

    try:
        return run_until_signal(work, graceful=graceful)
    except FORBIDDEN as error:
        raise FatalError(
            f"Kafka does not let this user do that: {type(error).__name__} {error}. `reprieve topics acl` prints the "
            "rights of each role, and --apply gives them."
        ) from error
    except BrokenPipeError:
        # Whoever reads what is printed has had enough, which Kafka has nothing to do with.
        raise
    except (KafkaError, OSError) as error:
        final = permanent_error(settings, "asking", error)
        if final is not None:
            raise final from error
        asyncio.run(check_credentials(settings))
        servers = ", ".join(settings.kafka.bootstrap_servers)
        raise FatalError(
            f"Kafka at {servers} does not answer: {type(error).__name__} {error}. Start it (reprieve up), or set "
            "kafka.bootstrap_servers."
        ) from error
